"""A document's units by the heading they stand under."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import itemgetter

from domain.documents import Block, BlockKind
from ingestion.lines import has_word
from ingestion.units import Unit

_TINY = 0.25  # of the target: a section below this is worth joining with its neighbour
_LONGEST_TITLE = 200  # characters of a heading in a heading path; the whole heading stays in the text
_MARKUP = re.compile(r"^[^#\w]*#{1,6}\s+|\s+#{1,6}$")


@dataclass(frozen=True, slots=True)
class Section:
    """Consecutive units under one heading path, all in one run of blocks. `bare`: nothing but headings is in it."""

    path: tuple[str, ...]
    units: tuple[Unit, ...]
    tokens: int
    bare: bool
    run: int


def sections_of(text: str, runs: Sequence[Sequence[Block]], units: Sequence[Unit]) -> list[Section]:
    """One section a heading, its own line included; text before the first heading has an empty path.

    A section ends with its run as well, so that no chunk reaches across words that no block claims.
    """
    paths = list(_paths(text, [block for run in runs for block in run]))
    run_of = [number for number, run in enumerate(runs) for _ in run]
    keyed: list[tuple[tuple[int, int], Unit]] = []
    heading = -1
    for unit in units:
        heading = unit.block if unit.kind is BlockKind.HEADING else heading
        keyed.append(((heading, run_of[unit.block]), unit))
    sections = []
    for (at, run), group in groupby(keyed, key=itemgetter(0)):
        members = tuple(unit for _, unit in group)
        bare = all(unit.kind is BlockKind.HEADING for unit in members)
        sections.append(Section(paths[at] if at >= 0 else (), members, sum(unit.tokens for unit in members), bare, run))
    return sections


def merge_small(sections: Sequence[Section], target_tokens: int) -> list[Section]:
    """Join a heading without text to its first subsection, and tiny sections to neighbours under the same parent.

    The path of joined siblings is what they share; their headings stay in the text. Nothing is joined that exceeds
    the target, except a bare heading to what it introduces.
    """
    merged: list[Section] = []
    for section in sections:
        if not merged or merged[-1].run != section.run:
            merged.append(section)
        elif _introduces(merged[-1], section):
            merged[-1] = _join(merged[-1], section, section.path)
        elif _mergeable(merged[-1], section, target_tokens):
            merged[-1] = _join(merged[-1], section, _shared(merged[-1].path, section.path))
        else:
            merged.append(section)
    return merged


def _paths(text: str, blocks: Sequence[Block]) -> Iterator[tuple[str, ...]]:
    """The heading path of each block; a heading's own title is the last element of its path."""
    stack: list[tuple[int, str]] = []
    for block in blocks:
        if block.kind is BlockKind.HEADING:
            while stack and stack[-1][0] >= block.level:
                stack.pop()
            stack.append((block.level, _title(block.span.of(text))))
        yield tuple(title for _, title in stack if title)


def _title(heading: str) -> str:
    """A heading as people say it: without the marks of Markdown (`## Title`) or the line drawn under it."""
    lines = [line.strip() for line in heading.splitlines()]
    words = " ".join(" ".join(_MARKUP.sub("", line) for line in lines if has_word(line)).split())
    return words if len(words) <= _LONGEST_TITLE else words[: _LONGEST_TITLE - 1] + "…"


def _introduces(heading: Section, section: Section) -> bool:
    depth = len(heading.path)
    return heading.bare and len(section.path) > depth and section.path[:depth] == heading.path


def _mergeable(first: Section, second: Section, target_tokens: int) -> bool:
    shared = len(_shared(first.path, second.path))
    tiny = min(first.tokens, second.tokens) < _TINY * target_tokens
    siblings = shared >= max(len(first.path), len(second.path)) - 1
    return tiny and siblings and first.tokens + second.tokens <= target_tokens


def _join(first: Section, second: Section, path: tuple[str, ...]) -> Section:
    units = first.units + second.units
    return Section(path, units, first.tokens + second.tokens, first.bare and second.bare, first.run)


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return tuple(title for title, _ in pairs)
