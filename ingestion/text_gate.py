r"""The one gate that every text passes on its way in: documents, questions, names.

What goes: characters that nobody can see and that change what a machine reads. They hide instructions (tag
characters, variation selectors, zero-width text), reorder what a person sees (bidi overrides), break databases (NUL,
lone surrogates) or drive a terminal (control characters). What stays is the author's text, in normal form NFC with
`\\n` line ends.

Joiners are the exception among the invisible: Persian, Hindi and family emoji are misspelt without them, so a
ZWJ or ZWNJ stays between two letters of a script that needs it, after a virama, and between two emoji.

Offsets are counted after the gate, so a loader cleans each piece of text before it places it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# Scripts that write with joiners: Arabic, Syriac, N'Ko and the rest up to 08FF, the Indic blocks, Myanmar, Khmer,
# Mongolian.
_JOINING = r"\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u18af"
_VIRAMA = r"\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca"
_EMOJI = r"\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"

_INVISIBLE: Mapping[str, str] = MappingProxyType(
    {
        "nul": r"\x00",
        # Tab, line feed, vertical tab and form feed are layout. U+0085 (next line) is too.
        "control": r"\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f",
        "surrogate": r"\ud800-\udfff",
        # Embeddings, overrides and isolates. The marks U+200E, U+200F and U+061C stay: they cannot reorder letters.
        "bidi": r"\u202a-\u202e\u2066-\u2069",
        "zero_width": r"\u200b\u2060-\u2064\u206a-\u206f\ufeff\u180e",
        "tag": r"\U000e0000-\U000e007f",
        # Glyph variants of Han and mathematical letters. They change no meaning, and 256 of them spell out any bytes.
        "variation_selector": r"\ufe00-\ufe0d\U000e0100-\U000e01ef",
        # What Unicode tells programs to ignore: fillers, annotations, shorthand and music controls, unassigned ones.
        "ignorable": r"\u034f\u2065\u3164\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
        r"\U000e0080-\U000e00ff\U000e01f0-\U000e0fff",
        "noncharacter": r"\ufdd0-\ufdef\ufffe\uffff",
    }
)
_ANY = re.compile("[" + "".join(_INVISIBLE.values()) + "]")
_KINDS = {name: re.compile(f"[{members}]") for name, members in _INVISIBLE.items()}
_LOOSE_JOINER = re.compile(
    rf"\u200c(?!(?<=[{_JOINING}]\u200c)[{_JOINING}])"
    rf"|(?<![{_VIRAMA}])\u200d(?!(?<=[{_JOINING}]\u200d)[{_JOINING}]|(?<=[{_EMOJI}\ufe0f]\u200d)[{_EMOJI}])"
)
# Text or emoji style, once behind a sign that has both; anywhere else it is as invisible as the others.
_LOOSE_SELECTOR = re.compile(
    rf"(?<![{_EMOJI}\u00a9\u00ae\u203c\u2049\u2122\u2139\u231a-\u23ff\u24c2\u25aa-\u25fe\u3030\u303d\u3297\u3299#*0-9])"
    r"[\ufe0e\ufe0f]"
)
_LINE_END = re.compile(r"\r\n?")


@dataclass(frozen=True, slots=True)
class CleanText:
    """Text that passed the gate. `removed` counts what was taken out by kind; it is empty for honest text."""

    text: str
    removed: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def clean(text: str) -> CleanText:
    r"""Normalise a text to NFC and `\n`, and remove invisible characters; clean text comes back equal.

    >>> clean("caf\u0065\u0301\r\n\u202eevil")
    CleanText(text='caf\xe9\nevil', removed=mappingproxy({'bidi': 1}))
    """
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    text, removed = _without_invisible(text)
    if not text.isascii():
        for kind, loose in (("variation_selector", _LOOSE_SELECTOR), ("joiner", _LOOSE_JOINER)):
            text, count = loose.subn("", text)
            if count:
                removed[kind] = removed.get(kind, 0) + count
        # Last, because a removal can bring a letter and its accent together.
        text = unicodedata.normalize("NFC", text)
    return CleanText(text, MappingProxyType(removed))


def removal_warnings(removed: Mapping[str, int]) -> tuple[str, ...]:
    """One sentence for the user about what the gate took out; none when it took nothing."""
    if not removed:
        return ()
    parts = ", ".join(f"{count} {name.replace('_', '-')}" for name, count in sorted(removed.items()))
    return (f"Invisible characters were removed from the text: {parts}.",)


def _without_invisible(text: str) -> tuple[str, dict[str, int]]:
    if _ANY.search(text) is None:
        return text, {}
    counts = {name: len(pattern.findall(text)) for name, pattern in _KINDS.items()}
    return _ANY.sub("", text), {name: count for name, count in counts.items() if count}
