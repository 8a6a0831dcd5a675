"""Citation marks: how `[n]` looks in an answer, in its many spellings, and how a document is kept from forging one."""

from __future__ import annotations

import re

# [1] · [1, 2] · [1-3] · ［1］ · 【1】 · 【1†source】 · [^1]; with blanks inside the brackets, "[ 1 ]" is not a mark.
MARKS = re.compile(
    r"[\[\uff3b\u3010\u3014]\^?(?P<numbers>\d{1,3}(?:[ ]?[,\uff0c\u3001;\uff1b\u2013-][ ]?\d{1,3})*)"
    r"(?:\u2020[^\]\uff3d\u3011\u3015\n]{0,80})?[\]\uff3d\u3011\u3015]"
)
_WIDEST_RANGE = 20  # "[1-3]" is three marks; "[1-900]" is no citation but noise


def numbers_of(match: re.Match[str]) -> tuple[int, ...]:
    """The mark numbers of one match of `MARKS`, in order, each once.

    >>> numbers_of(MARKS.search("so [1, 3-5]."))
    (1, 3, 4, 5)
    """
    found: list[int] = []
    for part in re.split(r"[ ]?[,\uff0c\u3001;\uff1b][ ]?", match["numbers"]):
        ends = [int(number) for number in re.findall(r"\d+", part)]
        ascends = len(ends) == 2 and ends[0] < ends[1]
        # "[1-2-3]" and "[3-1]" are no ranges, but name their evidence all the same.
        found.extend(range(ends[0], min(ends[1], ends[0] + _WIDEST_RANGE) + 1) if ascends else ends)
    return tuple(dict.fromkeys(found))


def without_marks(text: str) -> str:
    """The text with its citation marks, and the blanks before them, taken out."""
    return re.sub(rf"(?<![ \t])[ \t]*+(?:{MARKS.pattern.replace('?P<numbers>', '?:')})", "", text)


def neutralise_marks(text: str) -> str:
    """Rewrite what looks like a mark so that neither a model nor `MARKS` takes it for one of ours.

    Reference numbers become round, `[7]` -> `(7)`; an index behind a name, `a[7]` -> `a[ 7 ]`, stays the same code.

    >>> neutralise_marks("as shown [7], a[0]")
    'as shown (7), a[ 0 ]'
    """
    return MARKS.sub(_harmless, text)


def _harmless(match: re.Match[str]) -> str:
    inner = match[0][1:-1]
    before = match.string[match.start() - 1] if match.start() else ""
    return f"[ {inner} ]" if before == "_" or (before.isascii() and before.isalnum()) else f"({inner})"
