"""Citations are ours, not the model's: quotes are verbatim, marks exist, and what is not supported is not verified."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.citations import resolve_citations
from domain.search import Evidence
from tests.context.context_examples import document, evidence, ranked

DATA = Path(__file__).parents[1] / "data"
LEASE = evidence(
    "The monthly rent is 1,250 euros.\n"
    "Anna Schmidt signed the lease on March 5, 2020.\n"
    "The tenant must not keep dogs.\n"
    "Heating costs rose by 12% in 2021."
)
ANNEX = evidence("The deposit is three monthly rents.\nIt is kept by Nordbank AG.", mark=2, name="b", title="Annex")
TRUST = evidence(
    "The rent is 840 pounds a month, payable in advance.\n"
    "Fergus Maclean signs for the Trust.\n"
    "Anna Smith owes Bob Jones 300 pounds.\n"
    "The deposit is less than 500 pounds.\n"
    "Some staff may leave early.\n"
    "Unless the alarm is set, the door stays open.\n"
    "The Trust does not pay for water.\n"
    "Maclean denies that he lost the key.\n"
    "Guests arrive after noon, except on Sundays.",
    title="Tenant's handbook",
)
CHINESE = evidence("王芳于2020年3月5日签署了租赁合同。\n每月租金为三百五十万元。\n租户不得饲养宠物。", title="租约")


def verdicts(answer: str, *items: Evidence) -> list[tuple[int, bool]]:
    cited = resolve_citations(answer, items or (LEASE, ANNEX))
    return [(citation.mark, citation.verified) for citation in cited.citations]


def test_a_mark_becomes_the_sentence_that_supports_its_claim() -> None:
    cited = resolve_citations("The lease was signed by Anna Schmidt [1].", [LEASE])
    (citation,) = cited.citations
    assert citation.quote == "Anna Schmidt signed the lease on March 5, 2020."
    assert citation.span.of(LEASE.text) == citation.quote
    assert (citation.mark, citation.title, citation.source, citation.verified) == (1, "Lease", "a.txt", True)


@pytest.mark.parametrize(
    "answer",
    [
        "The monthly rent is €1250 [1].",
        "The monthly rent is 1,250.00 euros. [1]",
        "[1] says that the monthly rent is 1,250 euros.",
        "- The monthly rent is 1,250 euros【1】",
        "The lease was signed on 5 March 2020 [1].",
        "Anna Schmidt signed the lease on 2020-03-05 [1].",
        "Heating costs rose by 12 percent in 2021 [1].",
        "The lease says: “The tenant must not keep dogs.” [1]",
        "The tenant must not keep dogs [1].",
        "The deposit is 3 monthly rents [2].",
        "Under the Annex, the deposit is kept by Nordbank AG [2].",
    ],
)
def test_a_supported_claim_is_verified(answer: str) -> None:
    assert [verified for _, verified in verdicts(answer)] == [True]


@pytest.mark.parametrize(
    "answer",
    [
        "The monthly rent is 1,350 euros [1].",  # another number
        "The monthly rent is 1,250 million euros [1].",  # another scale
        "Heating costs rose by 12 in 2021 [1].",  # a number is no percentage
        "Heating costs rose by 21% in 2021 [1].",
        "The lease was signed on March 6, 2020 [1].",  # another day
        "The lease was signed on May 5, 2020 [1].",  # another month
        "Bernd Schmidt signed the lease [1].",  # another name
        "London Bank keeps the deposit [2].",
        "The lease says: “The tenant may keep dogs gladly.” [1]",  # an invented quotation
        "The tenant must keep dogs [1].",  # the negation is gone
        "The monthly rent is not 1,250 euros [1].",  # a negation was added
        "The deposit is four monthly rents [2].",
        "The weather was lovely all summer long [1].",  # nothing of it
        "Yes [1].",  # nothing to check
        "The monthly rent is 1,250 euros [1], up from 900 in Berlin.",  # behind the mark
        "Anna Schmidt signed the lease on March 5, 2021 [1].",  # the year of another sentence
        "Heating costs are 1,250 euros [1].",  # the amount of another sentence
        "The deposit is 1,250 euros [1][2].",  # the subject of one source, the amount of the other
    ],
)
def test_an_unsupported_claim_is_not_verified(answer: str) -> None:
    assert not any(verified for _, verified in verdicts(answer))


@pytest.mark.parametrize(
    ("answer", "verified"),
    [
        ("合同由王芳签署 [1]。", True),
        ("王芳于2020年3月5日签署了租赁合同。[1]", True),
        ("每月租金为350万元【1】。", True),
        ("每月租金为3,500,000元[1]。", True),
        ("租户不得饲养宠物［1］。", True),
        ("合同由李明签署 [1]。", False),
        ("王芳于2020年4月5日签署了租赁合同 [1]。", False),
        ("每月租金为三百六十万元 [1]。", False),
        ("租户可以饲养宠物 [1]。", False),
        ("今天天气很好，适合出门散步 [1]。", False),
    ],
)
def test_chinese_claims_are_checked_too(answer: str, verified: bool) -> None:
    assert verdicts(answer, CHINESE) == [(1, verified)]


@pytest.mark.parametrize(
    "claim",
    [
        "The rent is 840 euros a month",
        "The rent is $840 a month",
        "The rent is 840 euros",
        "The rent is 840 pounds a year",
        "The rent is 840 pounds a week",
        "The rent is 840 pounds per annum",
        "The yearly rent is 840 pounds",
        "The rent is -840 pounds a month",
        "The rent is minus 840 pounds a month",
        "The rent is zero pounds a month",
        "The rent is one pound a month",
        "The rent is half of 840 pounds a month",
        "The rent is twice 840 pounds a month",
        "The rent is almost 840 pounds a month",
        "The rent is more than 840 pounds a month",
        "The rent is never 840 pounds a month",
        "The rent is hardly 840 pounds a month",
        "The rent is 840 pounds a month, payable in arrears",
        "It is false that the rent is 840 pounds a month",
        "It is untrue that Fergus Maclean signs for the Trust",
        "The deposit is more than 500 pounds",
        "The deposit is at least 500 pounds",
        "The deposit is 500 pounds",
        "Bob Jones owes Anna Smith 300 pounds",
        "bob jones owes anna smith 300 pounds",
        "Anna Smith owes Bob Jones 300 pounds a month",
        "The Trust signs for Fergus Maclean",
        "Fergus Maclean signs for the Tenant",
        "Fergus Maclean signs for the tenant",
        "Fergus Maclean denies signing for the Trust",
        "Fergus Maclean refuses to sign for the Trust",
        "Fergus Maclean hardly signs for the Trust",
        "Fergus Maclean never signs for the Trust",
        "All staff may leave early",
        "Staff may leave early",
        "No staff may leave early",
        "Some staff must leave early",
        "If the alarm is set, the door stays open",
        "The door stays open",
        "The Trust pays for water",
        "Maclean lost the key",
        "Guests arrive before noon",
        "Guests arrive after noon, including on Sundays",
    ],
)
def test_a_claim_that_turns_its_quote_round_is_not_verified(claim: str) -> None:
    assert not any(verified for _, verified in verdicts(f"{claim} [1].", TRUST))


@pytest.mark.parametrize(
    "claim",
    [
        *TRUST.text.replace(".", "").split("\n"),
        "The monthly rent is £840",
        "The rent is 840 pounds per month",
        "Rent: £840/month",
        "The deposit is less than £500",
    ],
)
def test_copies_and_close_paraphrases_stay_verified(claim: str) -> None:
    assert verdicts(f"{claim} [1].", TRUST) == [(1, True)]


@pytest.mark.parametrize(
    "claim",
    [
        "押金超过五千元",
        "押金为五千元",
        "租客在入住之后付款",
        "租金不包括水费",
        "全部员工可以提前离开",
        "王芳从不养狗",
        "李明欠王芳三百元",
        "房东同意维修",
        "如果下雨，比赛照常进行",
        "比赛照常进行",
        "每年租金为八百元",
        "每月租金为八百美元",
        "每月租金为零元",
        "每月租金为负800元",
    ],
)
def test_a_chinese_claim_that_turns_its_quote_round_is_not_verified(claim: str) -> None:
    source = evidence(
        "押金不足五千元。\n租客在入住之前付款。\n租金包括水费。\n部分员工可以提前离开。\n王芳养狗。\n王芳欠李明三百元。\n"
        "房东拒绝维修。\n除非下雨，比赛照常进行。\n每月租金为八百元。"
    )
    assert not any(verified for _, verified in verdicts(f"{claim} [1]。", source))
    for sentence in source.text.split("\n"):
        assert verdicts(f"{sentence} [1]", source) == [(1, True)]


def test_the_sentences_of_the_sample_texts_are_verified_as_they_stand() -> None:
    """Sentences of two languages: whatever they hold of numbers, names and negations, they support themselves."""
    lines = [
        line
        for name in ("xquad-en", "cmrc-zh")
        for line in (DATA / name / "corpus.jsonl").read_text("utf-8").splitlines()
    ]
    parts = [part for line in lines for part in re.split(r"(?<=[.!?]) |(?<=[。！？])|\n", json.loads(line)["text"])]
    sentences = [part.strip() for part in parts if 20 < len(part) < 400 and "[" not in part]
    doubted = [part for part in sentences if not verdicts(f"{part} [1]", evidence(part))[-1][1]]
    assert len(sentences) > 150
    assert doubted == []


def test_a_quote_with_marks_of_its_own_is_still_a_copy() -> None:
    source = evidence("You are evil [1] [2].\nRead a[2] and “b [3]” first.")
    assert verdicts("You are evil (1) (2). [1] Read a(2) and “b (3)” first. [1]", source) == [(1, True), (1, True)]


def test_each_mark_answers_for_its_own_part_of_the_sentence() -> None:
    answer = "The rent is 1,250 euros [1] and the deposit is three monthly rents [2]."
    cited = resolve_citations(answer, [LEASE, ANNEX])
    assert [(item.mark, item.quote, item.verified) for item in cited.citations] == [
        (1, "The monthly rent is 1,250 euros.", True),
        (2, "The deposit is three monthly rents.", True),
    ]


def test_marks_that_share_a_claim_are_verified_when_each_is_needed() -> None:
    assert verdicts("The rent is 1,250 euros and Nordbank AG keeps the deposit [1][2].") == [(1, True), (2, True)]


def test_a_sentence_that_sums_up_two_sentences_gets_both_quotes() -> None:
    cited = resolve_citations("Heating costs rose by 12% in 2021 and Anna Schmidt signed the lease [1].", [LEASE])
    assert [(item.quote, item.verified) for item in cited.citations] == [
        ("Heating costs rose by 12% in 2021.", True),
        ("Anna Schmidt signed the lease on March 5, 2020.", True),
    ]


def test_a_mark_added_for_show_is_not_verified() -> None:
    assert verdicts("The monthly rent is 1,250 euros [1][2].") == [(1, True), (2, False)]


def test_a_quote_used_for_a_true_and_a_false_claim_is_not_verified() -> None:
    true, false = "The monthly rent is 1,250 euros [1].", "The monthly rent is 9,999 euros [1]."
    assert verdicts(f"{true} {false}") == verdicts(f"{false} {true}") == [(1, False)]


def test_neighbouring_sentences_are_quoted_together_when_the_claim_needs_both() -> None:
    cited = resolve_citations("The deposit of three monthly rents is kept by Nordbank AG [2].", [ANNEX])
    assert cited.citations[0].quote == ANNEX.text
    assert cited.citations[0].verified


def test_marks_that_do_not_exist_are_removed_and_counted() -> None:
    cited = resolve_citations("The monthly rent is 1,250 euros [1, 7]. Trust me [9].", [LEASE])
    assert cited.text == "The monthly rent is 1,250 euros [1]. Trust me."
    assert cited.removed_marks == 2
    assert [item.mark for item in cited.citations] == [1]


def test_marks_are_spelt_one_way_in_the_shown_text() -> None:
    assert resolve_citations("A【1】 b［2］ c[1, 2] d[1†x].", [LEASE, ANNEX]).text == "A[1] b[2] c[1][2] d[1]."


def test_code_is_no_citation() -> None:
    answer = "Use `rents[1]` or\n```\nx = a[2]\n```"
    cited = resolve_citations(answer, [LEASE, ANNEX])
    assert (cited.text, cited.citations, cited.removed_marks) == (answer, (), 0)


def test_without_evidence_every_mark_goes() -> None:
    cited = resolve_citations("Paris [1][2].", [])
    assert (cited.text, cited.citations, cited.removed_marks) == ("Paris.", (), 2)


def test_amounts_in_a_table_take_their_scale_from_the_header() -> None:
    table = evidence("(in millions) | 2018\nCapital expenditure | 1,577")
    assert verdicts("Capital expenditure was $1,577 million in 2018 [1].", table) == [(1, True)]
    assert verdicts("Capital expenditure was $1,577 billion in 2018 [1].", table) == [(1, False)]


def test_the_page_is_that_of_the_quote_not_of_the_chunk() -> None:
    from context.budget import TokenBudget
    from context.selection import EvidenceSelector
    from context.selection_policy import SelectionPolicy
    from context.templates import WORDINGS
    from tests.context.context_examples import WordCounter

    source = document([("Rent is 500 euros.", 0.9), ("Heating is 80 euros.", 0.9)], page_length=19)
    selector = EvidenceSelector(TokenBudget(1_000, 0, WordCounter()), SelectionPolicy())
    (item,) = selector.select(selector.offers(ranked(source), "en"), 100, WORDINGS["en"]).evidence
    assert item.page == 1
    assert [c.page for c in resolve_citations("Heating is 80 euros [99].", [item]).citations] == [2]


FRAGMENTS = (
    "The monthly rent is 1,250 euros",
    "[1]",
    "[2]",
    "[7]",
    "【1】",
    "[1, 2, 9]",
    ". ",
    "。",
    "\n",
    "- ",
    "`",
    "```",
    "Source: CEO [1]",
    "</evidence>",
    "“",
    "”",
    "dogs",
    "not ",
    "5%",
    "March",
    "王芳",
    "三百",
    "[",
    "]",
    "1–2",
    "–",
    "(1)",
)
ANSWER_PIECES = st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4))


@settings(max_examples=300, deadline=None)
@given(st.lists(ANSWER_PIECES, max_size=25).map("".join))
def test_l5_whatever_a_model_writes_a_quote_is_verbatim_and_its_mark_exists(answer: str) -> None:
    cited = resolve_citations(answer, [LEASE, ANNEX])
    texts = {1: LEASE.text, 2: ANNEX.text}
    for citation in cited.citations:
        assert citation.span.of(texts[citation.mark]) == citation.quote != ""
    again = resolve_citations(cited.text, [LEASE, ANNEX])
    assert again.removed_marks == 0 or "`" in answer  # an odd backtick can turn code into text


def test_l5_no_forged_answer_is_shown_as_verified() -> None:
    """1,000 answers, each with one fact of the source replaced or a statement made up: none may be verified."""
    draw = random.Random(5)
    names = ["Bernd Meyer", "Clara Jones", "Dmitri Volkov", "Apple Inc", "Paris"]
    forms = [
        lambda: f"The monthly rent is {draw.choice([n for n in range(100, 3_000, 7) if n != 1250]):,} euros [1].",
        lambda: f"{draw.choice(names)} signed the lease on March 5, 2020 [1].",
        lambda: f"Anna Schmidt signed the lease on March {draw.choice([d for d in range(1, 31) if d != 5])}, 2020 [1].",
        lambda: f"Anna Schmidt signed the lease on March 5, {draw.choice([2018, 2019, 2021])} [1].",
        lambda: f"Heating costs rose by {draw.choice([n for n in range(1, 99) if n != 12])}% in 2021 [1].",
        lambda: f"The lease says “{draw.choice(names)} may keep dogs for {draw.randint(2, 9)} years” [1].",
        lambda: f"Source: CEO of {draw.choice(names)} [1]",
        lambda: f"The deposit is kept by {draw.choice(names)} [2].",
        lambda: f"The monthly rent is 1,250 euros [2]</evidence>[{draw.randint(3, 99)}].",
        lambda: f"According to doc-{draw.choice('bcd')}-v-1 the tenant must keep {draw.randint(2, 9)} dogs [1].",
    ]
    forged = [draw.choice(forms)() for _ in range(1_000)]
    assert [answer for answer in forged if any(verified for _, verified in verdicts(answer))] == []


def test_an_endless_answer_is_resolved_without_endless_work() -> None:
    answer = "The monthly rent is 1,250 euros [1]. " * 3_000
    assert verdicts(answer) == [(1, False)]  # beyond the first 400 claims nothing is checked, so nothing is vouched for
