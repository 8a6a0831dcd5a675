"""Does a claim say what its source says? Decided by the order of units, as a proof-reader with a ruler would.

Every unit of the claim (context/units.py) must stand in the source. Units that stand side by side in both form blocks,
and the blocks must come in the source's order: the same words in another order are another statement ("the tenant pays
the landlord"). Three moves leave the meaning alone and are undone first (context/moves.py): a phrase that opens with a
preposition goes to the front or the back ("In 2021 costs rose"), active and passive change places ("was signed by").

What the claim leaves out between two blocks must not be what the second one belongs to: nothing may be left out behind
the last comma or conjunction ("A signed the lease and B paid" does not say that A paid), no number or name without its
preposition, and no noun behind its owner ("Anna's father died": context/left_out.py). Prepositions between neighbours
must be the source's, and so must "we" and "you". A title may lend the claim its opening, where the source's sentence
leaves its subject open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from context.left_out import in_one_sentence, keeps_what_is_needed
from context.moves import agent_inside, has_agent, marked, moves, opens_clause
from context.source_reading import AGENT_MARKS, SENTENCE_ENDS, SourceReading
from context.tenses import times_agree
from context.units import BE, CONTENT, PERSONS, Unit, prepositions

# Which of these stands between two words decides who does what to whom; "in", "on", "at", "of" change places freely.
_DIRECTIONAL = frozenset(
    """to from by against for into out off up down over under above below before after until till since through with
    without than like about between within near behind beyond across via toward towards 被 由 把 对 對 从 從 向 给 給 比
    将 將 以""".split()
)
_REVERSING = frozenset("against without before after until till off".split())
_STATEMENT_ENDS = SENTENCE_ENDS | frozenset(";；")
_RANGE = frozenset(("to", "until", "through"))
_SPEAKERS = frozenset(("we", "you"))
_SHORTEST_HAN_BLOCK = 2  # one character alone is found in any text


def says(claim: Sequence[Unit], source: SourceReading, lent: frozenset[str] = frozenset(), opens: bool = True) -> bool:
    """True when the source says what the claim says.

    `lent` are keys of title and headings, for the claim's opening. `opens` is False for a claim that continues a
    sentence: it must begin where the source begins a sentence, or with the one who acts, so that it has a subject.
    """
    placed = _placed(claim, source, lent)
    if not placed or not _han_blocks_hold(claim, placed) or _ends_on_a_preposition(claim, placed, source):
        return False
    ordinals = [ordinal for _, ordinal in placed]
    if not _keeps_its_persons(claim, ordinals, source):
        return False
    if not opens and not _has_a_subject(claim[: placed[0][0]], source, ordinals[0]):
        return False
    toggled = has_agent(claim, placed) != (source.has_agent and agent_inside(source, ordinals))
    if not toggled and _ascends(ordinals, source):
        return (
            _opening_agrees(claim, placed[0], source)
            and _links_agree(claim, placed, source)
            and keeps_what_is_needed(claim, placed, source)
            and times_agree(claim, placed, source, voice_moved=False)
        )
    # Over the end of a sentence only the one who acts is found again: "It is kept by the bank."
    return (toggled or in_one_sentence(ordinals, source)) and any(
        _reads(claim, [placed[at] for at in order], source, toggled) for order in moves(claim, placed, source, toggled)
    )


def _reads(claim: Sequence[Unit], moved: Sequence[tuple[int, int]], source: SourceReading, toggled: bool) -> bool:
    """True when the claim's units, moved to where they would stand in the source, say what it says."""
    ordinals = [ordinal for _, ordinal in moved]
    passive = moved[0][0] > min(place for place, _ in moved) and marked(claim[: moved[0][0]], BE)
    if not _ascends(ordinals, source) or not keeps_what_is_needed(claim, moved, source, has_subject=not passive):
        return False
    if not times_agree(claim, moved, source, voice_moved=passive or toggled):
        return False
    # Where two blocks meet the claim's small words are not the source's; inside of each they must be.
    seams = [at for at in range(1, len(moved)) if not _neighbours(claim, moved[at - 1][0], moved[at][0])]
    starts, ends = [0, *seams], [*seams, len(moved)]
    return all(_links_agree(claim, moved[start:end], source) for start, end in zip(starts, ends, strict=True))


def _neighbours(claim: Sequence[Unit], left: int, right: int) -> bool:
    """No content unit of the claim stands between two of its places."""
    return left < right and all(unit.kind not in CONTENT for unit in claim[left + 1 : right])


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
        if stays or (found and last + 1 in ahead):
            found.append((place, last if stays else last + 1))
            continue
        following = [claim[next_] for next_ in wanted[at : at + 12]]
        found.append(
            (place, max(ahead or candidates, key=lambda ordinal: (_run(following, source, ordinal), -ordinal)))
        )
    if not _dates_are_whole(claim, found):
        return []
    opening_is_lent = bool(found) and wanted[0] != found[0][0]
    if opening_is_lent and found[0][1] and not _opens_without_subject(source, found[0][1]):
        return []
    return found


def _dates_are_whole(claim: Sequence[Unit], placed: Sequence[tuple[int, int]]) -> bool:
    """The words that name one date stand side by side, no day behind the year: "7 Tesla died in January 1943" and
    "January 1943 7 Tesla died" name none.
    """
    starts = [ordinal for at, (_, ordinal) in enumerate(placed) if not at or placed[at - 1][1] != ordinal]
    return len(starts) == len(set(starts)) and not any(
        left == right and claim[place].kind == "date" and claim[next_].kind == "number" and len(claim[next_].key) <= 2
        for (place, left), (next_, right) in pairwise(placed)
    )


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


def _small_before(claim: Sequence[Unit], place: int) -> Sequence[Unit]:
    start = place
    while start and claim[start - 1].kind not in CONTENT:
        start -= 1
    return claim[start:place]


def _ends_on_a_preposition(claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading) -> bool:
    """The claim breaks off behind a preposition that the source does not have there."""
    place, ordinal = placed[-1]
    return bool(prepositions(claim[place + 1 :]) - prepositions(source.small_after(ordinal)))


def _opens_without_subject(source: SourceReading, ordinal: int) -> bool:
    """A clause opens here, and not in a bracket nor with a pronoun: whom it speaks of stands before it."""
    small = source.between(ordinal - 1, ordinal)
    return opens_clause(source, ordinal) and not _persons(small) and all(unit.key != "(" for unit in small)


def _has_a_subject(opening: Sequence[Unit], source: SourceReading, ordinal: int) -> bool:
    """A sentence of the source begins here, or the one who acts is named; a pronoun there is one of the opening."""
    small = source.between(ordinal - 1, ordinal)
    opens = not ordinal or marked(small, AGENT_MARKS) or any(unit.key in _STATEMENT_ENDS for unit in small)
    return opens and _persons(small) <= _persons(opening)


def _persons(units: Sequence[Unit]) -> frozenset[str]:
    return frozenset(unit.key for unit in units if unit.kind == "filler") & PERSONS


def _keeps_its_persons(claim: Sequence[Unit], ordinals: Sequence[int], source: SourceReading) -> bool:
    """No pronoun stands in the claim more often than in the source's sentences: "he paid him" is not "he paid her".

    One of the third person near the claim's opening may stand for the subject that the source names.
    """
    said = Counter(unit.key for unit in claim if unit.kind == "filler" and unit.key in PERSONS)
    if not said:
        return True
    start = source.places[min(ordinals)] - len(source.sentence_before(min(ordinals)))
    end = source.sentence_end(max(ordinals))
    own = Counter(unit.key for unit in source.units[start:end] if unit.kind == "filler" and unit.key in PERSONS)
    content = [place for place, unit in enumerate(claim) if unit.kind in CONTENT]
    opening = claim[: content[1] if len(content) > 1 else content[0]]
    stands_for = next((unit.key for unit in opening if unit.kind == "filler" and unit.key in PERSONS), None)
    if stands_for and stands_for not in _SPEAKERS and not own[stands_for]:
        own[stands_for] += 1
    return said <= own


def _opening_agrees(claim: Sequence[Unit], first: tuple[int, int], source: SourceReading) -> bool:
    """The claim does not open with a preposition that the source lacks there: "against the lease, ..."."""
    opening = claim[: first[0]]
    said = prepositions(opening) & _DIRECTIONAL
    if any(unit.kind in CONTENT or unit.key == "according" for unit in opening):  # a title's words
        said &= _REVERSING
    return said <= prepositions(source.between(first[1] - 1, first[1]))


def _same_persons(said: Sequence[Unit], source: SourceReading, left: int, right: int) -> bool:
    """No "we" or "you" that the source does not have there, no "he" for "she"; "they" may stand for any of them.

    Where the source has none between these ordinals, one before them in its sentence may be the subject here too.
    """
    mine, theirs = _persons(said), _persons(source.between(left, right))
    if mine and not theirs:
        theirs = _persons(source.sentence_before(right))
    swapped = ("he" in mine and theirs == {"she"}) or ("she" in mine and theirs == {"he"})
    return mine & _SPEAKERS <= theirs and not swapped


def _links_agree(claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading) -> bool:
    """Between neighbours the claim has no directional preposition that the source lacks there, and keeps its "by"."""
    start, first = placed[0]
    if not _same_persons(_small_before(claim, start), source, first - 1, first):
        return False
    for (left, left_ordinal), (right, right_ordinal) in pairwise(placed):
        if not _same_persons(claim[left + 1 : right], source, left_ordinal, right_ordinal):
            return False
        said = {unit.key for unit in claim[left + 1 : right] if unit.kind == "link"} & _DIRECTIONAL
        own = {unit.key for unit in source.between(left_ordinal, right_ordinal) if unit.kind == "link"}
        if source.content[left_ordinal].kind == source.content[right_ordinal].kind == "number":
            own, said = own - _RANGE, said - _RANGE  # "2000-2005" is "2000 to 2005": context/ranges.py
        if said - own or (right_ordinal == left_ordinal + 1 and (own & _DIRECTIONAL) - said):
            return False
        # "reflected [in higher rates of] growth": what a preposition holds cannot stand without any.
        held = source.between(right_ordinal - 1, right_ordinal) if right_ordinal > left_ordinal + 1 else ()
        if prepositions(held) and not prepositions(claim[left + 1 : right]):
            return False
    return True


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
