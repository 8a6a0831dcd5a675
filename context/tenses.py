"""When, and to whom, a verb of a claim says that it happened: the auxiliaries before a word, or the word's own ending.

"The museum will be closed" and "was closed" share all words but the small ones, and so do "the tenant paid" and "was
paid". So the verbal group before each word is compared: its time (past, present, will, must ...), and whether a form
of "be" makes the subject the one to whom it is done. Where no auxiliary stands, the ending tells the past from the
present; nouns have the same ending on both sides. A participle behind a comma ("the museum, closed in 2020") has no
time.
"""

from __future__ import annotations

from collections.abc import Sequence

from context.inflection import is_past
from context.source_reading import SourceReading
from context.units import VERBAL, Unit

_TIMES = {
    form: frozenset(times.split())
    for times, forms in (
        ("past", "was were had did been"),
        ("present", "is are am be being has have do does"),
        ("will", "will"),
        ("will must", "shall"),
        ("would", "would"),
        ("should", "should"),
        ("must", "must"),
        ("may", "may can cannot"),
        ("might", "might could"),
    )
    for form in forms.split()
}
_PAST = frozenset(("past",))
_PERFECT = frozenset(("has", "have"))
_CHANGING = frozenset(("will", "would", "should", "must", "may", "might"))


def times_agree(
    claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading, voice_moved: bool
) -> bool:
    """True when each verb of the claim has the source's time and voice.

    `placed` are (place in the claim, ordinal in the source); `voice_moved`: an active verb has become passive, or the
    reverse.
    """
    left: tuple[int, int] | None = None
    for place, ordinal in sorted(placed):
        said = _group(claim[left[0] + 1 if left else 0 : place])
        between = source.between(ordinal - 1, ordinal)
        if left and left[1] < ordinal - 1:
            skipped = source.between(left[1], ordinal)
            between = between if _breaks(skipped) else skipped
        own = _group(between)
        opens = left is None or _breaks(between) or _breaks(claim[left[0] + 1 : place]) or left[1] >= ordinal
        if not _agree(claim[place], said, source.content[ordinal], own, opens, voice_moved):
            return False
        left = (place, ordinal)
    return True


def _agree(word: Unit, said: Sequence[str], other: Unit, own: Sequence[str], opens: bool, voice_moved: bool) -> bool:
    """Whether two matched words with the auxiliaries before them have one time and one voice.

    `opens`: they stand where a clause opens, or where the claim was moved, and a participle there has no time.
    """
    verbs = word.kind == other.kind == "word"
    if said and own:
        same_voice = not verbs or voice_moved or (_voice(said) == _voice(own) and _endings_agree(said, word, other))
        moved_back = {said[0], own[0]} in ({"had", "has"}, {"had", "have"})
        return bool(_time(said, word) & _time(own, other)) and same_voice and not moved_back
    if said and voice_moved:
        return not is_past(other.form) or _PAST <= _time(said, word)
    if said or own:
        timeless = opens and not own and _time(said, word).isdisjoint(_CHANGING)
        return not verbs or timeless or _alone(said or own, word if own else other, bool(own))
    return not verbs or voice_moved or _ending(word) == _ending(other)


def _alone(group: Sequence[str], word: Unit, dropped: bool) -> bool:
    """Whether a verbal group on one side says what the word alone says on the other: "has signed" for "signed"."""
    if not _is_be(group):
        return _PAST <= _time(group, word) if is_past(word.form) else _time(group, word).isdisjoint(_CHANGING | _PAST)
    return dropped and _ending(word) == "base"  # "rent 840 pounds" for "the rent is 840 pounds", a label


def _time(group: Sequence[str], word: Unit) -> frozenset[str]:
    """The time of a verbal group; "has been" and "has signed" are past, "has rooms" is not."""
    perfect = group[0] in _PERFECT and ("been" in group or ("be" not in group and is_past(word.form)))
    return _PAST if perfect else _TIMES.get(group[0], frozenset())


def _voice(group: Sequence[str]) -> tuple[bool, bool]:
    """(a form of "be" stands in it, it goes on just then)"""
    return _is_be(group), "being" in group


def _endings_agree(group: Sequence[str], word: Unit, other: Unit) -> bool:
    """Whether both are done to the subject, or both go on: "is killed" is not "is killing"."""
    return not _is_be(group) or _ending(word) == _ending(other)


def _is_be(group: Sequence[str]) -> bool:
    return any(form in group for form in ("is", "are", "am", "was", "were", "be", "been", "being"))


def _ending(unit: Unit) -> str:
    if is_past(unit.form):
        return "past"
    return "ing" if unit.form.endswith("ing") else "base"


def _group(small: Sequence[Unit]) -> list[str]:
    return [unit.form for unit in small if unit.key in VERBAL]


def _breaks(units: Sequence[Unit]) -> bool:
    return any(unit.kind == "break" for unit in units)
