"""Does a claim say what its source says? Decided by the order of units, as a proof-reader with a ruler would.

Every unit of the claim (context/units.py) must stand in the source. Units that stand side by side in both form blocks,
and the blocks must come in the source's order: the same words in another order are another statement ("the tenant pays
the landlord"). Three moves leave the meaning alone and are undone first: a phrase that opens with a preposition goes to
the front or the back ("In 2021 costs rose"), and active and passive change places ("was signed by").

What the claim leaves out between two blocks must not be what the second one belongs to: nothing may be left out behind
the last comma or conjunction ("A signed the lease and B paid" does not say that A paid), no number or name without its
preposition, and no noun behind its owner ("Anna's father died"). Prepositions between neighbours must be the source's.
A title may lend the claim its opening, where the source's sentence leaves its subject open.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from context.source_reading import AGENT_MARKS, SourceReading
from context.units import CONTENT, Unit, content_of

# Which of these stands between two words decides who does what to whom; "in", "on", "at", "of" change places freely.
_DIRECTIONAL = frozenset(
    """to from by against for into out off up down over under above below before after until till since through with
    without than like about between within 被 由 把 对 對 从 從 向 给 給 比 将 將 以""".split()
)
_BE = frozenset(("be",))
_OWNER_MARKS = frozenset(("'s", "的"))
_NO_PREPOSITIONS = _OWNER_MARKS | _BE
_SHORTEST_HAN_BLOCK = 2  # one character alone is found in any text


def says(claim: Sequence[Unit], source: SourceReading, lent: frozenset[str] = frozenset(), opens: bool = True) -> bool:
    """True when the source says what the claim says.

    `lent` are keys of title and headings, for the claim's opening. `opens` is False for a claim that continues a
    sentence: it must begin where the source begins a clause, or with the one who acts, so that it has a subject.
    """
    placed = _placed(claim, source, lent)
    if not placed or not _han_blocks_hold(claim, placed):
        return False
    ordinals = [ordinal for _, ordinal in placed]
    if not opens and not _begins_clause(source, ordinals[0]):
        return False
    toggled = _has_agent(claim, placed) != (source.has_agent and _agent_inside(source, ordinals))
    if not toggled and _ascends(ordinals, source):
        return _links_agree(claim, placed, source) and _nothing_needed_is_missing(ordinals, source)
    return any(
        _ascends([placed[at][1] for at in order], source)
        and _nothing_needed_is_missing([placed[at][1] for at in order], source)
        for order in _moves(claim, placed, source, toggled)
    )


def _placed(claim: Sequence[Unit], source: SourceReading, lent: frozenset[str]) -> list[tuple[int, int]]:
    """(place in the claim, ordinal in the source) of each content unit; empty where one of them is not found.

    The nearest place behind the last one is taken, and of several the one with the longest run in common.
    """
    wanted = [place for place, unit in enumerate(claim) if unit.kind in CONTENT]
    found: list[tuple[int, int]] = []
    for at, place in enumerate(wanted):
        candidates = source.ordinals(claim[place])
        if not candidates:
            if found or claim[place].key not in lent:
                return []
            continue
        last = found[-1][1] if found else -1
        # A date stands for several words of a claim ("in March of 2020").
        stays = bool(found) and last in candidates and source.content[last].kind == "date"
        ahead = [ordinal for ordinal in candidates if ordinal > last]
        if stays or last + 1 in ahead:
            found.append((place, last if stays else last + 1))
            continue
        following = [claim[next_] for next_ in wanted[at : at + 12]]
        found.append(
            (place, max(ahead or candidates, key=lambda ordinal: (_run(following, source, ordinal), -ordinal)))
        )
    opening_is_lent = bool(found) and wanted[0] != found[0][0]
    if opening_is_lent and (found[0][1] != 0 and not _opens_clause(source, found[0][1])):
        return []
    return found


def _run(units: Sequence[Unit], source: SourceReading, ordinal: int) -> int:
    """How many units in a row the source has from `ordinal` on."""
    length = 0
    for unit in units:
        at = ordinal + length
        if at >= len(source.content):
            break
        if unit.key != source.content[at].key and unit.key not in source.content[at].aliases:
            break
        length += 1
    return length


def _ascends(ordinals: Sequence[int], source: SourceReading) -> bool:
    """Each unit behind the one before; a date may be named in several words."""
    return all(
        left < right or (left == right and source.content[left].kind == "date") for left, right in pairwise(ordinals)
    )


def _moves(
    claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading, toggled: bool
) -> list[list[int]]:
    """The claim's content units in the orders that the allowed moves bring them back to."""
    size = len(placed)
    if toggled:
        return _voice_moves(claim, placed, source)
    moved = []
    for cut in range(1, size):
        if placed[cut][1] < placed[cut - 1][1] and _becomes_passive(claim, placed, cut, source):
            moved += [[*range(cut, end), *range(cut), *range(end, size)] for end in range(cut + 1, size + 1)]
        if placed[cut][1] < placed[cut - 1][1] and (
            _has_preposition(_before(claim, placed, 0))
            or _has_preposition(_before(claim, placed, cut))
            or (placed[cut][1] == 0 and _has_preposition(source.between(-1, 0)))
        ):
            moved.append([*range(cut, size), *range(cut)])
    return moved


def _voice_moves(claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading) -> list[list[int]]:
    """Active for passive and back: object, verb and agent change places."""
    size = len(placed)
    agent = next((at for at in range(1, size) if _marked(_before(claim, placed, at), AGENT_MARKS)), None)
    if agent is None:  # the source is passive, the claim is not: agent, verb, object
        starts = [at for at in range(1, size) if placed[at][1] < placed[at - 1][1]]
        return [
            [*range(object_, size), *range(verb, object_), *range(verb)]
            for verb in starts
            for object_ in starts
            if verb < object_
        ]
    moves = []
    for verb in range(agent + 1):
        for end in range(agent + 1, size + 1):
            rest = range(end, size)
            moves.append([*range(agent, end), *range(verb, agent), *range(verb), *rest])
            if _marked(_before(claim, placed, agent), frozenset("由被")):  # the verb stands behind the agent
                moves.append([*range(agent, end), *range(agent), *rest])
    return [order for order in moves if order != list(range(size))]


def _before(claim: Sequence[Unit], placed: Sequence[tuple[int, int]], at: int) -> tuple[Unit, ...]:
    """The claim's small words before one of its content units."""
    start = placed[at - 1][0] + 1 if at else 0
    return tuple(claim[start : placed[at][0]])


def _marked(units: Sequence[Unit], marks: frozenset[str]) -> bool:
    return any(unit.kind == "link" and unit.key in marks for unit in units)


def _has_agent(claim: Sequence[Unit], placed: Sequence[tuple[int, int]]) -> bool:
    """The claim names who did it: "by" before anything but a number."""
    return any(
        _marked(_before(claim, placed, at), AGENT_MARKS) and claim[placed[at][0]].kind not in ("number", "date")
        for at in range(1, len(placed))
    )


def _agent_inside(source: SourceReading, ordinals: Sequence[int]) -> bool:
    """The stretch of the source that the claim repeats names who did it."""
    low, high = min(ordinals), max(ordinals)
    return any(
        _marked(source.between(at - 1, at), AGENT_MARKS) and source.content[at].kind not in ("number", "date")
        for at in range(low + 1, high + 1)
    )


def _becomes_passive(
    claim: Sequence[Unit], placed: Sequence[tuple[int, int]], verb: int, source: SourceReading
) -> bool:
    """The claim has a form of "be" before its verb where the source has none: "the lease was signed"."""
    own = source.between(placed[verb][1] - 1, placed[verb][1])
    return _marked(_before(claim, placed, verb), _BE) and not _marked(own, _BE)


def _has_preposition(units: Sequence[Unit]) -> bool:
    return any(unit.kind == "link" and unit.key not in _NO_PREPOSITIONS for unit in units)


def _opens_clause(source: SourceReading, ordinal: int) -> bool:
    return any(unit.kind == "break" for unit in source.between(ordinal - 1, ordinal))


def _begins_clause(source: SourceReading, ordinal: int) -> bool:
    return not ordinal or _opens_clause(source, ordinal) or _marked(source.between(ordinal - 1, ordinal), AGENT_MARKS)


def _links_agree(claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading) -> bool:
    """Between neighbours the claim has no directional preposition that the source lacks there, and keeps its "by"."""
    for (left, left_ordinal), (right, right_ordinal) in pairwise(placed):
        said = {unit.key for unit in claim[left + 1 : right] if unit.kind == "link"} & _DIRECTIONAL
        own = {unit.key for unit in source.between(left_ordinal, right_ordinal) if unit.kind == "link"}
        if said - own or (right_ordinal == left_ordinal + 1 and (own & _DIRECTIONAL) - said):
            return False
        # "reflected [in higher rates of] growth": what a preposition holds cannot stand without any.
        held = source.between(right_ordinal - 1, right_ordinal) if right_ordinal > left_ordinal + 1 else ()
        if _has_preposition(held) and not _has_preposition(claim[left + 1 : right]):
            return False
    return True


def _nothing_needed_is_missing(ordinals: Sequence[int], source: SourceReading) -> bool:
    first = ordinals[0]
    if first and _belongs_to_what_precedes(source, first):
        return False
    return all(right <= left + 1 or not _needed(source.between(left, right)) for left, right in pairwise(ordinals))


def _belongs_to_what_precedes(source: SourceReading, first: int) -> bool:
    """The claim opens in the middle of a phrase: "the king died" out of "the son of the king died"."""
    small = source.between(first - 1, first)
    if any(unit.kind == "break" for unit in small):
        return False
    return _has_preposition(small)


def _needed(gap: Sequence[Unit]) -> bool:
    """Whether what was left out may be what the next words belong to."""
    breaks = [place for place, unit in enumerate(gap) if unit.kind == "break"]
    if breaks:
        return bool(content_of(gap[breaks[-1] + 1 :]))
    gap = [unit for unit in gap if unit.key not in _BE]
    if gap and gap[0].kind == "link":
        return gap[0].key in _OWNER_MARKS
    return any(unit.kind in ("name", "number", "date") for unit in gap)


def _han_blocks_hold(claim: Sequence[Unit], placed: Sequence[tuple[int, int]]) -> bool:
    """No Han character of the claim is found alone, apart from its neighbours: it would be found in any text."""
    start = 0
    for at in range(1, len(placed) + 1):
        if at < len(placed) and 0 <= placed[at][1] - placed[at - 1][1] <= 1:
            continue
        block = [claim[place] for place, _ in placed[start:at]]
        if len(block) < _SHORTEST_HAN_BLOCK and block[0].kind == "han":
            return False
        start = at
    return True
