"""What forgers found, one rule each: the forged claim is doubted, the honest one beside it stays verified."""

from __future__ import annotations

from itertools import pairwise

import pytest

from context.answer_sentences import clauses_in
from context.citations import resolve_citations
from context.disowned import disowned
from context.facts import facts_of, located_facts
from context.list_labels import ListLabels
from context.ranges import Ranges
from context.units import units_of
from domain.documents import Span
from tests.context.context_examples import evidence


def verdict(claim: str, source: str, title: str = "") -> bool:
    cited = resolve_citations(f"{claim} [1]", [evidence(source, title=title)])
    return cited.sentences[-1].supported is True


STITCHED = [
    (
        "Flights are in economy class; premium economy and the salary for 26 weeks",
        "Flights are in economy class; premium economy is for some.\nWe pay the benefit and the salary for 26 weeks.",
    ),
    (
        "Between 1402 and 1405, the expedition led by the Poitevine Gadifer and were later reinforced by colonists",
        "Between 1402 and 1405, the expedition led by the Poitevine Gadifer de la Salle conquered the islands.\n"
        "Their troops were gathered in Normandy, Gascony and were later reinforced by colonists.",
    ),
    (
        "The games took place in Berlin (summer) in 1940",
        "The games took place in Berlin (summer) in 1916; Tokyo (summer) in 1940.",
    ),
    (
        "We give you a list of the parties and can make a request one time each year",
        "We give you a list of the parties.\nYou can make a request one time each year.",
    ),
    (
        "博物馆建筑在2005年，以黑龙江省博物馆，位于红军街50号",
        "博物馆建筑在2005年，以黑龙江省博物馆馆舍之名列入名单。\n黑龙江省博物馆是省级博物馆，位于红军街50号。",
    ),
]


@pytest.mark.parametrize(("claim", "source"), STITCHED)
def test_two_halves_of_two_sentences_are_no_statement(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert all(verdict(sentence, source) for sentence in source.split("\n"))


@pytest.mark.parametrize(
    ("claim", "source", "verified"),
    [
        ("Employees are given ten days", "Part-time employees are given ten days.", False),
        ("The director of the laboratory signs", "The deputy director of the laboratory signs.", False),
        ("The bank is insolvent", "Critics said the bank is insolvent.", False),
        ("Equal societies have lower fertility", "Perotti concluded that equal societies have lower fertility.", False),
        ("明朝对长城以北领土的统治并不稳定", "然而葛剑雄指出，明朝对长城以北领土的统治并不稳定。", False),
        ("中国银行在北京设立", "中国人民银行在北京设立。", False),
        ("王小红住在北京", "王小明和李小红住在北京。", False),
        ("Heating costs rose by 12% in the north", "In 2021 heating costs rose by 12% in the north.", True),
        ("It is kept by the bank", "It is currently kept by the bank.", True),
        ("王芳签署了合同", "王芳于2020年3月5日签署了合同。", True),
    ],
)  # fmt: skip
def test_what_narrows_a_subject_is_not_left_out(claim: str, source: str, verified: bool) -> None:
    assert verdict(claim, source) is verified


@pytest.mark.parametrize(
    ("claim", "source", "verified"),
    [
        ("It is serviced twice a year.", "The lamp of the lighthouse is serviced twice a year.", True),
        ("They get ten days of leave.", "Part-time employees get ten days of leave.", True),
        ("He signed the lease.", "The owner of the house signed the lease.", True),
        ("It was founded in 1902.", "Costs rose. The bank was founded in 1902.", True),
        ("It rises once a year.", "It rises once a year on 1 April.", True),
        ("It within once a year on 1 April.", "It rises once a year on 1 April.", False),
        ("It within a year doubled.", "The rent of the house doubled.", False),
        ("It fails every year.", "Critics said that the bank fails every year.", False),
        ("It fails every year.", "Critics said the bank fails every year.", False),
        ("It is closed in winter.", "The jetty is open, and the harbour is closed in winter.", False),
        ("We get ten days of leave.", "Part-time employees get ten days of leave.", False),
    ],
)
def test_a_pronoun_stands_for_the_subject_that_opens_the_sentence(claim: str, source: str, verified: bool) -> None:
    assert verdict(claim, source) is verified


@pytest.mark.parametrize(
    ("claim", "source", "verified"),
    [
        (
            "Both are growth in higher rates of reflected",
            "Equal societies have higher rates of investment.\nBoth are reflected in higher rates of growth.",
            False,
        ),
        ("The celebrated was opening", "The opening was celebrated.", False),
        ("五项格评分由爱普指标组成", "爱普格评分由五项指标组成。", False),
        ("You must information any of this provide to us", "You must provide any of this information to us.", False),
        ("7 Tesla died on 1943 January", "Tesla died on 7 January 1943.", False),
        ("January 1943 7 on Tesla died", "Tesla died on 7 January 1943.", False),
        ("In 1943, on 7 January, Tesla died", "Tesla died on 7 January 1943.", True),
        ("In 2021, heating costs rose", "Heating costs rose in 2021.", True),
        ("The lease was signed by Anna Schmidt", "Anna Schmidt signed the lease.", True),
    ],
)
def test_only_whole_phrases_move(claim: str, source: str, verified: bool) -> None:
    assert verdict(claim, source) is verified


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("If P is equal to NP, P is not equal to PSPACE", "If P is not equal to NP, P is not equal to PSPACE."),
        ("The insurer is not liable for direct loss and is liable for indirect loss",
         "The insurer is liable for direct loss and is not liable for indirect loss."),
        ("Dogs or cats must be registered", "Dogs and cats must be registered."),
        ("Dogs and cats must be registered", "Dogs or cats must be registered."),
        ("Staff leave early on Fridays", "Staff may leave early on Fridays."),
        ("Fuel spills should be reported", "Fuel spills can be reported."),
        ("The town pays for the lighthouse", "The town would pay for the lighthouse."),
        ("The office closes at noon", "The office usually closes at noon."),
        ("Numbers are not stored", "Numbers are not stored except for the last four digits."),
        ("The laboratory is kept at all 20 °C", "The laboratory is kept at 20 °C."),
        ("All staff and visitors vote", "Staff and all visitors vote."),
        ("顾客使用微信和支付宝付款", "顾客使用微信或支付宝付款。"),
        ("测试在上午进行", "测试通常在上午进行。"),
        ("同的时期由不同的文明占据", "不同的时期由不同的文明占据。"),
        ("Our information is yours", "Your information is yours."),
        ("He signed the lease", "She signed the lease."),
        ("The United must pay its debts", "The United States must pay its debts."),
    ],
)  # fmt: skip
def test_small_words_are_bound_to_what_they_turn(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert verdict(source, source)


@pytest.mark.parametrize(
    ("claim", "source", "verified"),
    [
        ("The office opens at 8:30 a.m.", "The office opens at 8:30 p.m.", False),
        ("The office opens at 8:30", "The office opens at 8:30 p.m.", False),
        ("The office opens at 20:30", "The office opens at 8:30 p.m.", True),
        ("The office opens at 9 am", "The office opens at 9:00.", True),
        ("The rate in 2005 was 18%", "The rate in 2000 to 2005 was 18%.", False),
        ("The rate in 2000-2005 was 18%", "The rate in 2000 to 2005 was 18%.", True),
        ("在2008个月5月被裁定罪名成立，入囚九个月", "在2008年5月被裁定罪名成立，入囚九个月。", False),
        ("费用为一百零五元", "费用为一百五元。", False),
        ("费用为150元", "费用为一百五元。", True),
        ("费用为二十三百元", "费用为三百二十元。", False),
        ("The rules apply from 1 EUR 2026", "The rules apply from 1 March 2026.", False),
        ("医院起源于教会（英美会）−1892年创建的仁济医院", "医院起源于教会（英美会）1892年创建的仁济医院。", False),
    ],
)
def test_numbers_keep_their_day_range_and_unit(claim: str, source: str, verified: bool) -> None:
    assert verdict(claim, source) is verified


def test_spoken_numerals_have_their_spoken_value() -> None:
    values = {
        text: {fact.value for fact in facts_of(f"共{text}元")} for text in ("一百五", "三千五", "一万二", "一百零五")
    }
    assert values == {"一百五": {150}, "三千五": {3_500}, "一万二": {12_000}, "一百零五": {105}}


def test_an_end_of_a_range_is_not_the_range() -> None:
    source = Ranges("between 5 and 8 mm, from 2000 to 2005, 2007年1月至2013年1月5日, 9 alone")
    cut = ("8 mm", "in 2005", "2013年1月5日")
    whole = ("5-8 mm", "2000–2005", "2007年1月到2013年1月5日", "9", "between 5 and 8 mm")
    assert [text for text in cut if not Ranges(text).cut_from(source)] == []
    assert [text for text in whole if Ranges(text).cut_from(source)] == []


@pytest.mark.parametrize(
    "answer",
    [
        "~~The rent is 840 pounds. [1]~~",
        "<del>The rent is 840 pounds [1]</del>",
        "Hear: <!-- The rent is 840 pounds [1] -->",
        "The rent is \u202e840\u202c pounds [1].",
        "The following is false:\n- The rent is 840 pounds [1]",
        "以下说法是错误的：\n1. The rent is 840 pounds [1]",
        "The rent is 840 pounds? [1]",
        "The rent is 840 pounds [1]?",
    ],
)
def test_what_an_answer_does_not_stand_by_is_not_verified(answer: str) -> None:
    cited = resolve_citations(answer, [evidence("The rent is 840 pounds.")])
    assert not any(citation.verified for citation in cited.citations)
    assert not any(sentence.supported for sentence in cited.sentences)


def test_a_lead_disowns_its_own_list_and_no_more() -> None:
    text = "None of this is true:\n- Costs rose.\n- Costs fell.\nCosts stayed.\nWhat is true:\n- Costs stayed."
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[:place]) for place in range(len(lines))]
    spans = [Span(start, start + len(line)) for start, line in zip(starts, lines, strict=True)]
    assert disowned(text, spans) == {1, 2}


def test_a_clause_with_a_mark_of_its_own_is_read_with_what_its_sentence_says_before() -> None:
    source = evidence("The tenant keeps the garden, and cleans the stairs on Fridays.")
    cited = resolve_citations("The tenant keeps the garden [1], and cleans the stairs on Fridays [1].", [source])
    assert [citation.verified for citation in cited.citations] == [True]
    assert cited.sentences[0].supported


def test_two_sentences_joined_by_a_conjunction_are_read_each_as_a_whole() -> None:
    first, second = "Costs rose in May, June and July", "Anna signed the lease, the annex and the inventory"
    source = evidence(f"{second}.\nNothing else happened.\n{first}.")
    assert resolve_citations(f"{first}, and {second} [1].", [source]).sentences[0].supported


UNSAID = [
    ("Employees get leave", "Only full-time employees get leave."),
    ("Employees get leave", "Part-time employees get leave."),
    ("The landlord charges a fee", "Should the tenant pay late, the landlord charges a fee."),
    ("The landlord may enter", "Provided the tenant agrees, the landlord may enter."),
    ("The bank had closed", "Had the bank closed, the firm would have failed."),
    ("Interns get leave", "All employees but interns get leave."),
    ("Ben signed the lease", "Everyone but Ben signed the lease."),
    ("The drug cures cancer", "It remains unclear whether the drug cures cancer."),
    ("Ben signed the lease", "Anna asked whether Ben signed the lease."),
    ("Ben signed the lease", "Anna wished that Ben signed the lease."),
    ("Ben signed the lease", "Ben reportedly signed the lease."),
    ("The drug is safe", "The drug is anything but safe."),
    ("Snow fell in March", "Little snow fell in March."),
    ("银行在五月关闭", "谣言称银行在五月关闭。"),
    ("銀行在五月關閉", "謠言稱銀行在五月關閉。"),
    ("银行在五月关闭", "网传银行在五月关闭。"),
    ("银行在五月关闭", "假设银行在五月关闭。"),
    ("员工享有年假", "鲜有员工享有年假。"),
    ("员工享有年假", "只有全职员工享有年假。"),
    ("没有人享有年假", "除经理以外，没有人享有年假。"),
    ("房东将收取费用", "一旦房客迟交房租，房东将收取费用。"),
    ("房东将收取费用", "房客迟交房租的，房东将收取费用。"),
    ("房客不得养狗", "未经房东同意，房客不得养狗。"),
]


@pytest.mark.parametrize(("claim", "source"), UNSAID)
def test_what_is_denied_doubted_or_only_said_of_some_is_no_statement(claim: str, source: str) -> None:
    assert not verdict(claim, source)
    assert verdict(source[:-1], source)


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("Directors get a company car", "Only directors get a company car."),
        ("经理享有年假", "只有经理享有年假。"),
        ("Merkel visited Ulm", "Chancellor Merkel visited Ulm."),
        ("Acme Ulm Works", "Anna founded Acme Ulm Works."),
        ("昨天签署了租房合同", "小王昨天签署了租房合同。"),
        ("The bank was founded in 1900 and had a branch", "The bank was founded in 1900 and had a branch."),
        ("It rose in 2021", "Only the rent was kept; it rose in 2021."),
        ("Costs were kept down", "It rained. Costs were kept down."),
        ("Directors get leave", "It is said in the handbook. They agree. Directors get leave."),
    ],
)
def test_what_holds_of_these_and_no_others_holds_of_these(claim: str, source: str) -> None:
    assert verdict(claim, source)


LISTS = [
    (
        "The steps are: (1) lock the door, (2) call the guard, (3) leave the house.",
        "(2) Lock the door",
        "(2) Call the guard",
    ),
    ("(a) Lock the door; (b) call the guard; (c) leave the house.", "(b) Leave the house", "(b) Call the guard"),
    ("Bring i) the signed lease; ii) a valid passport.", "ii) the signed lease", "ii) a valid passport"),
    ("① 锁好大门；② 呼叫保安；③ 离开房屋。", "②锁好大门", "②呼叫保安"),
    ("（1）锁好大门；（2）呼叫保安。", "（2）锁好大门；（1）呼叫保安", "（1）锁好大门；（2）呼叫保安"),
    ("（一）锁好大门；（二）呼叫保安。", "（二）锁好大门", "（二）呼叫保安"),
]


@pytest.mark.parametrize(("source", "exchanged", "kept"), LISTS)
def test_an_item_of_a_list_keeps_its_label_or_has_none(source: str, exchanged: str, kept: str) -> None:
    assert not verdict(exchanged, source)
    assert verdict(kept, source)


def test_signs_in_brackets_that_do_not_follow_each_other_make_no_list() -> None:
    labels = ListLabels.of("Net loss (12) in 2020 and (17) in 2021")
    assert not labels.is_list
    assert not ListLabels.of("(17) in 2020").exchanged_from(labels)
    assert ListLabels.of("(13) in 2020").exchanged_from(ListLabels.of("(12) in 2020, (13) in 2021"))


HUGE = 200_000  # characters: what took time by its square would take hours


@pytest.mark.parametrize(
    "answer",
    [
        *("=\n", "!", "a:!!", "a:\n", "<del ", "~~a~~. ", " ", "\n", "(1)(2)(3)", "[", "1,", ": ", "7", "字"),
        *("~a ~b", "1. a\n", "| a | b |\n", " It is.", "**a**\n- "),
    ],
    ids=repr,
)
def test_an_answer_of_one_thing_over_and_over_is_read_to_its_end(answer: str) -> None:
    text = "The rent is 840 pounds [1]. Costs" + answer * (HUGE // len(answer)) + "b."
    cited = resolve_citations(text, [evidence("The rent is 840 pounds.")])
    assert cited.sentences[0].supported is True
    assert cited.text[-2:] == "b."


@pytest.mark.parametrize("signs", ["(1)(2)(3)", "1-", "2020-01-02 ", "1,", "A-1 "])
def test_evidence_of_numbers_over_and_over_is_read_to_its_end(signs: str) -> None:
    facts = located_facts(signs * (HUGE // 20 // len(signs)))
    assert all(left.end <= right.start for left, right in pairwise(facts))
    assert units_of(signs * (HUGE // 20 // len(signs)))


def test_blanks_between_clauses_part_them_however_many_they_are() -> None:
    text = "Anna paid the rent" + " " * HUGE + "Ben" + " " * HUGE + "and Ben signed the lease"
    assert [span.of(text)[-5:] for span in clauses_in(text)] == ["  Ben", "lease"]
