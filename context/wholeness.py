"""Which neighbours a sentence needs to be understood on its own, and which are said by its label."""

from __future__ import annotations

import re
from collections.abc import Sequence

from domain.documents import CELL_SEPARATOR
from domain.list_items import list_around, list_behind, promises

_CELL = re.compile(rf"{re.escape(CELL_SEPARATOR)}|\t|^\||\|$")
_RULE = re.compile(r"[\s|:+-]+")  # the line under the header of a Markdown table
_BARE = 6  # characters: "No.", "不可以。"
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")

_HEADING_MARKS = re.compile(r"\A\s*#{0,6}\s*|\s*#*\s*\Z|\n\s*[=-]+\s*\Z")  # `## Title ##`, or a line drawn under it

# Openings that point back at what was just said. Relative to their cost (one sentence) they are kept few: words that
# mostly open sentences of their own ("there", "one", "first", 在) are not among them.
_OPENING_EN = re.compile(
    r"[\"'“‘(\[*_-]*(it|its|it's|they|them|their|theirs|he|she|his|her|him|this|that|these|those|such|both"
    r"|the (former|latter|same)"
    r"|however|therefore|thus|hence|moreover|furthermore|additionally|also|consequently|instead|nevertheless|nonetheless"
    r"|otherwise|similarly|likewise|in (addition|contrast|particular|this case|that case)|as a result|for this reason"
    r"|on the other hand|but|and|yet|so|then)\b",
    re.IGNORECASE,
)
_OPENING_ZH = re.compile(
    r"[“「『（(]*(它|他|她|牠|其(?!他|它|中|实|實|次|余|餘)|这|這|那|此|该|該|上述|前者|后者|後者|两者|兩者|同时|同時|因此|所以|因而|于是|於是"
    r"|然而|但|不过|不過|而且|并且|並且|此外|另外|同样|同樣|相反|否则|否則|随后|隨後)"
)


def leans_on_predecessor(sentence: str) -> bool:
    """True when a sentence opens with a pronoun or a connective, so that its subject stands in the sentence before.

    >>> leans_on_predecessor("However, it was repealed."), leans_on_predecessor("The law was repealed.")
    (True, False)
    """
    text = sentence.lstrip()
    return bool(_OPENING_EN.match(text) or _OPENING_ZH.match(text))


def is_heading_of(sentence: str, headings: Sequence[str]) -> bool:
    """True when a sentence is nothing but one of the headings that it stands under: the label says it already.

    >>> is_heading_of("## Warranty", ["Handbook", "Warranty"]), is_heading_of("Warranty is void.", ["Warranty"])
    (True, False)
    """
    title = " ".join(_HEADING_MARKS.sub("", sentence).split())
    return any(title == " ".join(heading.split()) for heading in headings)


def code_block(sentences: Sequence[str], place: int) -> range | None:
    """The places of the fenced block of code that holds `sentences[place]`; None outside of one.

    A block that was cut before the first or behind the last sentence reaches to there.

    >>> code_block(["Run:", "```sh", "make test", "```", "Then commit."], 2)
    range(1, 4)
    """
    opened: int | None = None
    for at, sentence in enumerate(sentences):
        lines = sentence.strip().split("\n")
        fences = [line for line in lines if _FENCE.match(line)]
        if opened is None and len(fences) == 1 and len(lines) > 1 and lines[-1] == fences[0]:
            opened = 0  # the end of a block that began in the chunk before
        for _ in fences:
            if opened is None:
                opened = at
            elif opened <= place <= at:
                return range(opened, at + 1)
            else:
                opened = None
    return range(opened, len(sentences)) if opened is not None and opened <= place else None


def promised_by(sentences: Sequence[str], scores: Sequence[float], place: int, is_heading: bool) -> range:
    """The places of what `sentences[place]` is nothing without, or with: empty for most sentences.

    A line that announces a list says nothing without it, nor does a heading, a question or a line with a colon without
    the sentence or the code behind; behind a bare "No." the next one says why. And a question that the announcement
    resembles more than any item does is about them all.

    >>> steps = ["Cleaning a lens:", "1. Blow.", "2. Wipe."]
    >>> promised_by(steps, [0.9, 0.1, 0.1], 0, False), promised_by(steps, [0.9, 0.1, 0.1], 2, False)
    (range(0, 3), range(0, 3))
    >>> promised_by(steps, [0.1, 0.1, 0.9], 2, False), promised_by(["Who pays?", "Ann."], [0.9, 0.0], 0, False)
    (range(0, 0), range(0, 2))
    """
    announced = list_behind(sentences, place)
    if announced is not None:
        return range(place, announced.stop)
    own = list_around(sentences, place)
    if own is not None:
        above = own.start - 1
        is_announced = above >= 0 and list_behind(sentences, above) == own
        is_about_all = is_announced and scores[above] > max(scores[at] for at in own)
        return range(above, own.stop) if is_about_all else range(0)
    behind = place + 1
    if behind == len(sentences) or is_row(sentences[behind]) or not (is_heading or promises(sentences[place])):
        return range(0)
    block = code_block(sentences, behind)
    if block is not None:
        return range(place, block.stop)
    is_bare = len(sentences[behind].strip()) <= _BARE and behind + 1 < len(sentences)
    return range(place, behind + 1 + is_bare)


def is_row(text: str) -> bool:
    """True for a line of cells, parted by ` | ` or tabs."""
    return "\n" not in text.strip() and bool(_CELL.search(text.strip()))


def is_rule(text: str) -> bool:
    """True for the line under the header of a Markdown table."""
    return bool(text.strip() and _RULE.fullmatch(text.strip()))


def header_row(sentences: Sequence[str], place: int) -> int | None:
    """The place of the header row over the row `sentences[place]`; None for other sentences and the header itself.

    Rows of a table stand together, so its header is the first of the run of rows.
    """
    if not is_row(sentences[place]):
        return None
    first = place
    while first and is_row(sentences[first - 1]):
        first -= 1
    return first if first < place and not _RULE.fullmatch(sentences[first]) else None
