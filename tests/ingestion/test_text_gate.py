"""The text gate: what it takes out, what it must leave alone."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.text_gate import clean, removal_warnings


@pytest.mark.parametrize(
    ("dirty", "expected", "kind"),
    [
        ("a\x00b", "ab", "nul"),
        ("a\x1b[31mb", "a[31mb", "control"),
        ("a\x9bb", "ab", "control"),
        ("a\ud800b", "ab", "surrogate"),
        ("a\u202eb\u202c", "ab", "bidi"),
        ("a\u2066b\u2069", "ab", "bidi"),
        ("ig\u200bnore", "ignore", "zero_width"),
        ("\ufeffstart", "start", "zero_width"),
        ("a\u2060b", "ab", "zero_width"),
        ("hi\U000e0041\U000e007f", "hi", "tag"),
        ("a\ufffeb", "ab", "noncharacter"),
        ("a\u200db", "ab", "joiner"),
        ("a\u200cb", "ab", "joiner"),
    ],
)
def test_i8_invisible_characters_are_removed_and_counted(dirty: str, expected: str, kind: str) -> None:
    cleaned = clean(dirty)
    assert cleaned.text == expected
    assert cleaned.removed[kind] == len(dirty) - len(expected)


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",  # Persian: ZWNJ inside a word
        "क्\u200dष",  # Hindi: ZWJ between letters
        "ක්\u200d",  # Sinhala: ZWJ after a virama
        "👨\u200d👩\u200d👧",
        "👨🏽\u200d💻",
        "❤\ufe0f\u200d🔥",
        "left\u200eright",  # a mark cannot reorder letters
        "soft\u00adhyphen",
        "tab\tand\x0cform feed",
        "中文，全角　空格。",
    ],
)
def test_i8_meaningful_characters_stay(text: str) -> None:
    assert clean(text).text == text
    assert clean(text).removed == {}


def test_line_ends_become_newlines() -> None:
    assert clean("a\r\nb\rc\nd\r\n\r\n").text == "a\nb\nc\nd\n\n"


def test_text_is_normalised_after_removal() -> None:
    # The zero-width space stood between the letter and its accent.
    assert clean("e\u200b\u0301").text == "\u00e9"


@given(st.text(st.characters(codec=None)))
def test_clean_text_is_a_fixed_point(text: str) -> None:
    once = clean(text)
    assert clean(once.text) == type(once)(once.text)
    assert unicodedata.is_normalized("NFC", once.text)
    once.text.encode("utf-8")
    assert "\x00" not in once.text and "\r" not in once.text


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\u00a0")))
def test_ordinary_text_changes_only_by_nfc(text: str) -> None:
    assert clean(text).text == unicodedata.normalize("NFC", text)


def test_removals_are_reported_in_one_sentence() -> None:
    assert removal_warnings(clean("honest").removed) == ()
    (sentence,) = removal_warnings(clean("a\u200bb\u202ec").removed)
    assert "1 bidi" in sentence and "1 zero-width" in sentence
