"""A source's sentence, prepared: its units, and where each of them stands."""

from __future__ import annotations

from collections.abc import Sequence

from context.units import CONTENT, Unit

AGENT_MARKS = frozenset(("by", "由", "被"))  # what stands before the one who did it

SENTENCE_ENDS = frozenset(".!?。！？\n")


class SourceReading:
    """A source's units with where each of them stands, ready for claims."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = tuple(units)
        self.places = [place for place, unit in enumerate(self.units) if unit.kind in CONTENT]
        self.content = [self.units[place] for place in self.places]
        self._found: dict[str, list[int]] = {}
        for ordinal, unit in enumerate(self.content):
            for key in (unit.key, *unit.aliases):
                self._found.setdefault(key, []).append(ordinal)
        self.has_agent = any(unit.kind == "link" and unit.key in AGENT_MARKS for unit in self.units)

    def ordinals(self, unit: Unit) -> list[int]:
        """Where among the content units this one stands, a part of a date where the whole date stands."""
        return self._found.get(unit.key, [])

    def holds(self, units: Sequence[Unit]) -> int:
        """How many of these units stand somewhere in the source."""
        return sum(unit.key in self._found for unit in units)

    def between(self, left: int, right: int) -> tuple[Unit, ...]:
        """All units between two content units, given by ordinal; -1 is the beginning."""
        start = self.places[left] + 1 if left >= 0 else 0
        return self.units[start : self.places[right]]

    def small_after(self, ordinal: int) -> tuple[Unit, ...]:
        """The units behind a content unit, up to the next one."""
        end = self.places[ordinal + 1] if ordinal + 1 < len(self.places) else len(self.units)
        return self.units[self.places[ordinal] + 1 : end]

    def sentence_before(self, ordinal: int) -> tuple[Unit, ...]:
        """The units of a content unit's sentence that stand before it."""
        start = end = self.places[ordinal]
        while start and self.units[start - 1].key not in SENTENCE_ENDS:
            start -= 1
        return self.units[start:end]

    def sentence_end(self, ordinal: int) -> int:
        """The place where a content unit's sentence ends."""
        place = self.places[ordinal]
        while place < len(self.units) and self.units[place].key not in SENTENCE_ENDS:
            place += 1
        return place
