"""A row of a table under its header: a claim may take names from one column only, beside the row's first cell.

"Revenue | 2018 | 2019" over "Services | 5 | 7" says that services made 5 in 2018. That they made 5 in 2019 has all the
same words; what it has not is one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from context.facts import Fact, scaled
from context.units import Unit, content_of, units_of
from domain.documents import CELL_SEPARATOR


@dataclass(frozen=True, slots=True)
class TableRow:
    """The keys of each cell of a row, and of the header's cells above them."""

    cells: tuple[frozenset[str], ...]
    header: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, row: str, header: str) -> TableRow | None:
        """None where the two are not rows of equally many cells."""
        cells, names = row.split(CELL_SEPARATOR), header.split(CELL_SEPARATOR)
        if len(cells) < 2 or len(cells) != len(names) or "\n" in row.strip() or row.strip() == header.strip():
            return None
        return cls(tuple(_keys(cell, header) for cell in cells), tuple(_keys(name) for name in names))

    def says(self, claim: Sequence[Unit], lent: frozenset[str]) -> bool:
        """True when one column, with the row's first cell and what stands around the table, holds the whole claim."""
        keys = {unit.key for unit in claim}
        around = self.cells[0] | self.header[0] | lent
        return bool(keys & self.cells[0]) and any(
            keys & cell and keys <= cell | name | around
            for cell, name in zip(self.cells[1:], self.header[1:], strict=True)
        )

    def has_pair(self, name: str, cell: str, lent: frozenset[str], first: bool) -> bool:
        """True when one column, the first one for the first cell, has this cell under this name; an empty one has none.

        The name may have a word of the title, as "Revenue 2018" under the title "Revenue".
        """
        said, called = _keys(cell), _keys(name)
        places = range(1) if first else range(1, len(self.cells))
        return not said or any(
            said <= self.cells[place]
            and called <= self.header[place] | self.header[0] | lent
            and (first or not called or bool(called & self.header[place]))
            for place in places
        )


def _keys(cell: str, header: str = "") -> frozenset[str]:
    """The keys of a cell; its numbers also as the amounts that they mean under "in millions"."""
    units = content_of(units_of(cell))
    keys = {key for unit in units for key in (unit.key, *unit.aliases)}
    if header:
        facts = frozenset(Fact("number", number) for number in _numbers(units))
        keys |= {format(fact.value.normalize(), "f") for fact in scaled(facts, header) if fact.kind == "number"}
    return frozenset(keys)


def _numbers(units: Sequence[Unit]) -> list[Decimal]:
    return [Decimal(unit.key) for unit in units if unit.kind == "number" and " " not in unit.key]
