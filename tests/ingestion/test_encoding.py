"""Encoding detection, on running text and on short files."""

import codecs

import pytest

from domain.errors import LoadError
from ingestion.encoding import decode, looks_like_text

SIMPLIFIED = "本公司2018年资本支出为15.77亿美元。这是一个测试文件，用于检查编码识别是否正确。"
TRADITIONAL = "本公司於二零一八年的資本支出為十五億美元。這是一個測試檔案，用來檢查編碼辨識是否正確。"
FRENCH = "Le café est déjà fermé. Où êtes-vous allés cet été ? L'élève créée à Nîmes préfère « l'été »."
GERMAN = "Größe über Öl: Straße, Mädchen, Füße, ÄRGER, Äpfel."
SPANISH = "¿Dónde está el niño? ¡Mañana será otro día! El coste es de 30 € al mes."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (SIMPLIFIED, "gb18030"),
        ("你好世界", "gb18030"),
        ("资本支出", "gb18030"),
        (TRADITIONAL, "big5"),
        (FRENCH, "cp1252"),
        (GERMAN, "cp1252"),
        (SPANISH, "cp1252"),
        ("caf\u00e9", "latin-1"),
        ("déjà vu", "latin-1"),
        ("créée", "latin-1"),
        ("Citroën", "latin-1"),
        ("à", "latin-1"),
    ],
)
def test_legacy_encodings_are_recognised_in_short_files(text: str, encoding: str) -> None:
    decoded = decode(text.encode(encoding))
    assert decoded.text == text
    assert decoded.warnings == ()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [SIMPLIFIED, "Plain English text.\n", FRENCH])
def test_wide_encodings_are_read_with_and_without_a_mark(text: str, encoding: str) -> None:
    if encoding.startswith("utf-16") or "English" in text:
        assert decode(text.encode(encoding)).text == text
    assert decode(("\ufeff" + text).encode(encoding)).text == text


def test_utf16_of_pure_chinese_has_no_zero_byte_and_is_read_all_the_same() -> None:
    text = "这里没有任何西文字符，用于检查编码识别"
    data = text.encode("utf-16-le")
    assert b"\x00" not in data
    assert decode(data).text == text


def test_utf8_wins_with_and_without_a_mark() -> None:
    assert decode(FRENCH.encode()).encoding == "utf-8"
    assert decode(codecs.BOM_UTF8 + SIMPLIFIED.encode()).text == SIMPLIFIED


def test_ascii_that_would_be_level_one_chinese_in_utf16_stays_ascii() -> None:
    assert decode(b"ab" * 50).text == "ab" * 50


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет, как дела? Это обычный русский текст, написанный в старой кодировке.", "cp1251"),
        ("これは日本語の文章です。文字コードの判定を試験しています。", "shift_jis"),
        ("안녕하세요. 이것은 한국어 문장입니다. 인코딩 판별을 시험합니다. " * 5, "euc_kr"),
    ],
)
def test_other_legacy_encodings_are_left_to_the_detector(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).text == text


def test_the_evidence_is_sought_where_the_first_high_byte_stands() -> None:
    text = "# a long preamble in ASCII\n" * 10_000 + SIMPLIFIED
    assert decode(text.encode("gb18030")).text == text


def test_a_damaged_byte_in_utf8_is_replaced_with_a_warning() -> None:
    data = (SIMPLIFIED * 3).encode()
    decoded = decode(data[:9] + b"\xff" + data[9:])
    assert decoded.encoding == "utf-8"
    assert decoded.text.count("\ufffd") == 1
    assert "1 characters" in decoded.warnings[0]


def test_a_declared_encoding_decides_where_the_bytes_do_not() -> None:
    data = "На".encode("koi8_r")
    assert decode(data, hint="koi8-r").text == "На"
    assert decode(FRENCH.encode("cp1252"), hint="no-such-codec").text == FRENCH


@pytest.mark.parametrize(
    "data",
    [b"\x7fELF\x02\x01\x01" + bytes(200), bytes(range(32)) * 20, b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(50)],
)
def test_binary_data_is_refused_as_text(data: bytes) -> None:
    assert not looks_like_text(data)
    with pytest.raises(LoadError, match="convert it") as caught:
        decode(data)
    assert caught.value.code == "unsupported_format"


def test_no_bytes_are_no_text() -> None:
    assert decode(b"").text == ""
