"""Finding an answer string in a text: case, width and white space folded, as whole words."""

from __future__ import annotations

import unicodedata

from domain.documents import Span


def folded(text: str) -> str:
    r"""Case, width and white space folded, for comparing an answer with a text.

    >>> folded(" Ｗarsaw\n1817 ")
    'warsaw 1817'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def find_answer(text: str, answer: str) -> list[Span]:
    """Where an answer stands in a text, as whole words, in the text's own offsets; folded as `folded` does.

    >>> find_answer("Founded in 1817, refounded in 18170.", "1817")
    [Span(start=11, end=15)]
    """
    wanted = folded(answer)
    if not wanted or wanted not in folded(text):
        return []
    characters, origins = _unfolded(text)
    spans, at = [], characters.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if not _inside_word(characters, at) and not _inside_word(characters, end):
            spans.append(Span(origins[at], origins[end - 1] + 1))
        at = characters.find(wanted, at + 1)
    return spans


def _unfolded(text: str) -> tuple[str, list[int]]:
    """The folded text with the place in `text` of each of its characters."""
    characters: list[str] = []
    origins: list[int] = []
    for place, character in enumerate(text):
        for one in unicodedata.normalize("NFKC", character).casefold():
            blank = one.isspace()
            if not (blank and (not characters or characters[-1] == " ")):
                characters.append(" " if blank else one)
                origins.append(place)
    return "".join(characters), origins


def _inside_word(text: str, at: int) -> bool:
    """Whether a word or number of a script that puts blanks between words goes on across `at`."""
    return 0 < at < len(text) and _joins(text[at - 1]) and _joins(text[at])


def _joins(character: str) -> bool:
    return character.isalnum() and unicodedata.category(character) != "Lo"  # Han, kana and Thai run on without blanks
