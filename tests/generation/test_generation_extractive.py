"""The default generator quotes, cites and stays brief; without evidence it gives the context's abstention."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.answers import Usage
from domain.documents import Span
from domain.search import GAP, Evidence
from generation.extractive import ExtractiveGenerator
from tests.generation.generation_examples import WordCounter, context, evidence


def answer_to(*items: object, abstention: str = "", most: int = 3) -> str:
    generator = ExtractiveGenerator(WordCounter(), max_sentences=most)
    return "".join(generator.generate(context(*items, abstention=abstention)))  # type: ignore[arg-type]


def test_the_best_sentence_is_quoted_with_its_mark() -> None:
    lease = evidence([("Pets are welcome.", 0.08), ("The rent is 500 euros.", 0.9)])
    assert answer_to(lease) == "The rent is 500 euros. [1]"


def test_a_sentence_with_a_fair_chance_follows() -> None:
    warranty = evidence([("The frame has ten years.", 0.9), ("The battery has three.", 0.3), ("Tyres none.", 0.08)])
    assert answer_to(warranty) == "The frame has ten years. [1] The battery has three. [1]"


def test_sentences_follow_best_first() -> None:
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


def marked(item: Evidence, labels: int, rows: Sequence[int]) -> Evidence:
    """The same, its first `labels` characters marked as column labels, the sentences at these places as rows."""
    sentences = tuple(replace(one, is_row=place in rows) for place, one in enumerate(item.sentences))
    return replace(item, header=Span(0, labels), sentences=sentences)


def test_a_row_of_a_pdf_is_quoted_under_all_lines_of_its_labels() -> None:
    lines = [("(In millions)", 0.0), ("2018 2017", 0.1), ("Sales 5,363 4,869", 0.2), ("Costs 1,577 1,373", 0.9)]
    assert answer_to(evidence(lines)) == "(In millions)\n2018 2017\nCosts 1,577 1,373 [1]"
    apart = replace(
        evidence([lines[0], lines[1], lines[3]]),
        text=GAP.join(("(In millions)\n2018 2017", "Costs 1,577 1,373")),
        spans=(Span(0, 23), Span(24, 41)),
    )
    assert answer_to(apart) == "Costs 1,577 1,373 [1]", "whose labels these are is not said"
    assert answer_to(marked(apart, 23, [2])) == "(In millions)\n2018 2017\nCosts 1,577 1,373 [1]"


def test_labels_are_no_answer_and_lend_their_score_to_the_best_row() -> None:
    table = evidence(
        [("Six Months Ended", 0.9), ("July 29, 2023 July 30, 2022", 0.3), ("Cash 1 2", 0.1), ("Debt 3 4", 0.2)]
    )
    prose = evidence([("Cash went down.", 0.6)], mark=2)
    assert answer_to(table, prose) == "Six Months Ended\nJuly 29, 2023 July 30, 2022\nDebt 3 4 [1]"
    assert answer_to(evidence([("July 29, 2023 July 30, 2022", 0.9)]), prose) == "Cash went down. [2]"
    assert answer_to(evidence([("July 29, 2023 July 30, 2022", 0.9)])) == "July 29, 2023 July 30, 2022 [1]"


def test_two_rows_of_one_table_stand_under_its_labels_once() -> None:
    table = evidence([("2018 2017", 0.1), ("Sales 5,363 4,869", 0.9), ("Costs 1,577 1,373", 0.85)])
    assert answer_to(table) == "2018 2017\nSales 5,363 4,869 [1]\nCosts 1,577 1,373 [1]"


def test_what_ends_with_a_colon_is_quoted_above_what_it_announces_and_lends_its_score() -> None:
    listed = evidence([("The tenant pays:", 0.9), ("the heating", 0.1), ("A cat is allowed.", 0.08)])
    assert answer_to(listed) == "The tenant pays:\nthe heating [1]"
    table = evidence([("Cash was as follows:", 0.9), ("2018 2017", 0.1), ("Euros 5,363 4,869", 0.2), ("Yen 1 3", 0.1)])
    assert answer_to(table) == "Cash was as follows:\n2018 2017\nEuros 5,363 4,869 [1]"
    torn = replace(
        evidence([("The tenant pays:", 0.9), ("A cat is allowed.", 0.5)]),
        text=GAP.join(("The tenant pays:", "A cat is allowed.")),
        spans=(Span(0, 16), Span(17, 34)),
    )
    assert answer_to(torn) == "A cat is allowed. [1]", "what was announced is not in the evidence"
    assert answer_to(evidence([("The tenant pays:", 0.9)])) == "The tenant pays: [1]"
    assert answer_to(evidence([("费用如下：", 0.9), ("取暖费", 0.1)])) == "费用如下：\n取暖费 [1]"


def test_lines_with_figures_that_are_no_table_stay_what_they_are() -> None:
    lease = evidence([("Parties", 0.01), ("The rent is 500 euros", 0.9), ("Call 555 1234 at night.", 0.02)])
    assert answer_to(lease) == "The rent is 500 euros [1]"


def test_a_heading_is_no_answer_and_lends_its_score_to_what_it_heads() -> None:
    manual = evidence([("## Rent", 0.9), ("It is 500 euros.", 0.2), ("Pets are welcome.", 0.08)])
    assert answer_to(manual) == "It is 500 euros. [1]"
    under = replace(evidence([("Rent", 0.9), ("It is 500 euros.", 0.2)]), heading_path=("Lease", "Rent"))
    assert answer_to(under) == "It is 500 euros. [1]"
    assert answer_to(evidence([("## Rent", 0.9)])) == "## Rent [1]"


def asking(question: str, item: Evidence) -> str:
    return "".join(ExtractiveGenerator(WordCounter()).generate(replace(context(item), question=question)))


def test_a_line_that_says_no_more_than_the_question_heads_what_is_behind_it() -> None:
    rules = evidence([("装修", 0.7), ("周末禁止施工。", 0.05), ("电梯全天开放。", 0.06)])
    assert asking("周末可以装修吗？", rules) == "周末禁止施工。 [1]"
    assert asking("电梯什么时候开放？", rules) == "装修 [1]", "it says something that was not asked"
    affirmed = evidence([("The garage is included.", 0.7), ("Pets are not.", 0.05)])
    assert asking("Is the garage included?", affirmed) == "The garage is included. [1]"


def test_rows_and_rules_of_a_table_are_no_headings_whatever_is_asked() -> None:
    table = evidence([("| Country | EUR |", 0.1), ("|---|---|", 0.0), ("| China | 55 |", 0.9)])
    assert asking("Is it 55 in China?", table) == "| Country | EUR |\n| China | 55 | [1]"


def test_a_question_in_a_document_is_quoted_above_its_answer() -> None:
    questions = evidence([("May I keep a cat?", 0.9), ("Yes, one.", 0.05), ("Is there a lift?", 0.06), ("No.", 0.01)])
    assert asking("Are cats allowed?", questions) == "May I keep a cat?\nYes, one. [1]"


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


STEPS = [
    "Cleaning a lens takes three steps:",
    "1. Blow the dust off.",
    "2. Use a tissue.",
    "Never a cloth.",
    "3. Dry it.",
]


def steps(*scores: float, mark: int = 1) -> Evidence:
    return evidence(list(zip(STEPS, scores, strict=True)), mark=mark)


def test_a_list_that_is_asked_for_as_a_whole_is_quoted_whole_under_its_title_line_by_line() -> None:
    assert answer_to(steps(0.8, 0.3, 0.1, 0.05, 0.01)) == (
        "Cleaning a lens takes three steps:\n1. Blow the dust off. [1]\n2. Use a tissue. [1] Never a cloth. [1]\n"
        "3. Dry it. [1]"
    )


def test_a_list_counts_as_one_quote() -> None:
    other = evidence([("Lenses are insured.", 0.7), ("Tripods are not.", 0.6), ("Bags are lent.", 0.5)], mark=2)
    assert answer_to(steps(0.8, 0.3, 0.1, 0.05, 0.01), other).endswith(
        "\n3. Dry it. [1]\nLenses are insured. [2] Tripods are not. [2]"
    )


def test_an_item_that_is_asked_for_is_quoted_under_the_title_of_its_list() -> None:
    assert answer_to(steps(0.2, 0.01, 0.9, 0.0, 0.01)) == "Cleaning a lens takes three steps:\n2. Use a tissue. [1]"


def test_items_are_quoted_in_the_order_of_their_list() -> None:
    half = evidence([("- Rent: 500.", 0.3), ("- Heating: 80.", 0.9), ("- Water: 20.", 0.2)])
    assert answer_to(half) == "- Rent: 500. [1]\n- Heating: 80. [1]\n- Water: 20. [1]"


def test_a_line_without_a_full_stop_above_a_list_is_its_title() -> None:
    procedure = evidence([("无人机坠落后的处理", 0.9), ("一、关机。", 0.0), ("二、取出电池。", 0.0)])
    assert answer_to(procedure) == "无人机坠落后的处理\n一、关机。 [1]\n二、取出电池。 [1]"
