"""What a claim leaves out of its source's sentence, and whether the rest still means what it meant.

A phrase may go with the preposition that opens it ("costs rose [by 12%]"), a clause with its commas, an adverb. What
may not go is what the next words belong to: the subject of a second clause, the owner before a noun, the preposition
before a number, a part of a Han word, the head of another sentence, and what narrows the subject that the claim opens
with ("[part-time] employees get ten days", "[critics said that] the bank fails").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from context.frames import CONDITIONS, SAYING, keeps_its_frame
from context.inflection import base_form
from context.source_reading import SENTENCE_ENDS, SourceReading
from context.units import BE, CONTENT, OWNER_MARKS, PERSONS, VERBAL, Unit, content_of, is_adverb, prepositions

_HAN_SAYING = tuple("认为 認為 主张 主張 指出 声称 聲稱 宣称 宣稱 怀疑 懷疑 相信 估计 估計 推测 推測 据说 據說".split())
_NEAR = 4  # units
_THIRD_PERSONS = frozenset(("he", "she", "they"))
_HAN_NEGATIONS = frozenset("不未无無非没沒")
_NUMERIC = ("number", "date")
_HAN_WORD = 2  # characters, about
_SHORTEST_SENTENCE = 3  # words
_ONLY = frozenset("只仅僅唯有")
_SHORTEST_HAN_SENTENCE = 2
_STATEMENT_ENDS = SENTENCE_ENDS | frozenset(";；")
_COMMAS = frozenset(",，、")
_CLAUSE_ENDS = _STATEMENT_ENDS | _COMMAS
# What opens a predicate: copulas, auxiliaries, adverbs, prepositions, words of time.
_HAN_PREDICATES = frozenset(
    "是有为為在于於位由被把可能会會应應须須必需要将將不未没沒无無曾已也都均又还還就才再更最很只仅僅每共约約自从從向给給"
    "对對与與以按得获獲成属屬昨今明去现現目名称稱叫任"
)
_HAN_THIS = frozenset("该該本此这這那其贵貴个個位家座项項份所")
# Verbs of saying behind which a clause follows even without "that".
_CLAUSAL = frozenset(
    map(base_form, "say think insist argue conclude believe hope complain feel plead tell fear claim suspect".split())
)
_HAN_SAYS = re.compile(r"(?:(?<![小学學传傳来來])[说說]|(?<![名简簡俗合通别別尊职職])[称稱]|表示)\Z")
_NOTES = frozenset(map(base_form, "note nb important attention warning tip answer".split())) | frozenset("注意备備")
_SHORTEST_STATEMENT = 5  # words; less is a phrase, such as a name for an answer, unless it has an auxiliary


def keeps_what_is_needed(
    claim: Sequence[Unit], placed: Sequence[tuple[int, int]], source: SourceReading, has_subject: bool = True
) -> bool:
    """True when nothing is left out, before the claim's first unit or between two, that the rest belongs to.

    `placed` are (place in the claim, ordinal in the source) of the claim's content units, by ascending ordinal.
    `has_subject` is False where the claim has its subject behind: "was signed" leaves out who signed.
    """
    first = placed[0][1]
    if first and _belongs_to_what_precedes(claim, source, (first, placed[-1][1]), has_subject):
        return False
    if not keeps_its_frame(claim, placed, source):
        return False
    return not any(
        right > left + 1
        and (
            _needed(source, left, right)
            or (next_ == place + 1 and _halves(source, left, right))
            or (next_ > place and _merges(claim[place + 1 : next_], source.between(left, right)))
        )
        for (place, left), (next_, right) in pairwise(placed)
    )


def in_one_sentence(ordinals: Iterable[int], source: SourceReading) -> bool:
    """True when these content units of the source stand in one sentence."""
    places = sorted(ordinals)
    return not any(unit.key in SENTENCE_ENDS for unit in source.between(places[0], places[-1]) if unit.kind == "break")


def _belongs_to_what_precedes(
    claim: Sequence[Unit], source: SourceReading, stretch: tuple[int, int], has_subject: bool
) -> bool:
    """The claim opens in the middle of a phrase: "the king died" out of "the son of the king died".

    `stretch` are the ordinals of its first and last unit in the source.
    """
    first, last = stretch
    small = source.between(first - 1, first)
    states = has_subject and (_is_statement(claim) or _has_the_predicate(claim, source, first, last))
    if has_subject and _is_said_by_somebody(source, first, last, states, _words(claim)):
        return True
    breaks = [unit.key for unit in small if unit.kind == "break"]
    if breaks:  # "[The valve opens when] the pressure falls"
        return len(breaks) == 1 and breaks[0] in CONDITIONS and all(unit.key != breaks[0] for unit in _opening(claim))
    if prepositions(small) or source.content[first - 1].key in _HAN_NEGATIONS:
        return True
    if _opens_with_pronoun(claim) and _opens_with_subject(source, first):
        return bool(prepositions(_opening(claim)))  # "it [rises] within a year"
    return states and not any(unit.key in PERSONS for unit in small) and not _is_aside(source, first)


def _opens_with_pronoun(claim: Sequence[Unit]) -> bool:
    return claim[0].kind == "filler" and claim[0].key in _THIRD_PERSONS


def _opening(claim: Sequence[Unit]) -> Sequence[Unit]:
    """What stands before the first word that says something."""
    return claim[: next((place for place, unit in enumerate(claim) if unit.kind in CONTENT), len(claim))]


def _opens_with_subject(source: SourceReading, first: int) -> bool:
    """What precedes opens its sentence and can be what a pronoun stands for: "it is serviced", of a lamp.

    Not where a comma, a conjunction or somebody's saying stands between: it may mean another one then. Nor where it
    is a pronoun itself, whose verb would be left out with it.
    """
    before = source.units[: source.places[first]]
    breaks = [place for place, unit in enumerate(before) if unit.kind == "break"]
    subject = before[breaks[-1] + 1 if breaks else 0 :]
    at_start = not breaks or before[breaks[-1]].key in SENTENCE_ENDS
    return at_start and not any(
        unit.key in SAYING or unit.kind in _NUMERIC or (unit.kind == "filler" and unit.key in _THIRD_PERSONS)
        for unit in subject
    )


def _is_statement(claim: Sequence[Unit]) -> bool:
    has_verb = any(unit.key in VERBAL and unit.kind in ("link", "filler") for unit in claim)
    return has_verb or _opens_with_pronoun(claim) or _words(claim) >= _SHORTEST_STATEMENT


def _words(claim: Sequence[Unit]) -> float:
    return sum(1 / _HAN_WORD if unit.kind == "han" else 1 for unit in content_of(claim))


def _has_the_predicate(claim: Sequence[Unit], source: SourceReading, first: int, last: int) -> bool:
    """It says all that the sentence says of a subject which it takes the front off: "[part-time] employees get leave".

    Not where it opens with a name: the chancellor Angela Merkel is Angela Merkel. In Chinese, 兼职[员工享有年假], not
    where it opens with what opens a predicate, whose subject an answer may leave out, nor behind a verb.
    """
    front = source.sentence_before(first)
    if not front or not _reaches_the_end(source, last):  # it opens a sentence
        return False
    if source.content[first].kind != "han":
        narrows = all(unit.kind == "word" for unit in front) and source.content[first].kind != "name"
        return narrows and _words(claim) >= _SHORTEST_SENTENCE
    if front[0].key in _ONLY and not _ONLY.issuperset(unit.key for unit in front):
        return _words(claim) >= _SHORTEST_SENTENCE
    if _HAN_THIS.issuperset(unit.key for unit in front):
        return False
    joins = front[-1].key == "的" or (front[-1].kind in ("han", *_NUMERIC) and front[-1].key not in _HAN_PREDICATES)
    return joins and source.content[first].key not in _HAN_PREDICATES and _words(claim) >= _SHORTEST_HAN_SENTENCE


def _reaches_the_end(source: SourceReading, last: int) -> bool:
    """Nothing of its clause follows this unit of the source."""
    return last + 1 == len(source.content) or any(unit.key in _CLAUSE_ENDS for unit in source.small_after(last))


def _is_said_by_somebody(source: SourceReading, first: int, last: int, states: bool, words: float) -> bool:
    """What precedes is "critics said (that)", 学者认为, "Ben:"; "that" behind a comma opens no such clause."""
    small = source.between(first - 1, first)
    breaks = [unit.key for unit in small if unit.kind == "break"]
    if breaks in (["that"], ["whether"]) and source.content[first - 1].key in SAYING:
        return True
    front = source.sentence_before(first)
    near = front[-_NEAR:]
    if not breaks and words >= _SHORTEST_HAN_SENTENCE and _reaches_the_end(source, last):
        if any(unit.key in _CLAUSAL for unit in near) and not any(unit.kind == "break" for unit in near):
            return True
    whole = states or (words >= _SHORTEST_HAN_SENTENCE and _reaches_the_end(source, last))
    if not whole:
        return False
    end = source.places[first - 1] + 1 + next((at for at, unit in enumerate(small) if unit.kind == "break"), 0)
    said = "".join(unit.key for unit in source.units[max(0, end - _NEAR) : end])
    if said.endswith(_HAN_SAYING) or _HAN_SAYS.search(said) or breaks in (["that"], ["whether"]):
        return True
    if breaks in ([":"], ["："]):
        return (states or words >= _SHORTEST_SENTENCE) and _NOTES.isdisjoint(unit.key for unit in front)
    return states and source.content[first - 1].key in SAYING


def _is_aside(source: SourceReading, first: int) -> bool:
    """All that precedes in the clause is a date or number, or adverbs: "in 2021 costs rose", "it is currently kept"."""
    before = source.units[: source.places[first]]
    ends = [place for place, unit in enumerate(before) if unit.kind == "break"]
    left = content_of(before[ends[-1] + 1 if ends else 0 :])
    return all(unit.kind in _NUMERIC for unit in left) or all(map(is_adverb, left))


def _merges(said: Sequence[Unit], gap: Sequence[Unit]) -> bool:
    """The source ends a statement here and the claim goes on: "First, [call the guard; second,] lock the door".

    Not where the next statement opens with a pronoun: "the deposit [is three rents. It] is kept by the bank".
    """
    ends = [place for place, unit in enumerate(gap) if unit.kind == "break" and unit.key in _STATEMENT_ENDS]
    if not ends or any(unit.kind == "filler" and unit.key in _THIRD_PERSONS for unit in gap[ends[-1] :]):
        return False
    return all(unit.kind != "break" or unit.key in _COMMAS for unit in said)


def _needed(source: SourceReading, left: int, right: int) -> bool:
    """Whether what was left out between two units may be what the second one belongs to."""
    gap, next_ = source.between(left, right), source.content[right]
    breaks = [place for place, unit in enumerate(gap) if unit.kind == "break"]
    if not breaks:
        if _narrows(source.content[left], gap, next_, source.between(right - 1, right)):
            return True
        return _needed_in_phrase([unit for unit in gap if unit.key not in BE and unit.kind != "filler"])
    if content_of(gap[breaks[-1] + 1 :]) or _half_said(gap[: breaks[0]]):
        return True
    ends = [place for place in breaks if gap[place].key in SENTENCE_ENDS]
    if ends and content_of(gap[ends[-1] + 1 :]):
        return True
    # "In 1916 Berlin, in 1940 Tokyo" does not put Berlin into 1940.
    skipped = content_of(gap)
    numbers = [place for place, unit in enumerate(skipped) if unit.kind in _NUMERIC]
    return next_.kind in _NUMERIC and bool(numbers) and any(unit.kind not in _NUMERIC for unit in skipped[numbers[0] :])


def _half_said(tail: Sequence[Unit]) -> bool:
    """A phrase was broken off, and the claim goes on behind the next comma: "is a [descendant], and rose"."""
    left = content_of(tail)
    return bool(left) and tail[0].kind not in ("link", "filler") and not all(map(is_adverb, left))


def _halves(source: SourceReading, left: int, right: int) -> bool:
    """Han characters side by side in a claim, which the source parts by others: 中国[人民]银行 is another bank."""
    units = (source.content[left], *source.between(left, right), source.content[right])
    return all(unit.kind in ("han", "filler") for unit in units)


def _narrows(head: Unit, gap: Sequence[Unit], next_: Unit, before: Sequence[Unit]) -> bool:
    """What was left out is a part of the phrase around it: "employees [in Berlin] get leave", "a [small] profit".

    Not an adverb, nor a phrase before another one that opens with a preposition: "signed [in Bonn] on Monday". Nor
    whose the one thing is that the answer speaks of, which the question has named: "the rent [of the cottage] is 840".
    """
    content = content_of(gap)
    if next_.kind == "han" or any(unit.kind == "han" for unit in content):
        return False
    if gap[0].key == "of" and not _is_plural(head) and len(content) == 1:
        return False
    if prepositions(before) and prepositions(gap[:1]):
        return False
    return any(unit.kind in ("word", "name") and not is_adverb(unit) for unit in content)


def _is_plural(unit: Unit) -> bool:
    return unit.form.endswith("s") and not unit.form.endswith("ss")


def _needed_in_phrase(gap: Sequence[Unit]) -> bool:
    if gap and gap[0].kind == "link":
        return gap[0].key in OWNER_MARKS
    return any(unit.kind in ("name", *_NUMERIC) for unit in gap)
