"""What a sentence is said under, or said of no further, and a claim that leaves it out.

A sentence may open with a frame: under which condition, where, or in whose words it holds ("When the alarm rings,",
"According to critics,", 经主管批准，). It may end with a limit ("when the pressure falls", "until May", "for members"),
or say at its end who says so (", Ben said"). Without them the rest is another statement. What only dates the sentence
or joins it to the one before ("In 2021,", "In addition,", 此外，) may be left out. Nor may a claim break off in the
middle of a phrase: before the owned ("the landlord['s agent]", 经理[的妻子]) or the head (经理[助理]). A claim may open
with a frame of its own that only a title has, if it names the title: "under the Annex", and not "in theory".

The words that open frames and limits are prepositions, conjunctions and the like: closed classes, listed whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from context.inflection import base_form, is_past
from context.source_reading import SENTENCE_ENDS, SourceReading
from context.units import CONTENT, DENIALS, OWNER_MARKS, VERBAL, Unit, content_of, is_adverb, prepositions

SAYING = frozenset(
    map(
        base_form,
        """say claim argue believe suggest think announce report deny allege conclude estimate assume suspect speculate
        insist complain propose predict warn hope fear""".split(),
    )
)
_COMMAS = frozenset((",", "，", ":", "："))
_ENDS = SENTENCE_ENDS | {";", "；"}
CONDITIONS = frozenset("when whenever where wherever once while if unless until till".split())
_OPENERS = frozenset(
    "assuming given provided providing supposing granted pending failing subject depending according".split()
)
_AS_LONG = frozenset(("soon", "long", "far"))
_LIMITS = frozenset("than for without until till during like of before after".split())
_HAN_SAYS = frozenset("说說")
_JOINING = frozenset(
    map(
        base_form,
        """addition particular fact general short contrast example instance word words result conclusion summary total
        turn essence reality hand time""".split(),
    )
)
_HAN_OPENERS = frozenset("当當在经經据據按根依对對如若凡待除自从從随隨")
_HAN_CLOSERS = frozenset("时時后後前中上下里裡内內来來看话話言说說称稱示")
_HAN_VERBAL = frozenset("是有可能会會应應须須必将將不未已曾被由都均")
_HAN_JOINING = 2  # characters: 此外, 同时, 目前
_HAN_STATEMENT = 8  # characters; a name is shorter
_PERIODS = frozenset(map(base_form, "second minute hour day night week month quarter year".split()))
_SAID_BEHIND = 4  # content units
_TWO = 2  # content units, a subject and a verb


def keeps_its_frame(claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading) -> bool:
    """True when the claim leaves out no frame before its first unit and no limit behind its last.

    `placed` are (place in the claim, ordinal in the source) of the claim's content units, by ascending ordinal.
    """
    forms = frozenset(unit.form or unit.key for unit in claim)
    ordinals = [ordinal for _, ordinal in placed]
    return not _drops_frame(forms, ordinals, source) and not _drops_limit(claim, forms, ordinals, source)


def _drops_frame(forms: frozenset[str], ordinals: Sequence[int], source: SourceReading) -> bool:
    start = source.places[ordinals[0]] - len(source.sentence_before(ordinals[0]))
    end = next((at for at in range(start, len(source.units)) if source.units[at].key in _COMMAS), None)
    frame = source.units[start:end] if end else ()
    opener = next((unit for unit in frame if unit.kind != "filler"), None)
    if end is None or opener is None or not _is_frame(frame, opener):
        return False
    said = [ordinal for ordinal in ordinals if source.places[ordinal] < end]
    if not said:
        return True
    if opener.key in CONDITIONS and _content_between(source, start, end) - set(ordinals):
        return True
    binds = frame[-1] if frame[-1].key in _HAN_CLOSERS else opener
    return (_opens(opener) or binds.kind == "han") and (binds.form or binds.key) not in forms


def frames_by_title(claim: Sequence[Unit], source: SourceReading, titles: Sequence[Sequence[Unit]]) -> bool:
    """True where the claim opens with no frame that the source lacks, or with one that names half of a title's words.

    `titles` are the units of title and headings.
    """
    known = (unit.kind in CONTENT and source.ordinals(unit) for unit in claim)
    opening = claim[: next((place for place, held in enumerate(known) if held), 0)]
    lent = {unit.key for unit in content_of(opening)}
    if not lent or not prepositions(opening):
        return True
    named = ({unit.key for unit in content_of(title)} for title in titles)
    return any(2 * len(lent & title) >= len(title) for title in named if title)


def _content_between(source: SourceReading, start: int, end: int) -> set[int]:
    """The ordinals of what is said between two places, adverbs apart."""
    low, high = bisect_left(source.places, start), bisect_left(source.places, end)
    return {ordinal for ordinal in range(low, high) if not is_adverb(source.content[ordinal])}


def _is_frame(frame: Sequence[Unit], opener: Unit) -> bool:
    content = [unit for unit in content_of(frame) if unit.kind not in ("number", "date") and not is_adverb(unit)]
    content = [unit for unit in content if unit.key not in _JOINING]
    if frame[-1].kind in ("han", "link", "filler") and (opener.key in _HAN_OPENERS or frame[-1].key in _HAN_CLOSERS):
        return len(content) > _HAN_JOINING
    return bool(content) and (_opens(opener) or bool(prepositions((opener,)) - _HAN_OPENERS))


def _opens(unit: Unit) -> bool:
    return (unit.kind == "break" and unit.key in CONDITIONS) or unit.form in _OPENERS or unit.key in _OPENERS


def _drops_limit(claim: Sequence[Unit], forms: frozenset[str], ordinals: Sequence[int], source: SourceReading) -> bool:
    start = source.places[ordinals[-1]] + 1
    end = next((at for at in range(start, len(source.units)) if source.units[at].key in _ENDS), len(source.units))
    rest = source.units[start:end]
    if not rest or (len(ordinals) < _TWO and not _states(claim)):
        return False
    if _is_said_behind(rest, claim):
        return True
    small = rest[: next((at for at, unit in enumerate(rest) if unit.kind in CONTENT), len(rest))]
    if len(small) == 1 < len(rest) and small[0].key in OWNER_MARKS:
        return True
    stop = next((at for at, unit in enumerate(rest) if unit.kind == "break"), len(rest))
    if stop < len(rest) and rest[stop].key in CONDITIONS and rest[stop].key not in forms:
        return True
    last = source.content[ordinals[-1]]
    if not content_of(rest[:stop]):
        return False
    if not small:
        return _states(claim) and not _may_follow(last, rest[0])
    if small[0].key == "as" and rest[len(small)].form in _AS_LONG:
        return True
    if small[0].key == "per":
        return True
    limits = prepositions(small[:1])
    if any(unit.key in DENIALS for unit in claim):  # "no effects were seen [in adults]" would deny more
        return bool(limits)
    narrows = bool(limits & _LIMITS) and not _is_past_tense(claim) and last.kind not in ("number", "date")
    return narrows and _states(claim)


def _is_said_behind(rest: Sequence[Unit], claim: Sequence[Unit]) -> bool:
    """Who says so follows behind a comma: ", critics say", ", according to Ben", ，李明说."""
    if rest[0].key not in _COMMAS:
        return False
    behind = rest[1 : next((at for at in range(1, len(rest)) if rest[at].kind == "break"), len(rest))]
    if not behind:
        return len(rest) > 1 and rest[1].key in _OPENERS
    content = content_of(behind)
    said = {unit.key for unit in content} & SAYING | {unit.key for unit in content[-1:]} & _HAN_SAYS
    return len(content) <= _SAID_BEHIND and bool(said) and said.isdisjoint(unit.key for unit in claim)


def _states(claim: Sequence[Unit]) -> bool:
    """It has a verb that can be told: an auxiliary, a form of "be"; in Chinese one between other characters."""
    inner = claim[1:-1]
    if sum(unit.kind == "han" for unit in claim) >= _HAN_STATEMENT:
        return True
    return any(unit.key in VERBAL for unit in claim) or any(unit.key in _HAN_VERBAL for unit in inner)


def _may_follow(last: Unit, next_: Unit) -> bool:
    """A number, an adverb or a period may follow what is whole without it; so may what follows a number."""
    if next_.kind == "han" or last.kind == "han":
        return last.kind != "han" or next_.kind != "han"
    return (
        next_.kind in ("number", "date") or last.kind in ("number", "date") or is_adverb(next_) or next_.key in _PERIODS
    )


def _is_past_tense(claim: Sequence[Unit]) -> bool:
    """Its first auxiliary, or its first word that shows one, stands in the past: it tells what happened once."""
    group = next((unit.form for unit in claim if unit.key in VERBAL), "")
    if group:
        return group in ("was", "were", "had", "did")
    return any(is_past(unit.form) for unit in claim)
