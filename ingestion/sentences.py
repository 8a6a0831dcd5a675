"""Where sentences end, in English and Chinese, in time linear in the text.

Text is first parted at blank lines and at line ends that were meant (`lines.py`). Inside a part every run of
terminators (`.`, `?!`, `……`, `。`, `！`), together with the quotes and brackets that close behind it, is a candidate:

* A full-width terminator ends the sentence; no white space is needed. Behind a closing quote it depends on how
  the quote was opened: after a colon or comma the quote was the sentence's end (他说：“好。”她走了。); a quote that
  opens the sentence is followed by who said it (“去吗？”他问。); a title or an aside in brackets goes on
  (《你好吗？》是一首歌). A full-width dot without white space behind it ends a sentence where the
  text around has no 。; beside those it parts the names of a foreigner (圣若望．玛达).
* Nothing that is not full-width ends a sentence inside full-width brackets (（St. John, Hey! Say! JUMP）).
* `?` and `!` end a sentence before white space unless a lower-case word follows ("Why?" she asked; Yahoo! is).
* `.` ends a sentence before white space unless a lower-case word follows, the stop belongs to an abbreviation, an
  initial, an acronym, a label ("Item 7. Management") or a numbered heading that its text runs on from ("3. Rent. The
  rent is due"), or a number is expected ("Fig. 3"). After a company's suffix,
  an initial or an acronym the next word decides: "in the U.S. The firm" against "the U.S. Government" (Kiss and Strunk
  2006 call such words frequent sentence starters).
* `；` and `;` do not end a sentence. Nothing ends inside a number, a domain name or a version.

Every look back or ahead is bounded, so hostile text costs no more than honest text. sentencex, which does this job for
many languages, was measured first: quadratic on dialogue in corner brackets (20 s for 200 kB), panicking on a no-break
space before a stop, and not always returning the text it was given; offsets are a promise here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from domain.documents import Span
from ingestion.abbreviations import LABELS, MONTHS, NUMBERED, STARTERS, SUFFIXES, TITLES
from ingestion.lines import is_cjk, meant_lines, paragraphs, with_marks

_STOPS = ".!?…⋯。！？｡．‼⁇⁈⁉"
# Possessive and anchored by the look-behind: each run is read once, however long it is.
_CANDIDATE = re.compile(
    rf"""(?<![{_STOPS}])(?P<run>[{_STOPS}]++)(?P<closers>["'”’»›」』)）\]】》〉〕＂＇]*+(?:\[[^\]\n]{{1,40}}+\])*+)"""
)
_SPACE = re.compile(r"\s*+")
_WORD = re.compile(r"[A-Za-z]+")
_FULL_STOPS = frozenset("。｡．")
_FULL_WIDTH = frozenset("。！？｡．‼⁇⁈⁉")
_DOTS = frozenset(".…⋯")
_OPENERS = "\"'“‘«‹「『（([【《〈"
_QUOTE_OPENERS = {"”": "“", "’": "‘", "」": "「", "』": "『"}
_INTRODUCES = frozenset("：:，,")
_GOES_ON = frozenset("，、；：,;:)）]】》〉”’」』" + _STOPS)
_FULL_WIDTH_DOT = "．"
_DOT_REACH = 200  # characters to either side in which a text shows what it ends sentences with
_BEFORE_LATIN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff（《「『]")  # what a Latin word follows without a blank
_ASIDE = 120  # characters in which an aside in brackets is sought to either side
_LOOK_BACK = 24  # characters in which the word before a stop is sought
_QUOTE_REACH = 200  # characters in which the opening of a quote is sought
_ACRONYM = re.compile(r"(?:[A-Za-z]{1,2}\.)+[A-Za-z]{1,2}")
_ENUMERATOR = re.compile(r"(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})(?:\.\d{1,3})*")
_NUMBERED_HEADING = re.compile(r"\(?\d{1,3}(?:\.\d{1,3})*[.)]|\([a-z]\)")
_NUMERAL = re.compile(r"[\d(#§]|[IVXLC]+\b|[A-Z]\b")


def split_sentences(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The sentences of `text[start:end]`: disjoint, ascending, without white space at their ends.

    Together they hold every non-blank character.

    >>> text = "Dr. Li paid $3.5 million. 他说：「好。」"
    >>> [span.of(text) for span in split_sentences(text)]
    ['Dr. Li paid $3.5 million.', '他说：「好。」']
    """
    parts = (part for paragraph in paragraphs(text, start, end) for part in meant_lines(text, paragraph))
    # A stray mark or a rule says nothing alone: it goes with the sentence before it.
    return list(with_marks(text, (span for part in parts for span in _sentences_of(text, part))))


def _sentences_of(text: str, part: Span) -> Iterator[Span]:
    begin = part.start
    for match in _CANDIDATE.finditer(text, part.start, part.end):
        if match.start() < begin:
            continue
        following = _SPACE.match(text, match.end(), part.end)
        after = following.end() if following else match.end()
        if after < part.end and _ends(text, begin, part.end, match, after):
            yield Span(begin, match.end())
            begin = after
    yield Span(begin, part.end)


def _ends(text: str, begin: int, end: int, match: re.Match[str], after: int) -> bool:
    """Whether the candidate ends the sentence begun at `begin` in the part that ends at `end`; `after` is the next
    character that is not blank.
    """
    run, spaced, char = match["run"], after > match.end(), text[after]
    if char in _GOES_ON:
        return False
    if _FULL_WIDTH.isdisjoint(run):
        if _in_aside(text, begin, end, match.start()):
            return False
    else:
        return _full_width_ends(text, begin, end, match, spaced, char)
    if _DOTS.issuperset(run) and run != ".":
        return spaced and match.start() > begin and not char.islower()
    if not spaced and not is_cjk(char) and char not in "“‘":
        return False
    if char.islower():
        return False
    return run != "." or _full_stop_ends(text, begin, match.start(), after)


def _full_width_ends(text: str, begin: int, end: int, match: re.Match[str], spaced: bool, char: str) -> bool:
    run, closers = match["run"], match["closers"]
    if not closers:
        if spaced or run != _FULL_WIDTH_DOT:
            return True
        at = match.start()
        return not char.isdigit() and text.find("。", max(0, at - _DOT_REACH), min(end, at + _DOT_REACH)) < 0
    opener = _QUOTE_OPENERS.get(closers[0])
    if spaced or char in _OPENERS:
        return True
    if opener is None:  # brackets: a full stop inside them closes a sentence of its own, a question does not
        return run[-1] in _FULL_STOPS and closers[0] in "）)]】"
    at = text.rfind(opener, max(begin, match.start() - _QUOTE_REACH), match.start())
    if at == begin:
        return False
    return at < 0 or text[at - 1] in _INTRODUCES or run[-1] in _FULL_STOPS


def _in_aside(text: str, begin: int, end: int, at: int) -> bool:
    """True between full-width brackets that the sentence begun at `begin` has opened and closes soon."""
    opened = text.rfind("（", max(begin, at - _ASIDE), at)
    if opened < 0 or text.find("）", opened, at) >= 0:
        return False
    return text.find("）", at, min(end, at + _ASIDE)) >= 0


def _full_stop_ends(text: str, begin: int, stop: int, after: int) -> bool:
    window = text[max(begin, stop - _LOOK_BACK) : stop]
    words = window.split()
    if not words or window[-1].isspace():
        return bool(words)
    word = words[-1].lstrip(_OPENERS)
    if not is_cjk(text[after]):  # before Chinese (维生素C. 它) a stop is a stop, before Latin 及St. may be a title
        word = _BEFORE_LATIN.split(word)[-1]
    line = max(begin, text.rfind("\n", max(begin, stop - _LOOK_BACK), stop) + 1)
    if stop - line < _LOOK_BACK and _leads_in(text[line:stop].split()):
        return False
    return _word_allows_end(word, text, after)


def _leads_in(words: list[str]) -> bool:
    """True for what stands before a heading or an item, "3", "(a)", "1.2", "Item 7A", "Note 12", and for a numbered
    heading that its text runs on from: "3. Rent. The rent is 840 pounds."
    """
    if len(words) == 1:
        return _ENUMERATOR.fullmatch(words[0].lstrip(_OPENERS)) is not None
    if len(words) == 2 and words[0].lower().rstrip(".") in LABELS and len(words[1]) <= 4:
        return True
    heading = " ".join(words[1:])
    return heading[:1].isupper() and "." not in heading and _NUMBERED_HEADING.fullmatch(words[0]) is not None


def _word_allows_end(word: str, text: str, after: int) -> bool:
    """Whether a stop behind `word` may end a sentence when the character at `after` comes next."""
    lower, initial = word.lower(), len(word) == 1 and word.isupper()
    if lower in TITLES and not initial:
        return False
    if lower in NUMBERED and not initial:
        return _NUMERAL.match(text, after) is None
    if lower in MONTHS:
        return not text[after].isdigit()
    if initial or lower in SUFFIXES or _ACRONYM.fullmatch(word):
        return _starts_sentence(text, after)
    return True


def _starts_sentence(text: str, at: int) -> bool:
    while at < len(text) and text[at] in _OPENERS:
        at += 1
    word = _WORD.match(text, at)
    return word is not None and word[0].lower() in STARTERS
