"""Each sentence of an answer says whether its evidence supports it, at its place in the text that is shown."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from context.citations import resolve_citations
from tests.context.context_examples import evidence

LEASE = evidence("The monthly rent is 1,250 euros.\nAnna Schmidt signed the lease on March 5, 2020.")
ANNEX = evidence("Bob Meyer paid the deposit.\nThe deposit is three monthly rents.", mark=2, name="b", title="Annex")


def flags(answer: str) -> list[tuple[str, bool | None]]:
    cited = resolve_citations(answer, [LEASE, ANNEX])
    return [(item.span.of(cited.text), item.supported) for item in cited.sentences]


def test_supported_unsupported_and_uncited_sentences_are_told_apart() -> None:
    answer = "The rent is 1,250 euros [1]. Anna Schmidt signed in 2021. [1] Ask a lawyer."
    assert flags(answer) == [
        ("The rent is 1,250 euros [1].", True),
        ("Anna Schmidt signed in 2021. [1]", False),
        ("Ask a lawyer.", None),
    ]


def test_a_sentence_keeps_its_place_when_marks_are_taken_out_and_respelt() -> None:
    assert flags("Hello [9]. The rent is 1,250 euros【1】. Bye [8].") == [
        ("Hello.", None),
        ("The rent is 1,250 euros[1].", True),
        ("Bye.", None),
    ]


def test_what_follows_the_last_mark_must_be_supported_too() -> None:
    assert flags("The rent is 1,250 euros [1] and the roof leaks.")[0][1] is False
    assert flags("The rent is 1,250 euros [1], and Anna Schmidt signed the lease.")[0][1] is True


def test_a_clause_without_a_subject_cannot_borrow_one_from_its_neighbour() -> None:
    """It was Bob who paid: "Anna ... and paid the deposit" has all the words of two true sentences."""
    assert flags("Anna Schmidt signed the lease and paid the deposit [1][2].")[0][1] is False
    assert flags("Anna Schmidt signed the lease [1] and paid the deposit [2].")[0][1] is False
    assert flags("Anna Schmidt signed the lease [1] and Bob Meyer paid the deposit [2].")[0][1] is True


def test_a_date_of_one_sentence_does_not_open_another() -> None:
    source = evidence("Costs rose in 2021.\nAnna Schmidt signed the lease.")
    cited = resolve_citations("In 2021, Anna Schmidt signed the lease [1].", [source])
    assert [item.supported for item in cited.sentences] == [False]


def test_one_column_of_a_table_does_not_speak_for_another() -> None:
    table = evidence("Item | 2018 | 2019\nServices | 5 | 7")
    true, false = ("Services were 7 in 2019 [1].", "Services were 5 in 2019 [1].")
    assert [item.supported for item in resolve_citations(true, [table]).sentences] == [True]
    assert [item.supported for item in resolve_citations(false, [table]).sentences] == [False]


def test_a_mark_behind_one_that_was_taken_out_belongs_to_its_own_sentence() -> None:
    assert flags("The rent is 1,250 euros [1]. The deposit is three monthly rents [9][2].") == [
        ("The rent is 1,250 euros [1].", True),
        ("The deposit is three monthly rents[2].", True),
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["Rent", " is", " [1]", "【2】", "[9]", ".", "。", "\n", " ", "`a[1]`", "-", "5%"]), max_size=20
    )
)
def test_sentences_are_stretches_of_the_shown_text_in_order(pieces: list[str]) -> None:
    cited = resolve_citations("".join(pieces), [LEASE, ANNEX])
    spans = [item.span for item in cited.sentences]
    assert all(left.end <= right.start for left, right in pairwise(spans))
    for item in cited.sentences:
        shown = item.span.of(cited.text)
        assert shown == shown.strip() != ""
        assert all(f"[{mark}]" in shown for mark in item.marks)
        assert (item.supported is None) == (not item.marks)
