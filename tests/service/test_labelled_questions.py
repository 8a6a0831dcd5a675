"""Labelled questions: what a file of them may hold, and what counts as their evidence."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.drafts import sentences_of
from domain.documents import DocumentRef, Span
from domain.errors import UsageError
from domain.search import GAP, Evidence, ScoredChunk, ScoredSentence, StoredChunk
from fovea.testing import make_chunk, make_document
from service.answer_strings import find_answer, folded
from service.labelled_questions import (
    LabelledQuestion,
    Reference,
    evidence_recall,
    gold_sentences,
    gold_spans,
    is_gold_chunk,
    needed_sentences,
    read_questions,
    repeated_elsewhere,
)

ROW = {"id": "q1", "question": "When?", "answers": ["1817"], "document": "warsaw.txt", "start": 11}
SENTENCES = ("The exchange opened in 1817.", "It closed in 1939.", "In 1991 it opened again.")
TEXT = " ".join(SENTENCES)


@pytest.fixture
def file(tmp_path):
    """Write rows, one a line, and give the path."""

    def write(*rows, name="questions.jsonl"):
        data = b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["questions.jsonl", "questions.jsonl.gz"])
def test_a_file_gives_its_questions_in_order(file, name):
    unanswerable = {"id": "q2", "question": "Why?", "answers": [], "document": None, "start": None}
    spread = {
        "id": "q3",
        "question": "How?",
        "answers": ["so"],
        "references": [{"document": "a", "start": 0, "end": 2}],
    }
    assert read_questions(file(ROW, b"", unanswerable, spread, name=name)) == (
        LabelledQuestion("q1", "When?", ("1817",), "warsaw.txt", 11),
        LabelledQuestion("q2", "Why?"),
        LabelledQuestion("q3", "How?", ("so",), references=(Reference("a", Span(0, 2)),)),
    )


def test_fields_of_other_programs_and_a_byte_order_mark_are_passed_over(file):
    path = file(b"\xef\xbb\xbf" + json.dumps(ROW | {"kind": "date"}).encode())
    assert read_questions(path)[0].id == "q1"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"id": 7}, '"id"'),
        ({"id": " "}, '"id"'),
        ({"question": ""}, '"question"'),
        ({"question": None}, '"question"'),
        ({"answers": "1817"}, '"answers"'),
        ({"answers": None}, '"answers"'),
        ({"answers": ["1817", 3]}, '"answers"'),
        ({"answers": [" "]}, '"answers"'),
        ({"document": 3}, '"document"'),
        ({"document": ""}, '"document"'),
        ({"start": -1}, '"start"'),
        ({"start": True}, '"start"'),
        ({"start": "11"}, '"start"'),
        ({"document": None}, '"start"'),
        ({"answers": []}, '"start"'),
        ({"references": {}}, '"references"'),
        ({"references": ["a"]}, '"references" [0]'),
        ({"references": [{"document": "a", "start": 0, "end": 1}, {"document": "a", "start": 2, "end": 2}]}, "[1]"),
        ({"references": [{"start": 0, "end": 1}]}, '"document"'),
        ({"answers": [], "start": None, "references": [{"document": "a", "start": 0, "end": 1}]}, "unanswerable"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(file, change, named):
    path = file(ROW, ROW | {"id": "q2"} | change)
    with pytest.raises(UsageError) as caught:
        read_questions(path)
    assert f"{path}:2" in caught.value.message
    assert named in caught.value.message
    assert caught.value.code == "invalid_questions"


@pytest.mark.parametrize(("line", "named"), [(b"{", "not valid JSON"), (b"[]", "not an object"), (b"\xff", "JSON")])
def test_a_line_that_is_no_object_is_named(file, line, named):
    with pytest.raises(UsageError, match=named) as caught:
        read_questions(file(ROW, line))
    assert ":2: " in caught.value.message


def test_an_id_that_stands_twice_is_refused_with_both_lines(file):
    with pytest.raises(UsageError, match=r":3: the id 'q1' stands in line 1 already"):
        read_questions(file(ROW, ROW | {"id": "q2"}, ROW))


def test_a_file_that_is_empty_missing_a_folder_or_damaged_is_a_usage_error(file, tmp_path):
    damaged = file(ROW, name="x.jsonl.gz")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (tmp_path / "plain.jsonl.gz").write_bytes(b"not gzip")
    for path in (file(b""), tmp_path / "missing.jsonl", tmp_path, damaged, tmp_path / "plain.jsonl.gz"):
        with pytest.raises(UsageError, match=str(path)):
            read_questions(path)


# -- gold ------------------------------------------------------------------------------------------------------------


def scored(*scores, source="warsaw.txt"):
    """TEXT as one chunk, its three sentences with these scores."""
    document = make_document(TEXT, source)
    chunk = make_chunk(document, SENTENCES)
    stored = StoredChunk(chunk, DocumentRef(document.id, document.source, document.title))
    return ScoredChunk(stored, 1.0, tuple(map(ScoredSentence, chunk.sentences, scores)), {})


def question(*answers, **places):
    return LabelledQuestion("q", "When?", answers, **places)


CHUNK = scored(0.1, 0.2, 0.3)


def gold_of(labelled):
    return sorted(gold_sentences(labelled, CHUNK.chunk, CHUNK.document))


def test_the_gold_sentence_is_the_one_at_the_labelled_start():
    labelled = question("opened", document="warsaw.txt", start=TEXT.rindex("opened"))
    assert gold_of(labelled) == [2]  # the same word in the first sentence is not meant
    assert gold_spans(labelled, CHUNK.chunk, CHUNK.document)[0].of(TEXT) == "opened"


def test_the_gold_document_may_be_named_by_its_id():
    assert gold_of(question("1939", document=CHUNK.document.id, start=TEXT.index("1939"))) == [1]
    assert gold_of(question("1939", document="doc-other", start=TEXT.index("1939"))) == []
    assert gold_of(question("1939", document="doc-other")) == []


def test_a_label_that_ends_in_a_blank_does_not_reach_the_next_sentence():
    assert gold_of(question("1817. ", document="warsaw.txt", start=TEXT.index("1817"))) == [0]
    assert gold_of(question("it", document="warsaw.txt", references=(Reference("warsaw.txt", Span(28, 29)),))) == []


def test_references_outrank_the_start_and_may_touch_several_sentences():
    span = Span(TEXT.index("1817"), TEXT.index("closed") + 6)
    labelled = question("opened", document="warsaw.txt", start=0, references=(Reference("warsaw.txt", span),))
    assert gold_of(labelled) == [0, 1]


def test_without_a_place_every_occurrence_of_an_answer_counts():
    assert gold_of(question("OPENED", document="warsaw.txt")) == [0, 2]
    assert gold_of(question("1939", "1991", document="warsaw.txt")) == [1, 2]
    assert gold_of(question("193", document="warsaw.txt")) == []
    assert gold_of(question("1817")) == [0]  # no document: any chunk may hold it


def test_a_part_of_the_evidence_makes_a_chunk_gold():
    document = make_document(TEXT, "warsaw.txt")
    first, second = make_chunk(document, SENTENCES[:1]), make_chunk(document, SENTENCES[1:], 1)
    across = question("1817. It closed", document="warsaw.txt", start=TEXT.index("1817"))
    assert [is_gold_chunk(across, chunk, CHUNK.document) for chunk in (first, second)] == [True, True]
    inside = question("1939", document="warsaw.txt", start=TEXT.index("1939"))
    assert [is_gold_chunk(inside, chunk, CHUNK.document) for chunk in (first, second)] == [False, True]
    assert gold_sentences(inside, second, CHUNK.document) == {0}


def needed(question, chunks):
    """The scores of what it needs."""
    return [sentences_of(chunks[at])[place].score for at, place in needed_sentences(question, chunks)]


def test_an_unanswerable_question_has_no_gold():
    assert gold_of(question(document="warsaw.txt")) == []
    assert needed(question(), [CHUNK]) == []


def test_evidence_by_place_needs_all_its_sentences_and_by_string_the_best_occurrence():
    span = Span(0, TEXT.index("1939"))
    by_place = question("x", references=(Reference("warsaw.txt", span),))
    assert sorted(needed(by_place, [CHUNK])) == [0.1, 0.2]
    assert needed(question("opened", document="warsaw.txt"), [CHUNK]) == [0.3]
    assert needed(question("1817. It closed", document="warsaw.txt"), [CHUNK]) == [0.1]
    elsewhere = scored(0.9, 0.8, 0.7, source="copy.txt")
    assert needed(question("1939"), [CHUNK, elsewhere]) == [0.8]
    assert needed(question("1939", document="warsaw.txt"), [elsewhere]) == []


def test_a_reranker_without_sentence_scores_gives_each_sentence_that_of_its_chunk():
    bare = ScoredChunk(CHUNK.stored, 0.6, (), {})
    assert needed(question("1939", document="warsaw.txt"), [bare]) == [0.6]


def evidence(*spans, source="warsaw.txt"):
    return Evidence(
        mark=1,
        document_id="doc-1",
        source=source,
        title="",
        page=None,
        heading_path=(),
        chunk_id="c",
        text=GAP.join(span.of(TEXT) for span in spans),
        spans=spans,
        score=1.0,
        scores={},
        sentences=(),
        tokens=1,
    )


FIRST, SECOND, THIRD = (item.span for item in CHUNK.chunk.sentences)


def test_recall_by_place_is_the_share_of_the_references_that_are_held_whole():
    both = question("x", references=(Reference("doc-1", FIRST), Reference("warsaw.txt", THIRD)))
    assert evidence_recall(both, [evidence(FIRST, SECOND)]) == 0.5
    assert evidence_recall(both, [evidence(THIRD), evidence(FIRST)]) == 1
    assert evidence_recall(both, [evidence(Span(0, FIRST.end - 5), THIRD)]) == 0.5
    assert evidence_recall(both, [evidence(FIRST, THIRD, source="other")]) == 0.5  # one names the id
    assert evidence_recall(both, []) == 0


def test_what_runs_across_two_sentences_is_held_by_both_together():
    across = question("1817. It closed", document="warsaw.txt", start=TEXT.index("1817"))
    assert evidence_recall(across, [evidence(FIRST, SECOND)]) == 1
    assert evidence_recall(across, [evidence(FIRST)]) == 0
    assert evidence_recall(across, [evidence(SECOND)]) == 0


def test_recall_by_string_asks_for_any_answer_in_the_gold_document():
    assert evidence_recall(question("1939", "1940", document="warsaw.txt"), [evidence(SECOND)]) == 1
    assert evidence_recall(question("1940", document="warsaw.txt"), [evidence(SECOND)]) == 0
    assert evidence_recall(question("1939", document="other"), [evidence(SECOND)]) == 0
    assert evidence_recall(question("1939"), [evidence(SECOND)]) == 1


def test_questions_about_one_document_share_a_cluster():
    assert question("a", document="d", start=0).cluster == question(document="d").cluster
    assert question("a", references=(Reference("d", Span(0, 1)),)).cluster == question(document="d").cluster
    assert LabelledQuestion("1", "?").cluster != LabelledQuestion("2", "?").cluster


# -- answer strings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("Es heißt STRASSE.", "straße", ["STRASSE"]),
        ("ｗａｒｓａｗ fell", "Warsaw", ["ｗａｒｓａｗ"]),
        ("two\n  words here", "Two words", ["two\n  words"]),
        ("no notes, no No", "no", ["no", "no", "No"]),
        ("3.5% of 35", "5", ["5"]),
        ("他住在北京市。", "北京", ["北京"]),
        ("成立于1817年", "1817", ["1817"]),
        ("①②", "1", []),  # what goes on as a number is not the number
        ("abc", "abcd", []),
        ("abc", " ", []),
        ("", "a", []),
    ],
)
def test_answers_are_found_as_whole_words_in_the_texts_own_offsets(text, answer, found):
    assert [span.of(text) for span in find_answer(text, answer)] == found


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=40), st.text(max_size=5))
def test_what_is_found_folds_to_the_answer(text, answer):
    for span in find_answer(text, answer):
        assert folded(answer) in folded(span.of(text))


def test_evidence_that_another_document_repeats_is_known_by_its_whole_sentences():
    asked = question("1939", document="warsaw.txt", start=TEXT.index("1939"))
    twins = [scored(0.9, 0.9, 0.9, source="copy.txt"), scored(0.8, 0.8, 0.8)]
    assert evidence_recall(asked, [evidence(FIRST, SECOND, source="copy.txt")]) == 0
    assert repeated_elsewhere(asked, twins, [evidence(FIRST, SECOND, source="copy.txt")])
    assert not repeated_elsewhere(asked, twins, [evidence(FIRST, source="copy.txt")])
    assert not repeated_elsewhere(asked, twins[:1], [evidence(SECOND, source="copy.txt")])  # nobody knows what it needs
    assert not repeated_elsewhere(asked, twins, [])
    assert not repeated_elsewhere(asked, twins, [evidence(SECOND)])  # its own document is no other
    both = question("x", references=(Reference("warsaw.txt", SECOND), Reference("lost.txt", SECOND)))
    assert not repeated_elsewhere(both, twins, [evidence(SECOND, source="copy.txt")])  # half of it is nowhere
