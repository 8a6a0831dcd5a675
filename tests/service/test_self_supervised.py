"""Questions that a collection asks about itself: their evidence is real text, and they are not copies of it."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from domain.documents import Chunk, DocumentRef, Sentence, Span
from fovea import open_engine
from service.settings import EncoderSettings, Settings
from service.training.self_supervised import _chinese, _cloze, _Passage, self_supervised_questions

DATA = Path(__file__).parents[1] / "data"
DEPOSIT = " ".join(f"Tenant {n} pays a deposit of {n} months before moving into flat {n}." for n in range(2, 18))
HEATING = " ".join(f"The meter in room {n} is read by the landlord in week {n} of November." for n in range(2, 18))
MARKDOWN = f"# Handbook\n\n## Deposit\n\n{DEPOSIT}\n\n## Heating costs\n\n{HEATING}\n"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    settings = Settings(data_dir=tmp_path_factory.mktemp("asked"), encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings) as engine:
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
        engine.ingest([DATA / "cmrc-zh" / "corpus.jsonl"], collection="chinese")
        engine.ingest_bytes(MARKDOWN.encode(), "handbook.md", collection="handbook")
        engine.create_collection("empty")
        yield engine


def asked(engine, collection="default", limit=60, seed=0):
    return self_supervised_questions(engine._parts, collection, limit, seed)


@pytest.mark.parametrize("collection", ["default", "chinese", "handbook"])
def test_references_point_at_real_sentences_that_hold_the_answer(engine, collection):
    questions = asked(engine, collection)
    assert questions and len({one.question for one in questions}) == len(questions)
    for question in questions:
        assert question.answerable and question.references and question.question.strip()
        text = engine.document(question.document).text
        stretches = [one.span.of(text) for one in question.references]
        assert all(stretch.strip() for stretch in stretches)
        assert any(question.answers[0] in stretch for stretch in stretches)


@pytest.mark.parametrize(
    ("collection", "words"),
    [("default", ("when", "how", "who", "what")), ("chinese", ("什么时候", "多少", "什么"))],
)
def test_a_cloze_asks_for_what_it_leaves_out(engine, collection, words):
    ending = "？" if collection == "chinese" else "?"
    clozes = [one for one in asked(engine, collection) if one.question.endswith(ending)]
    assert len(clozes) >= 15
    kinds = Counter(next(word for word in words if word in one.question) for one in clozes)
    assert len(kinds) >= 2
    for one in clozes:
        assert len(one.references) == 1
        evidence = one.references[0].span.of(engine.document(one.document).text)
        assert len(one.question) < len(evidence)
        if len(one.answers[0]) > 3 and evidence.count(one.answers[0]) == 1:
            assert one.answers[0] not in one.question


def test_about_a_third_of_the_words_is_dropped():
    text = "The old bridge over the river was built by two brothers from Nottingham in the summer of 1817 again"
    passage = chunk_of(text)
    left = [len(_cloze(_Passage(*passage, random.Random(seed))).text.split()) - 1 for seed in range(200)]
    assert 0.58 < sum(left) / 200 / 18 < 0.72  # 18 words besides the year


def test_the_kind_of_the_answer_chooses_the_question_word():
    for sentence, word, answer in (
        ("The bridge was built by engineers in 1817 and later widened twice.", "when", "1817"),
        ("The two towers are exactly 324 metres high without their flag poles.", "how many", "324"),
        ("The whole repair of the roof cost $3.5 million of public money.", "how much", "$3.5 million"),
        ("The bridge was painted by Marie Curie and some of her students.", "who", "Marie Curie"),
        ("The bridge was carried to the harbour of Lisbon by the students.", "what", "Lisbon"),
    ):
        found = _cloze(_Passage(*chunk_of(sentence), random.Random(1)))
        assert found.text.startswith(word + " ") and found.answer == answer, sentence


def test_chinese_questions_keep_the_order_of_the_sentence_and_its_script():
    assert _chinese("北京大学成立于", "。", "什么时候", NoNoise()) == "北京大学成立于什么时候？"
    traditional = "這座大橋由兩位工程師於1817年建成，後來又為鐵路加寬過。"
    found = _cloze(_Passage(*chunk_of(traditional), NoNoise()))
    assert found.text == "這座大橋由兩位工程師於什麼時候建成後來又為鐵路加寬過？" and found.answer == "1817年"


class NoNoise(random.Random):
    def random(self):
        return 0.99


def chunk_of(text):
    sentences = (Sentence(0, Span(0, len(text))),)
    return Chunk("c", 1, "d", 0, Span(0, len(text)), text, sentences), DocumentRef("d", "d", "")


def test_a_heading_asks_for_the_beginning_of_its_section(engine):
    headed = {one.question: one for one in asked(engine, "handbook") if "Heating costs" in one.question}
    assert list(headed) == ["Handbook Heating costs"]
    (question,) = headed.values()
    assert question.answers[0].startswith("The meter in room 2 ")
    assert len(question.references) == 2


def test_neighbours_ask_by_rare_words_for_two_sentences_in_a_row(engine):
    document = engine.list_documents("handbook")[0]
    text = engine.document(document.id).text
    found = [
        one
        for one in asked(engine, "handbook")
        if len(one.references) == 2 and not one.question.startswith("Handbook ")
    ]
    assert found
    for one in found:
        first, second = (reference.span.of(text) for reference in one.references)
        words = one.question.split()
        assert 3 <= len(words) <= 5 and all(word in first for word in words)
        assert text.index(second) > text.index(first)


def test_equal_seeds_ask_equal_questions_and_others_do_not(engine):
    assert asked(engine) == asked(engine)
    assert asked(engine) != asked(engine, seed=1)


def test_questions_are_spread_over_the_documents(engine):
    per_document = Counter(one.document for one in asked(engine, limit=48))
    assert sum(per_document.values()) <= 48
    assert len(per_document) >= 20 and max(per_document.values()) <= 6
    few = asked(engine, limit=5)
    assert len(few) == 5 and len({one.document for one in few}) == 5


def test_an_empty_collection_asks_nothing(engine):
    assert asked(engine, "empty") == []
