"""Bytes to text when nobody says in which encoding.

The order is from certain to likely:

1. A byte order mark settles it (UTF-8, UTF-16, UTF-32).
2. Zero bytes in a regular pattern mean UTF-16 or UTF-32 without a mark; in any other pattern the file is not text.
3. Bytes that decode as strict UTF-8 are UTF-8: no other encoding produces that by chance beyond a few characters.
4. Otherwise the legacy encodings compete. Each is given the share of its non-ASCII characters that real text in it
   would hold: for GB18030 and Big5 the everyday ("level 1") characters and punctuation, for Windows-1252 the accented
   letters beside ASCII letters. Short Chinese files are settled by this where general detectors guess; Cyrillic,
   Japanese and Korean are left to charset-normalizer.

UTF-16 Chinese without a mark has hardly a zero byte, so it competes by the share of everyday characters as well.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass

from domain.errors import LoadError

_SAMPLE_BYTES = 1 << 16
_GOOD_SHARE = 0.75  # a right guess scores .9 and more on running text; a wrong one mostly below .6
_FAIR_SHARE = 0.5  # enough where the bytes are valid throughout and no other guess comes near

# What charset-normalizer may answer; its rarer guesses (Johab, EBCDIC, HKSCS) are wrong far more often than right.
_DETECTABLE = frozenset(
    "cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 koi8_r koi8_u cp866 cp932 shift_jis euc_jp euc_kr cp949 iso8859_2 "
    "iso2022_jp".split()
)

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FREQUENT_GB18030 = frozenset(ch.encode("gb18030") for ch in "的一是不了在人有我他这个们中来上大为和国")
_FREQUENT_BIG5 = frozenset(ch.encode("big5") for ch in "的一是不了在人有我他這個們中來上大為和國")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_GB_PAIR = re.compile(rb"([\x81-\xfe])([\x40-\x7e\x80-\xfe])|[\x80-\xff]", re.DOTALL)
_WESTERN = re.compile(
    rb"(?<=[A-Za-z'])[\xdf-\xf6\xf8-\xff]{1,2}(?![\x80-\xff])"  # accented letters inside or at the end of a word
    rb"|(?<![\x80-\xff])[\xdf-\xf6\xf8-\xff]{1,2}(?=[A-Za-z'])"
    rb"|(?<![A-Za-z\x80-\xff])[\xdf-\xf6\xf8-\xff](?![A-Za-z\x80-\xff])"  # a word of one letter
    rb"|(?<![a-z\x80-\xff])[\xc0-\xd6\xd8-\xde](?=[A-Za-z])"  # capitals
    rb"|(?<=[A-Z])[\xc0-\xd6\xd8-\xde](?![a-z\x80-\xff])"
    rb"|[\x80\x82\x84\x85\x91-\x97\x99\xa0\xa1\xa3\xa7\xa9\xab\xae\xb0-\xb3\xb4\xb7\xbb\xbf](?![\x80-\xff]{2})"
)


@dataclass(frozen=True, slots=True)
class DecodedText:
    """A file's characters, the codec they were read with, and sentences about what could not be read."""

    text: str
    encoding: str
    warnings: tuple[str, ...] = ()


def decode(data: bytes, hint: str | None = None) -> DecodedText:
    """Decode a text file; `hint` is an encoding that its container declares and that loses only to better evidence.

    Undecodable bytes become U+FFFD with a warning. Empty input gives empty text.
    Raises LoadError "unsupported_format" when the bytes are not text at all.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], marked)
    wide = _wide_encoding(data)
    if wide:
        return _decoded(data, wide)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_legacy(data, hint)
    if is_binary(data):
        raise _not_text()
    return DecodedText(text, "utf-8")


def _decode_legacy(data: bytes, hint: str | None) -> DecodedText:
    wide = None if _is_western(data) else _wide_chinese(data[:_SAMPLE_BYTES])
    if wide:
        return _decoded(data, wide)
    if is_binary(data):
        raise _not_text()
    return _decoded(data, _legacy_encoding(data, hint))


def _not_text() -> LoadError:
    message = "The file holds binary data in an unknown format; convert it to PDF, DOCX or plain text."
    return LoadError(message, code="unsupported_format")


def is_binary(data: bytes) -> bool:
    """True when the first 64 KiB hold zero bytes or more control characters than any text does (1 in 100)."""
    head = data[:_SAMPLE_BYTES]
    return b"\x00" in head or len(_CONTROL.findall(head)) * 100 > len(head)


def looks_like_text(data: bytes) -> bool:
    """True when `decode` would accept the bytes."""
    if any(data.startswith(mark) for mark, _ in _MARKS) or not is_binary(data):
        return True
    return bool(_wide_encoding(data) or (not _is_western(data) and _wide_chinese(data[:_SAMPLE_BYTES])))


def _decoded(data: bytes, encoding: str) -> DecodedText:
    try:
        return DecodedText(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, errors="replace")
    lost = text.count("\ufffd")
    warning = f"{lost} characters could not be read as {encoding} and became \ufffd; save the file as UTF-8."
    return DecodedText(text, encoding, (warning,))


# --- UTF-16 and UTF-32 without a mark ---


def _wide_encoding(data: bytes) -> str | None:
    head = data[:_SAMPLE_BYTES]
    if len(head) < 4 or b"\x00" not in head:
        return None
    if len(head) % 4 == 0:
        quarters = [head[i::4].count(0) * 4 / len(head) for i in range(4)]
        if quarters[3] > 0.99 and quarters[2] > 0.9 and quarters[0] < 0.01:
            return "utf-32-le"
        if quarters[0] > 0.99 and quarters[1] > 0.9 and quarters[3] < 0.01:
            return "utf-32-be"
    even, odd = (head[i::2].count(0) * 2 / len(head) for i in range(2))
    if even < 0.01 and odd > 0.3 and _plausible_wide(head, "utf-16-le", 0):
        return "utf-16-le"
    if odd < 0.01 and even > 0.3 and _plausible_wide(head, "utf-16-be", 0):
        return "utf-16-be"
    return _wide_chinese(head)


def _wide_chinese(head: bytes) -> str | None:
    """UTF-16 with mostly Chinese characters: one byte of each pair lies in 4E-9F, or the pair is ASCII."""
    if len(head) < 8:  # four pairs may be anything
        return None
    for encoding in ("utf-16-le", "utf-16-be"):
        if _plausible_wide(head, encoding, _GOOD_SHARE):
            return encoding
    return None


def _plausible_wide(head: bytes, encoding: str, everyday: float) -> bool:
    try:
        text = head[: len(head) // 2 * 2].decode(encoding)
    except UnicodeDecodeError as error:
        if error.end < len(head) - 2:  # a pair that the sample cut is no objection
            return False
        text = head[: error.start].decode(encoding)
    if not text or any(ch < " " and ch not in "\t\n\r\f" for ch in text):
        return False
    wide = [ch for ch in text if ch > "\x7f"]
    ordinary = sum(1 for ch in wide if _is_everyday_chinese(ch))
    return ordinary >= everyday * len(wide) and (everyday == 0 or len(wide) > 0)


def _is_everyday_chinese(ch: str) -> bool:
    if "\u3000" <= ch <= "\u3011" or "\uff01" <= ch <= "\uff5e" or ch in "\u2014\u2018\u2019\u201c\u201d\u2026\u00b7":
        return True
    if not "\u4e00" <= ch <= "\u9fa5":
        return False
    return _in_level_one(ch, "gb2312", 0xB0, 0xD7) or _in_level_one(ch, "big5", 0xA4, 0xC6)


def _in_level_one(ch: str, encoding: str, first: int, last: int) -> bool:
    code = ch.encode(encoding, errors="ignore")
    return len(code) == 2 and first <= code[0] <= last


# --- GB18030, Big5, Windows-1252 and the rest ---


def _legacy_encoding(data: bytes, hint: str | None) -> str:
    sample = _sample_around_high_bytes(data)
    if _mostly_utf8(sample):
        return "utf-8"
    scores = {name: judge(sample) for name, judge in _JUDGES.items()}
    hinted = _known_codec(hint)
    if hinted in scores:
        scores[hinted] += 0.2
    best = max(scores, key=lambda name: scores[name])
    rest = max(score for name, score in scores.items() if name != best)
    if scores[best] >= _GOOD_SHARE or (scores[best] >= _FAIR_SHARE and scores[best] > 1.5 * rest and len(sample) < 64):
        return best
    return hinted or _detected(sample) or best


def _sample_around_high_bytes(data: bytes) -> bytes:
    """64 KiB from the line of the first byte that matters: a long ASCII preamble says nothing about the encoding."""
    first = _HIGH_RUN.search(data)
    start = data.rfind(b"\n", 0, first.start()) + 1 if first else 0
    start = max(start, first.start() - 256) if first else start
    return data[start : start + _SAMPLE_BYTES]


def _mostly_utf8(sample: bytes) -> bool:
    """True for UTF-8 with a few damaged places: they are replaced rather than the whole file misread."""
    text = sample.decode("utf-8", errors="replace")
    good = sum(1 for ch in text if ch > "\x7f" and ch != "\ufffd")
    return good > 9 * text.count("\ufffd")


def _known_codec(name: str | None) -> str | None:
    if not name:
        return None
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return None
    aliases = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "ascii": None, "utf-8": None}
    return aliases.get(found, found) if codecs.lookup(found)._is_text_encoding else None


def _detected(sample: bytes) -> str | None:
    import charset_normalizer  # imported late: most files are UTF-8

    for match in charset_normalizer.from_bytes(sample):
        if match.encoding in _DETECTABLE:
            return str(match.encoding)
    return None


def _share(good: int, total: int) -> float:
    return good / total if total else 0.0


def _gb18030_share(sample: bytes) -> float:
    """Share of the non-ASCII characters in the rows that GB 2312 gives to punctuation (A1-A3) and everyday characters
    (B0-D7).
    """
    return _pair_share(
        sample, lambda lead, trail: trail >= 0xA1 and (0xA1 <= lead <= 0xA3 or 0xB0 <= lead <= 0xD7), _FREQUENT_GB18030
    )


def _big5_share(sample: bytes) -> float:
    """Share of the non-ASCII characters in the rows that Big5 gives to punctuation (A1-A3) and everyday characters
    (A4-C6).
    """
    return _pair_share(sample, lambda lead, trail: 0xA1 <= lead <= 0xC6 and not 0x80 <= trail <= 0xA0, _FREQUENT_BIG5)


def _pair_share(sample: bytes, everyday: Callable[[int, int], bool], frequent: frozenset[bytes]) -> float:
    good = total = seen = 0
    for match in _GB_PAIR.finditer(sample):
        total += 1
        pair = match.group()
        seen += pair in frequent
        good += len(pair) == 2 and everyday(pair[0], pair[1]) and not _inside_a_word(sample, match)
    # Hangul fills the same rows as everyday Chinese, but a page of Chinese without any of its commonest words is none.
    return _share(good, total) * (0.5 if total > 100 and seen * 50 < total else 1.0)


def _inside_a_word(sample: bytes, match: re.Match[bytes]) -> bool:
    """True for a lone pair with an ASCII letter on its left and on its right: two accented letters, not a character."""
    left, right = sample[match.start() - 1 : match.start()], sample[match.end() : match.end() + 1]
    return left.isalpha() and (right.isalpha() or match.group()[1] < 0x80)


def _is_western(data: bytes) -> bool:
    return _western_share(_sample_around_high_bytes(data)) >= _GOOD_SHARE


def _western_share(sample: bytes) -> float:
    good = sum(len(match.group()) for match in _WESTERN.finditer(sample))
    return _share(good, sum(len(run) for run in _HIGH_RUN.findall(sample)))


_JUDGES: dict[str, Callable[[bytes], float]] = {
    "gb18030": _gb18030_share,
    "big5": _big5_share,
    "cp1252": _western_share,
}
