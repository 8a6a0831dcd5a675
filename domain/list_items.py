"""Lists in running text: which sentences are items, and which items make one list.

A step alone is no procedure, and "Cleaning a lens takes four steps:" alone is nothing at all. What picks evidence and
what quotes it must both see the list. Items are told by what opens their line; a sentence between two items belongs to
the first ("2. Put two drops on a tissue. Never on the glass."), unless it announces something itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_HAN = "一二三四五六七八九十"
_ITEM = re.compile(
    rf"""\s{{0,12}}(?:
        [-*+\u2022\u00b7\u2013\u2014\u25aa\u25e6\u2023\u25cf\u25cb\u25a0]\s     # a bullet
      | [(（]?\d{{1,3}}(?:[)）、．]|\.(?=\s))                                    # 1. 1) (1) 1、
      | [(（][a-z{_HAN}]{{1,3}}[)）] | [a-z]\)\s                                # (a) a) （一）
      | [{_HAN}]{{1,3}}[、．] | [\u2460-\u2473]                                  # 一、 ①
      | step\s\d{{1,2}}\b | 第[{_HAN}\d]{{1,3}}步 | 步[骤驟]\s?[{_HAN}\d]{{1,3}}
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_FIRST = re.compile(
    r"\s{0,12}(?:[(（]?1[)）、．.](?!\d)|[(（]?a\)|[(（]?一[)）、．]|\u2460|step\s1\b|第[一1]步)", re.IGNORECASE
)
_PROMISES = (":", "：", "?", "？")
_ENDS = (".", "!", "。", "！", ";", "；", "…", "”", '"', "」", ")", "）")
_MOST_BETWEEN = 2  # sentences of one item behind its first


def is_list_item(sentence: str) -> bool:
    """True for a sentence that opens like an item of a list.

    >>> [is_list_item(text) for text in ("1. Blow.", "- Rent", "（二）押金", "1.5 litres", "Rent")]
    [True, True, True, False, False]
    """
    return bool(_ITEM.match(sentence))


def promises(sentence: str) -> bool:
    """True for a line that says nothing without what stands behind it: it ends with a colon or asks something.

    >>> promises("The steps are:"), promises("How long is the warranty?"), promises("It is two years.")
    (True, True, False)
    """
    return sentence.rstrip().endswith(_PROMISES)


def list_around(sentences: Sequence[str], place: int) -> range | None:
    """The places of the list that the item or the part of an item `sentences[place]` belongs to; None outside of one.

    >>> list_around(["The steps:", "1. Blow.", "2. Wipe.", "Gently.", "3. Dry.", "The cap goes on."], 3)
    range(1, 5)
    """
    first = place
    while first >= 0 and not is_list_item(sentences[first]):
        if place - first >= _MOST_BETWEEN or _announces(sentences[first]):
            return None
        first -= 1
    while first > 0 and not _FIRST.match(sentences[first]):
        before = _item_before(sentences, first)
        if before is None:
            break
        first = before
    found = _list_from(sentences, first) if first >= 0 else None
    return found if found is not None and place in found else None


def list_behind(sentences: Sequence[str], place: int) -> range | None:
    """The places of the list that `sentences[place]`, a line above it, announces; None where none follows.

    >>> list_behind(["Cleaning:", "1. Blow.", "2. Wipe."], 0), list_behind(["It is dry.", "- Rent"], 0)
    (range(1, 3), None)
    """
    behind = place + 1
    if behind >= len(sentences) or is_list_item(sentences[place]) or not _announces(sentences[place]):
        return None
    return _list_from(sentences, behind) if is_list_item(sentences[behind]) else None


def _announces(sentence: str) -> bool:
    """A line with a promise, or a title: one that does not end like a sentence."""
    return promises(sentence) or not sentence.rstrip().endswith(_ENDS)


def _item_before(sentences: Sequence[str], place: int) -> int | None:
    for before in range(place - 1, max(-1, place - 2 - _MOST_BETWEEN), -1):
        if is_list_item(sentences[before]):
            return before
        if _announces(sentences[before]):
            return None
    return None


def _list_from(sentences: Sequence[str], first: int) -> range:
    last = first
    for place in range(first + 1, len(sentences)):
        if is_list_item(sentences[place]):
            if _FIRST.match(sentences[place]):
                break
            last = place
        elif place - last > _MOST_BETWEEN or _announces(sentences[place]):
            break
    return range(first, last + 1)
