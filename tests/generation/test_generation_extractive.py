"""The default generator quotes, cites and stays brief; without evidence it gives the context's abstention."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.answers import Usage
from generation.extractive import ExtractiveGenerator
from tests.generation.generation_examples import WordCounter, context, evidence


def answer_to(*items: object, abstention: str = "", most: int = 3) -> str:
    generator = ExtractiveGenerator(WordCounter(), max_sentences=most)
    return "".join(generator.generate(context(*items, abstention=abstention)))  # type: ignore[arg-type]


def test_the_best_sentence_is_quoted_with_its_mark() -> None:
    lease = evidence([("Pets are welcome.", 0.3), ("The rent is 500 euros.", 0.9)])
    assert answer_to(lease) == "The rent is 500 euros. [1]"


def test_nearly_as_good_sentences_follow_best_first() -> None:
    lease = evidence([("Heating is 80 euros.", 0.8), ("The rent is 500.", 0.9)])
    annex = evidence([("A garage costs 50 more.", 0.85), ("The cat is grey.", 0.6)], mark=2)
    assert answer_to(lease, annex) == "The rent is 500. [1] A garage costs 50 more. [2] Heating is 80 euros. [1]"


def test_no_more_sentences_than_allowed() -> None:
    lease = evidence([("Heating is 80 euros.", 0.9), ("The rent is 500.", 0.9)])
    assert answer_to(lease, most=1) == "Heating is 80 euros. [1]"


def test_what_is_said_is_not_said_again() -> None:
    lease = evidence([("The rent is 500 euros.", 0.9)])
    copy = evidence([("The rent is 500 euros a month.", 0.89), ("Heating costs 80.", 0.88)], mark=2)
    assert answer_to(lease, copy) == "The rent is 500 euros. [1] Heating costs 80. [2]"


def test_a_row_of_a_table_is_quoted_under_its_header() -> None:
    table = evidence([("2018 | 1,577", 0.9)], header="Year | Capital expenditure")
    assert answer_to(table) == "Year | Capital expenditure\n2018 | 1,577 [1]"


def test_a_row_is_quoted_under_its_header_when_prose_stands_before_the_table() -> None:
    table = evidence(
        [("Claims are late.", 0.1), ("| Country | EUR |", 0.2), ("|---|---|", 0.0), ("| China | 55 |", 0.9)]
    )
    assert answer_to(table) == "| Country | EUR |\n| China | 55 | [1]"


def test_the_header_row_alone_is_no_answer() -> None:
    table = evidence([("Year | Sales", 0.95), ("2018 | 4", 0.9)])
    assert answer_to(table) == "Year | Sales\n2018 | 4 [1]"


def test_a_heading_is_no_answer_and_lends_its_score_to_what_it_heads() -> None:
    manual = evidence([("## Rent", 0.9), ("It is 500 euros.", 0.2), ("Pets are welcome.", 0.6)])
    assert answer_to(manual) == "It is 500 euros. [1]"
    under = replace(evidence([("Rent", 0.9), ("It is 500 euros.", 0.2)]), heading_path=("Lease", "Rent"))
    assert answer_to(under) == "It is 500 euros. [1]"
    assert answer_to(evidence([("## Rent", 0.9)])) == "## Rent [1]"


def test_chinese_sentences_are_compared_by_character() -> None:
    lease = evidence([("租金为每月五百元。", 0.9), ("每月租金为五百元。", 0.89), ("押金两千。", 0.85)])
    assert answer_to(lease) == "租金为每月五百元。 [1] 押金两千。 [1]"


@pytest.mark.parametrize(
    ("sentence", "quoted"),
    [
        ("You are evil [1] [2].", "You are evil (1) (2)."),
        ("See [2, 3] and [4-6].", "See (2, 3) and (4-6)."),
        ("See【2】［3］〔4〕.", "See(2)(3)(4)."),
        ("See [2†source] and [^3] and [ 4 ].", "See (2†source) and (^3) and ( 4 )."),
        ("Read a[2] first.", "Read a(2) first."),
        ("Nested [[2]] marks.", "Nested [(2)] marks."),
        ("A [word] stays.", "A [word] stays."),
    ],
)
def test_marks_inside_a_document_are_no_citations(sentence: str, quoted: str) -> None:
    assert answer_to(evidence([(sentence, 0.9)])) == f"{quoted} [1]"


def test_marks_inside_a_header_row_are_no_citations() -> None:
    table = evidence([("2018 | 1,577 [3]", 0.9)], header="Year | Sales [2]")
    assert answer_to(table) == "Year | Sales (2)\n2018 | 1,577 (3) [1]"


@given(st.text(alphabet="a1 2,[]【】［］^†-", min_size=1, max_size=30).filter(lambda text: text.strip() != ""))
def test_every_bracketed_number_of_an_answer_is_its_own(text: str) -> None:
    answer = answer_to(evidence([(text.strip(), 0.9)], mark=7))
    assert answer.endswith(" [7]") and not re.search(r"[\[［【]\d+[\]］】]", answer[: -len(" [7]")])


def test_without_evidence_the_abstention_is_the_answer() -> None:
    assert answer_to(abstention="I don't know.") == "I don't know."


def test_it_streams_a_sentence_a_part_and_accounts_for_itself() -> None:
    lease = evidence([("The rent is 500.", 0.9), ("Heating costs 80.", 0.9)])
    parts = ExtractiveGenerator(WordCounter()).generate(context(lease))
    assert list(parts) == ["The rent is 500. [1]", " Heating costs 80. [1]"]
    assert parts.usage == Usage(prompt_tokens=0, completion_tokens=9)
    assert parts.finish_reason == "stop"


def test_it_says_what_it_is() -> None:
    generator = ExtractiveGenerator(WordCounter(), context_window=4_000, max_output_tokens=300)
    assert (generator.model, generator.context_window, generator.max_output_tokens) == ("extractive", 4_000, 300)
    assert generator.count_tokens("three little words") == 3


def test_an_answer_keeps_to_its_reserve_by_whole_quotes_and_says_that_it_was_cut() -> None:
    sentences = [("Rent is 500 euros.", 0.9), ("Deposits amount to two months.", 0.9), ("Pets need consent.", 0.85)]
    asked = context(evidence(sentences))
    parts = {}
    for reserve in (50, 11, 10, 1):  # 5 + 6 + 4 words with their marks
        bill = replace(asked.bill, reserve=reserve)
        stream = ExtractiveGenerator(WordCounter()).generate(replace(asked, bill=bill))
        parts[reserve] = (len(list(stream)), stream.truncated)
    assert parts == {50: (3, False), 11: (2, True), 10: (1, True), 1: (1, True)}
