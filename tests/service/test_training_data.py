"""From questions about a real collection to training sets, held against what the product itself computes."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from attention_core.examples import gather
from attention_core.network import TrainableScorer
from attention_core.reranker import AttentionReranker
from domain.search import Filters
from fovea import open_engine
from service.labelled_questions import LabelledQuestion, read_questions
from service.question_encoding import encode_question
from service.training.data import Labelled, collect, known_documents
from service.training.reencoded import ReencodedReranker
from service.training.split import Split
from service.training.start import start_weights
from service.training.tokens import LowerStates, StoredTokens
from tests.retrieval.tiny_model import write_tiny_model
from tests.service.training_examples import CHINESE, DATA, ENGLISH, settings_of

TABLE = """# Allowances

| Country | Daily allowance |
|---|---|
| Norway | 60 |
| China | 55 |

The allowance is paid once a month.
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with open_engine(settings=settings_of(tmp_path_factory.mktemp("data"))) as engine:
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
        engine.ingest_bytes(TABLE.encode(), "allowances.md")
        engine.ingest([DATA / "cmrc-zh" / "corpus.jsonl"], collection="chinese")
        yield engine


def quiet(what, done, total):
    pass


def collected(engine, questions, folder, collection="default", source=None, **labelled):
    parts = engine._parts
    named = known_documents(parts, collection, questions)
    one = Labelled(collection, tuple(named), 0, 1.0, **labelled)
    return collect(parts, one, source or StoredTokens(parts.store, parts.training.codec), folder, quiet)


@pytest.mark.parametrize(("path", "collection"), [(ENGLISH, "default"), (CHINESE, "chinese")])
def test_training_sees_the_scores_that_the_reranker_gives(engine, tmp_path, path, collection):
    """For every question and all of its candidates, table rows and titles among them."""
    parts = engine._parts
    table = LabelledQuestion("t", "What is the daily allowance in China?", ("55",))
    questions = [*read_questions(path)[:12], *([table] if collection == "default" else [])]
    found = collected(engine, questions, tmp_path, collection)
    asked = [(collection, questions)]
    weights = start_weights(parts, None, parts.training.codec, asked, adapt=False, seed=0)
    weights = replace(weights, gate=np.random.default_rng(0).normal(size=64).astype(np.float32))
    scorer = TrainableScorer(weights, 64).eval()
    reranker = AttentionReranker(parts.training.codec, weights)
    rows = found.chunk_rows
    for example in [*found.training.examples, *found.training.held_out]:
        text = next(text for text, row in found.question_rows.items() if row == example.row)
        query = encode_question(parts, text, Filters(collection))
        candidates = parts.retriever.search(query, parts.candidates)
        batch = gather(found.training, [example], [[rows[one.chunk.key] for one in candidates]], random.Random(0))
        with torch.no_grad():
            scores = scorer(batch, None)
        scored = sorted(reranker.rerank(query, candidates), key=lambda one: batch.rows.index(rows[one.chunk.key]))
        chances = [item.score for one in scored for item in one.sentences]
        log_odds = np.log(chances) - np.log1p(-np.array(chances)) - weights.forms.sentence_bias
        np.testing.assert_allclose(scores.sentences[0].numpy(), log_odds, atol=1e-3)
        order = [one.chunk.key for one in reranker.rerank(query, candidates)]
        assert rows[order[0]] == batch.rows[int(scores.chunks[0].argmax())]


def test_gold_sentences_hold_the_answer_and_blocked_chunks_hold_it_elsewhere(engine, tmp_path):
    question = LabelledQuestion("q", "Norway daily allowance", ("60",), "allowances.md", TABLE.index("60"))
    echo = "A room is on floor 60. Norway has a daily allowance."
    engine.ingest_text(echo, title="Rooms", source="rooms")
    found = collected(engine, [question], tmp_path)
    (example,) = found.training.examples
    keys = {row: key for key, row in found.chunk_rows.items()}
    stored = engine._parts.store.get_chunks("default", list(keys.values()), with_tokens=False)
    ((gold_row, sentences),) = example.gold.items()
    chunk = stored[keys[gold_row]].chunk
    assert [chunk.sentence_text(chunk.sentences[at]) for at in sentences] == ["| Norway | 60 |"]
    assert "rooms" in {stored[keys[row]].document.source for row in example.blocked}
    assert not example.blocked & example.gold.keys()
    row = found.training.chunks[gold_row]
    header = next(at for at, one in enumerate(chunk.sentences) if "Country" in chunk.sentence_text(one))
    assert row.read_with[sentences[0]] == header and row.read_with[header] == header
    engine.delete([one.id for one in engine.list_documents() if one.source == "rooms"])


def test_held_out_questions_share_no_document_with_what_teaches(engine, tmp_path):
    found = collected(engine, read_questions(ENGLISH), tmp_path)
    training = found.training
    taught = {one.document for one in training.examples}
    compared = {one.document for one in found.comparison}
    levelled = {one.document for one in training.held_out}
    assert taught and compared and levelled
    assert not taught & levelled and not taught & compared and not levelled & compared
    assert training.held_documents == levelled | compared
    assert {one.document for one in found.levelling} == levelled


def test_a_document_may_be_named_by_its_source_or_by_its_id(engine, tmp_path):
    questions = read_questions(ENGLISH)[:6]
    ids = {info.source: info.id for info in engine.list_documents()}
    by_id = [replace(one, document=ids[one.document]) for one in questions]
    mixed = known_documents(engine._parts, "default", [*questions[:3], *by_id[3:]])
    assert [one.document for one in mixed] == [one.document for one in by_id]
    assert len(collected(engine, mixed, tmp_path).training.examples) == 6


def test_unanswerable_and_unreachable_questions_teach_nothing(engine, tmp_path):
    nothing = LabelledQuestion("u", "Who painted the ceiling of the moon?")
    elsewhere = LabelledQuestion("e", "When was the exchange established?", ("1817",), "no such document", 3)
    found = collected(engine, [nothing, elsewhere], tmp_path)
    assert found.training.examples == [] and set(found.question_rows) == {nothing.question, elsewhere.question}


def test_a_question_asked_of_two_documents_is_not_ranked(engine, tmp_path):
    first, second = read_questions(ENGLISH)[0], read_questions(ENGLISH)[6]
    assert first.document != second.document
    twin = replace(second, question=first.question.upper() + " ")
    found = collected(engine, [first, twin, read_questions(ENGLISH)[3]], tmp_path)
    by_text = {row: text for text, row in found.question_rows.items()}
    ranked = {by_text[one.row].strip().lower(): one.ranked for one in found.training.examples}
    assert ranked.pop(first.question.lower()) is False and all(ranked.values())


def test_a_question_without_a_document_belongs_to_the_one_that_answers_it(engine, tmp_path):
    bare = [replace(one, document=None, start=None) for one in read_questions(ENGLISH)]
    found = collected(engine, bare, tmp_path)
    assert found.split.held_out and all(name.startswith("document ") for name in found.split.held_out)
    assert not {one.document for one in found.training.examples} & found.training.held_documents


def test_beside_the_questions_of_people_a_set_only_teaches_and_not_about_their_held_out_documents(engine, tmp_path):
    questions = known_documents(engine._parts, "default", read_questions(ENGLISH))
    apart = Split(frozenset({questions[0].cluster}), frozenset({questions[-1].cluster}))
    found = collected(engine, questions, tmp_path, self_made=True, beside=apart)
    assert found.levelling == found.comparison == () and found.training.held_out == []
    taught = {f"document {one.document}" for one in found.training.examples}
    assert taught and not taught & apart.held_out and not taught & found.split.held_out


# -- states below layers that learn ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    texts = [(DATA / "xquad-en" / name).read_text() for name in ("corpus.jsonl", "questions.jsonl")]
    return write_tiny_model(tmp_path_factory.mktemp("tiny"), texts)


def test_lower_states_are_computed_once_and_lead_to_the_encoders_tokens(tiny, tmp_path):
    with open_engine(settings=settings_of(tmp_path / "data", model=str(tiny), backend="torch")) as engine:
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
        encoder = engine._parts.training.split(1)
        questions = read_questions(ENGLISH)[:9]
        steps: list[str] = []
        parts, one = (
            engine._parts,
            Labelled("default", tuple(known_documents(engine._parts, "default", questions)), 0, 1.0),
        )

        def told(what, done, total):
            steps.append(what)

        found = collect(parts, one, LowerStates(encoder), tmp_path / "states", told)
        assert {"questions asked", "chunks encoded", "questions encoded"} == set(steps)
        steps.clear()
        again = collect(parts, one, LowerStates(encoder), tmp_path / "states", told)
        assert set(steps) == {"questions asked"}
        np.testing.assert_array_equal(again.training.chunk_states.data, found.training.chunk_states.data)
        example = found.training.examples[0]
        output = encoder.read(*found.training.question_states.padded([example.row]))[0][example.take]
        text = next(text for text, row in found.question_rows.items() if row == example.row)
        expected = parts.encoder.encode_query(text).tokens.vectors
        cosines = (output * expected).sum(1) / np.linalg.norm(output, axis=1)
        assert (cosines > 0.999).all()


def test_candidates_are_read_again_with_the_layers_as_they_are_now(tiny, tmp_path):
    with open_engine(settings=settings_of(tmp_path / "data", model=str(tiny), backend="torch")) as engine:
        engine.ingest([DATA / "xquad-en" / "corpus.jsonl"])
        parts, encoder = engine._parts, engine._parts.training.split(1)
        questions = read_questions(ENGLISH)[:3]
        found = collected(engine, questions, tmp_path / "states", source=LowerStates(encoder))
        codec = parts.training.codec
        stored = AttentionReranker(codec)
        query = encode_question(parts, questions[0].question, Filters())
        candidates = parts.retriever.search(query, parts.candidates)

        def log_odds(reranker, query=query):
            scored = sorted(reranker.rerank(query, candidates), key=lambda one: one.chunk.key)
            chances = np.array([item.score for one in scored for item in one.sentences])
            return np.log(chances) - np.log1p(-chances)

        plain = log_odds(stored)
        again = log_odds(ReencodedReranker(stored, encoder, codec, found))
        np.testing.assert_allclose(again, plain, atol=0.1)  # log-odds, read in bfloat16
        torch.manual_seed(0)
        for parameter in encoder.layers.parameters():
            parameter.data.add_(0.5 * torch.randn_like(parameter))
        changed = log_odds(ReencodedReranker(stored, encoder, codec, found))
        assert np.abs(changed - plain).max() > 0.5
        unknown = replace(query, text="a question that was not collected")
        asked = ReencodedReranker(stored, encoder, codec, found)
        assert asked.name == "attention" and np.isfinite(log_odds(asked, unknown)).all()
