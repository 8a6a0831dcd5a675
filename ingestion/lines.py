"""Which line ends mean something.

A file may wrap its prose at a fixed column, or write one paragraph, verse, address line or row of figures a line.
Only in the second case does a line end separate sentences. Whoever wraps text fills each line before starting the next,
so a line end was *meant* where the first word of the next line would have fitted well within the paragraph's width;
or where nobody wraps (lines longer than any page is wide); or where the next line starts a list item; or where the line
ends in columns of figures, as the rows of a statement do in the text of a PDF. A blank line always separates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from domain.documents import Span

_BLANK_LINES = re.compile(r"\n[^\S\n]*+\n\s*+")
_WORD_MAY_BE = 40  # characters looked at to find the first word of a line
_WIDEST_WRAP = 160  # columns; nobody wraps prose wider
_FILLED = 0.75  # of the width; proportional fonts make honest wrapped lines end as early as this
_CJK = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]")

_BULLET = re.compile(r"[-*+•‣◦▪▫●○■□◆◇►▶·–—]\s")
_NUMBERED_ITEM = re.compile(
    r"""[(（\[]?(?:
        \d{1,3}(?:\.\d{1,3}){0,4} | [A-Za-z] | [ivxIVX]{1,5} | [一二三四五六七八九十百]{1,4} | [①-⑳]
    )(?:[.)\]]\s | [)）、．] | (?<=[①-⑳]))""",
    re.VERBOSE,
)
_FIGURE = frozenset("0123456789.,()%$€£¥-–—―−+")
_SUBSCRIPT = re.compile(r"\d{1,2}[.,;)]?\s")  # "compressed O\n2 around": dumps of Wikipedia break lines there
_GOES_ON = frozenset(",，、;；-–—([（「“‘&/")


def paragraphs(text: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
    """The stretches of `text[start:end]` between blank lines, without surrounding white space, in order."""
    stop = len(text) if end is None else end
    for match in _BLANK_LINES.finditer(text, start, stop):
        yield from _stripped(text, start, match.start())
        start = match.end()
    yield from _stripped(text, start, stop)


def meant_lines(text: str, paragraph: Span) -> Iterator[Span]:
    r"""The parts of a paragraph between line ends that were meant; wrapped lines stay together.

    >>> poem = "Roses are red\nViolets are blue and so are you"
    >>> [part.of(poem) for part in meant_lines(poem, Span(0, len(poem)))]
    ['Roses are red', 'Violets are blue and so are you']
    """
    lines = list(lines_of(text, paragraph.start, paragraph.end))
    if not lines:
        return
    width = max(map(len, lines))
    start = lines[0].start
    for line, following in pairwise(lines):
        if _is_meant(text, line, following, width):
            yield Span(start, line.end)
            start = following.start
    yield Span(start, lines[-1].end)


def lines_of(text: str, start: int, end: int) -> Iterator[Span]:
    """The non-blank lines of `text[start:end]`, without surrounding white space."""
    while start < end:
        at = text.find("\n", start, end)
        stop = end if at < 0 else at
        yield from _stripped(text, start, stop)
        start = stop + 1


def is_cjk(char: str) -> bool:
    """True for Han, kana, full-width forms and their punctuation: scripts that write words without spaces."""
    return char >= "\u2e80" and _CJK.match(char) is not None


def with_marks(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans, those without a word joined to the one before: a rule under a header, a brace after a function.

    At the beginning they join the one behind. So only a text without any word gives a span without one.
    """
    held: Span | None = None
    held_says_something = False
    for span in spans:
        says_something = has_word(span.of(text))
        if held is not None and not (says_something and held_says_something):
            held = Span(held.start, span.end)
        else:
            if held is not None:
                yield held
            held = span
        held_says_something = held_says_something or says_something
    if held is not None:
        yield held


def has_word(text: str) -> bool:
    """True when a letter or a digit of any script stands in `text`: something more than marks and rules."""
    return any(map(str.isalnum, text))


def _stripped(text: str, start: int, end: int) -> Iterator[Span]:
    piece = text[start:end]
    kept = piece.strip()
    if kept:
        begin = start + len(piece) - len(piece.lstrip())
        yield Span(begin, begin + len(kept))


def _is_meant(text: str, line: Span, following: Span, width: int) -> bool:
    head = text[following.start : following.start + _WORD_MAY_BE]
    if width > _WIDEST_WRAP:
        return not (text[line.end - 1].isalnum() and _SUBSCRIPT.match(head))
    if _starts_item(text, line, following) or _ends_in_figures(text, line):
        return True
    if not (has_word(line.of(text)) and has_word(following.of(text))):  # a rule drawn under or between lines
        return True
    if head[0].islower() or text[line.end - 1] in _GOES_ON:
        return False
    word = 1 if is_cjk(head[0]) else len(head.split(None, 1)[0])
    return len(line) + 1 + word < _FILLED * width


def _starts_item(text: str, line: Span, following: Span) -> bool:
    if _BULLET.match(text, following.start, following.end):
        return True
    if not _NUMBERED_ITEM.match(text, following.start, following.end):
        return False
    # "... only\n12. The next": a number can be wrapped prose, unless the line before is complete or an item itself.
    last = text[line.end - 1]
    complete = not (last.islower() or last in _GOES_ON)
    return complete or any(item.match(text, line.start, line.end) for item in (_NUMBERED_ITEM, _BULLET))


def _ends_in_figures(text: str, line: Span) -> bool:
    """True for "Net sales 31,657 32,765", two columns of figures; in "December 31, 2018" a comma ends a word: prose."""
    words = text[max(line.start, line.end - _WORD_MAY_BE) : line.end].split()[-2:]
    return len(words) == 2 and all(word[-1] != "," and _FIGURE.issuperset(word) for word in words)
