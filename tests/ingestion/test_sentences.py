"""Where sentences end in English and Chinese, and that every offset is exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.documents import Span
from ingestion.lines import meant_lines, paragraphs
from ingestion.sentences import split_sentences


def sentences(text: str) -> list[str]:
    return [span.of(text) for span in split_sentences(text)]


ENGLISH = [
    ["Dr. Smith and Mrs. Li came.", "They left."],
    ["He works at Apple Inc. in the U.S.", "The firm is large."],
    ["He lives in the U.S. Virgin Islands."],
    ["See Fig. 3, Eq. (2) and Vol. IV.", "No. 5 is best.", "Is it?", "No.", "He checked."],
    ["It grew 3.5 percent to $1,200.75 (see www.example.com or v2.0.1).", "Then it fell."],
    ["Use fruit, e.g. apples, i.e. the red ones, etc. and so on.", "Enjoy."],
    ["J. K. Rowling wrote it.", "George R. R. Martin did not."],
    ["Smith et al. (2019) found it.", "Others, cf. Jones, did not."],
    ["At 5 p.m. Bob left.", "At 6 p.m. we left."],
    ["Wait... what?", "Yes!", "Well... maybe."],
    ["“Is it over?” she asked.", "“It is.”", "He left."],
    ["He said “Stop.”", "Then he went.", "(It rained.)", "It stopped."],
    ["Is it?!", "Yes!!!", "Good."],
    ["The claim is known.[3]", "It was repeated.[12][13]", "Nobody checked.[citation needed]", "Why?"],
    ["Born on Sept. 5, he died in Oct. 1999.", "It was cold."],
    ["Results were clear (Table 3) .", "However, few agreed."],
    ["Item 7. Management's Discussion and Analysis of the Company"],
    ["Yahoo! is a company."],
]
CHINESE = [
    ["今天天气很好。", "我们去公园吧！", "你去吗？"],
    ["他说：“好的。”", "她走了。"],
    ["老师说：「你们好！」", "我们坐下了。"],
    ["“你去吗？”他问。"],
    ["「好！」他叫道，「走吧！」"],
    ["歌曲《你好吗？》是一首老歌。", "大家都会唱。"],
    ["他来了（真的吗？）就走了。", "（注：此处有误。）", "下一句。"],
    ["真的吗？！", "嗯……好吧。", "走了……", "「再见。」"],
    ["这是第3.5版；价格为1.2元；没有折扣。", "2013年开始销售。"],
    ["台灣的首都是臺北。", "人口約250萬人。"],
    ["他是 U.S. 公民。", "Dr. Wang来了。", "He left.", "然后下雨了。"],
    ["第1节内容如下.", "请看下文."],
    ["入口后有圣若望．玛达（St. John of Matha）及St. Felix of Valois的雕像。", "教堂很大。"],
    ["它为旗下组合（包括TOKIO、KAT-TUN及Hey! Say! JUMP）出版产品。", "它在东京。"],
    ["物体做匀速直线运动．", "所受合力为3．5牛．", "因此加速度为零．"],
    ["他补充了维生素C.", "它很重要。"],
    ["見附錄A.", "下文繼續。"],
]


@pytest.mark.parametrize("expected", ENGLISH, ids=lambda parts: parts[0][:30])
def test_english_sentences_end_where_a_reader_ends_them(expected):
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize("expected", CHINESE, ids=lambda parts: parts[0][:12])
def test_chinese_sentences_end_without_white_space(expected):
    if any(part.isascii() or part.startswith(("Dr.", "「再")) for part in expected):
        assert sentences(" ".join(expected)) == expected
    else:
        assert sentences("".join(expected)) == expected


def test_a_line_end_in_wrapped_prose_is_no_sentence_end():
    text = "An editor wrapped this paragraph at fifty\ncolumns, and it goes on over the lines as\nprose. It ends here."
    assert sentences(text) == [text[: text.index(" It ends")], "It ends here."]


def test_wrapped_chinese_prose_stays_together():
    text = "这一段文字被编辑器折成几行，每一行都一样\n长，所以换行并不表示句子的结束。然而第\n二句在这里。"
    assert sentences(text) == [text[: text.index("然而")], "然而第\n二句在这里。"]


def test_a_blank_line_always_separates():
    assert sentences("no stop here\n\nnor here\n  \nend") == ["no stop here", "nor here", "end"]


def test_a_short_line_before_a_long_one_is_a_line_of_its_own():
    text = "Risk Factors\nThe company depends on a small number of suppliers for most of its parts."
    assert sentences(text) == text.split("\n")


def test_list_items_are_separate_with_any_kind_of_mark():
    items = [
        "- red apples",
        "• green pears",
        "* blue plums",
        "1. first things",
        "2) second things",
        "（三）第三项",
        "④ 第四项",
    ]
    assert sentences("\n".join(items)) == items


def test_rows_of_figures_are_separate():
    rows = ["Net sales 32,765 31,657", "Cost of sales (16,682) (16,055)", "Operating income $ 7,207 $ 7,692"]
    assert sentences("\n".join(rows)) == rows


def test_lines_longer_than_any_page_are_paragraphs():
    lines = ["word " * 60 + "end", "Next " * 60 + "end"]
    assert sentences("\n".join(lines)) == lines


def test_marks_without_a_word_join_the_sentence_before_them():
    assert sentences("A line.\n*****\nAnother.") == ["A line.\n*****", "Another."]
    assert sentences("***\n\nText.\n\n***") == ["***\n\nText.\n\n***"]


def test_only_the_given_range_is_split():
    text = "One. Two. Three."
    assert split_sentences(text, 5, 9) == [Span(5, 9)]


@pytest.mark.parametrize("text", ["", " \n\t\n "])
def test_blank_text_has_no_sentences(text):
    assert split_sentences(text) == []


def test_a_repeated_sentence_is_found_at_each_of_its_places():
    assert split_sentences("Same. Same. Same.") == [Span(0, 5), Span(6, 11), Span(12, 17)]


FRAGMENTS = st.sampled_from(
    ["Dr. ", "U.S. ", "3.5", "Fig. 3 ", "he ", "The ", "end. ", 'He said "no." ', "what?! ", "...", "……", "\n", "\n\n"]
    * 2  # white space and ends twice as likely as single marks
    + list("。！；，：“”「」（）[]aB \t\u00a0\u3000")
    + ["你好", "？”", "- item\n", "1. ", "[1]"]
)


@given(st.one_of(st.lists(FRAGMENTS, max_size=60).map("".join), st.text(max_size=200)))
def test_sentences_are_disjoint_trimmed_and_hold_every_character(text):
    spans = split_sentences(text)
    position, seen = 0, []
    for span in spans:
        assert span.start >= position and span.of(text) == span.of(text).strip() != ""
        seen.append(text[position : span.start])
        position = span.end
    seen.append(text[position:])
    assert "".join(seen).strip() == ""


@given(st.lists(FRAGMENTS, max_size=60).map("".join))
def test_no_sentence_has_words_of_two_paragraphs_and_parts_fill_each(text):
    found = list(paragraphs(text))
    for sentence in split_sentences(text):
        shared = [text[max(p.start, sentence.start) : min(p.end, sentence.end)] for p in found if p.overlaps(sentence)]
        assert sum(any(map(str.isalnum, part)) for part in shared) <= 1
    for paragraph in found:
        parts = list(meant_lines(text, paragraph))
        assert "".join("".join(part.of(text).split()) for part in parts) == "".join(paragraph.of(text).split())


HOSTILE = {
    "one word": "a" * 300_000,
    "stops": "." * 300_000,
    "stop and bracket": ".]" * 150_000,
    "open brackets": ".[" * 150_000,
    "open quotes": "「你好。" * 50_000,
    "questions in one quote": "“" + "啊？”" * 50_000,
    "initials": "A. " * 100_000,
    "blank lines": "\n \n" * 100_000 + "x",
    "spaces": "a" + " " * 300_000 + "b",
    "one-letter lines": "a\n" * 150_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_split_without_loss(text):
    spans = split_sentences(text)
    assert sum(len(span.of(text).replace(" ", "").replace("\n", "")) for span in spans) == len(
        text.replace(" ", "").replace("\n", "")
    )


def test_a_numbered_heading_goes_with_the_sentence_that_runs_on_from_it():
    text = "3. Rent. The rent is 840 pounds a month. It rises once a year. (b) Notice. Six months. 4.1. Deposit. None."
    assert sentences(text) == [
        "3. Rent. The rent is 840 pounds a month.",
        "It rises once a year.",
        "(b) Notice. Six months.",
        "4.1. Deposit. None.",
    ]
    assert sentences("See 3. Rent is due. He was born in 1990. Rent was low.") == [
        "See 3.",
        "Rent is due.",
        "He was born in 1990.",
        "Rent was low.",
    ]
