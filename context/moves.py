"""The moves that leave a statement alone: a phrase to the front or the back, active for passive and the reverse.

A claim whose words stand in another order than its source's is brought back to the source's by each move that its small
words allow, and then read (context/reading.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from context.inflection import is_past
from context.source_reading import AGENT_MARKS, SourceReading
from context.units import BE, Unit, prepositions

_BY = frozenset(("by",))
_YEAR = 4  # digits
_VERB_BEHIND = frozenset("由被")  # the verb stands behind the agent

Placed = Sequence[tuple[int, int]]  # (place in the claim, ordinal in the source) of each content unit


def moves(claim: Sequence[Unit], placed: Placed, source: SourceReading, toggled: bool) -> list[list[int]]:
    """The claim's content units in the orders that the allowed moves bring them back to."""
    size = len(placed)
    if toggled:
        return _voice_moves(claim, placed)
    moved = []
    for cut in range(1, size):
        if placed[cut][1] < placed[cut - 1][1] and _becomes_passive(claim, placed, cut, source):
            moved += [[*range(cut, end), *range(cut), *range(end, size)] for end in range(cut + 1, size + 1)]
        if placed[cut][1] < placed[cut - 1][1] and _phrase_moved(claim, placed, cut, source):
            moved.append([*range(cut, size), *range(cut)])
    return moved


def _phrase_moved(claim: Sequence[Unit], placed: Placed, cut: int, source: SourceReading) -> bool:
    """The claim has a phrase in front that the source has behind, or the reverse: "in 2021", "on Monday"."""
    fronted = _is_phrase(claim, placed, 0, source)
    return fronted or (_begins_clause(source, placed[cut][1]) and _is_phrase(claim, placed, cut, source))


def _is_phrase(claim: Sequence[Unit], placed: Placed, at: int, source: SourceReading) -> bool:
    """What begins here opens with a date or year, or with the same prepositions in claim and source."""
    place, ordinal = placed[at]
    if claim[place].kind == "date" or _is_year(claim[place]):
        return True
    said = prepositions(_before(claim, placed, at))
    return bool(said) and said <= prepositions(source.between(ordinal - 1, ordinal))


def _is_year(unit: Unit) -> bool:
    return unit.kind == "number" and len(unit.key) == _YEAR and unit.key.isdigit()


def _voice_moves(claim: Sequence[Unit], placed: Placed) -> list[list[int]]:
    """Active for passive and back: object, verb and agent change places."""
    size = len(placed)
    agent = next((at for at in range(1, size) if marked(_before(claim, placed, at), AGENT_MARKS)), None)
    if agent is None:  # the source is passive, the claim is not: agent, verb, object
        starts = [at for at in range(1, size) if placed[at][1] < placed[at - 1][1]]
        return [
            [*range(object_, size), *range(verb, object_), *range(verb)]
            for verb in starts
            for object_ in starts
            if verb < object_
        ]
    orders = []
    for verb in range(agent + 1):
        for end in range(agent + 1, size + 1):
            rest = range(end, size)
            orders.append([*range(agent, end), *range(verb, agent), *range(verb), *rest])
            if marked(_before(claim, placed, agent), _VERB_BEHIND):
                orders.append([*range(agent, end), *range(agent), *rest])
    return [order for order in orders if order != list(range(size))]


def _becomes_passive(claim: Sequence[Unit], placed: Placed, verb: int, source: SourceReading) -> bool:
    """The claim has a form of "be" before its verb where the source has none: "the lease was signed"."""
    own = source.between(placed[verb][1] - 1, placed[0][1])
    return is_past(claim[placed[verb][0]].form) and marked(_before(claim, placed, verb), BE) and not marked(own, BE)


def has_agent(claim: Sequence[Unit], placed: Placed) -> bool:
    """The claim names who did it: "by" before anything but a number."""
    return any(_names_agent(_before(claim, placed, at), claim[placed[at][0]]) for at in range(1, len(placed)))


def agent_inside(source: SourceReading, ordinals: Sequence[int]) -> bool:
    """The stretch of the source that the claim repeats names who did it."""
    low, high = min(ordinals), max(ordinals)
    return any(_names_agent(source.between(at - 1, at), source.content[at]) for at in range(low + 1, high + 1))


def _names_agent(small: Sequence[Unit], unit: Unit) -> bool:
    """Whether "by" is followed by somebody: "by 12 %" names nobody, 由五项 does."""
    return marked(small, AGENT_MARKS) and (unit.kind not in ("number", "date") or not marked(small, _BY))


def _begins_clause(source: SourceReading, ordinal: int) -> bool:
    return not ordinal or opens_clause(source, ordinal) or marked(source.between(ordinal - 1, ordinal), AGENT_MARKS)


def opens_clause(source: SourceReading, ordinal: int) -> bool:
    return any(unit.kind == "break" for unit in source.between(ordinal - 1, ordinal))


def _before(claim: Sequence[Unit], placed: Placed, at: int) -> tuple[Unit, ...]:
    """The claim's small words before one of its content units."""
    start = placed[at - 1][0] + 1 if at else 0
    return tuple(claim[start : placed[at][0]])


def marked(units: Sequence[Unit], marks: frozenset[str]) -> bool:
    return any(unit.kind == "link" and unit.key in marks for unit in units)
