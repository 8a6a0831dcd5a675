"""Which language a prompt is worded in, and how not knowing is said and recognised."""

from __future__ import annotations

import pytest

from context.language import Language, detect_language
from context.templates import WORDINGS, abstention, constraints_section, is_abstention, system_base


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Who signed the contract?", "en"),
        ("谁签署了合同？", "zh-hans"),
        ("誰簽署了合約？", "zh-hant"),
        ("3M公司2018年的资本支出是多少？", "zh-hans"),
        ("Transformer 的 attention 是什么？", "zh-hans"),
        ("Who is 李小明 of the 北京 office?", "en"),
        ("契約書に署名したのは誰ですか？", "en"),
        ("계약서에 누가 서명했습니까?", "en"),
        ("", "en"),
        ("12345 ?!", "en"),
    ],
)
def test_the_language_of_a_question(text: str, expected: str) -> None:
    assert detect_language(text) == expected


@pytest.mark.parametrize("name", ["en", "zh-hans", "zh-hant"])
def test_the_system_part_asks_for_the_abstention_that_is_recognised(name: Language) -> None:
    wording = WORDINGS[name]
    assert wording.unknown in system_base(wording, None, think=False)
    assert is_abstention(wording.unknown)
    assert is_abstention(abstention(wording, "Lease", "p. 3"))
    assert is_abstention(f"**Answer:** {wording.unknown}")


@pytest.mark.parametrize(
    "text",
    [
        "I do not know.",
        "I cannot find this in the documents.",
        "The provided documents do not mention the rent.",
        "Unfortunately, the evidence does not say.",
        "There is no information about it.",
        "抱歉，我无法回答这个问题。",
        "文档中没有提到租金。",
        "根據文件，沒有相關內容。",
    ],
)
def test_a_models_own_way_of_not_knowing_is_recognised(text: str) -> None:
    assert is_abstention(text)


@pytest.mark.parametrize(
    "text",
    [
        "The rent is 500 [1].",
        "I don't know the date, but the rent is 500 [1].",
        "The tenant does not know the code.",
        "没有宠物可以入住。",
        "",
    ],
)
def test_an_answer_is_no_abstention(text: str) -> None:
    assert not is_abstention(text)


def test_an_abstention_names_the_nearest_passage() -> None:
    assert (
        abstention(WORDINGS["zh-hans"], "租约", "第 3 页")
        == "我不知道：文档中没有能回答这个问题的内容。最接近的内容见《租约》第 3 页。"
    )
    assert abstention(WORDINGS["en"]) == "I don't know: the documents do not answer this question."


def test_without_constraints_there_is_no_section_for_them() -> None:
    assert constraints_section(WORDINGS["en"], ()) == ""
