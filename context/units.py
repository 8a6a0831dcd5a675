"""A sentence as the sequence of what it says: words, numbers, dates, and the small words that join them.

Two sentences are compared unit by unit (context/reading.py). A unit is a word in its base form, a code such as AP-300,
one Han character, or a number or date with its value, however it is written: "5 March 2020" and "2020-03-05" are one
unit, and so are "3.5 million" and "350万". A unit of measurement right behind a number is part of the number, and is
compared elsewhere (context/measures.py). Function words are left out, except those that turn or join: prepositions,
possessives, forms of "be", conjunctions and punctuation, which are kept as links and breaks. Pronouns,
auxiliaries and Han characters that say nothing are kept as fillers, for they open clauses and part words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from context.facts import Located, located_facts
from context.inflection import base_form
from context.language import HAN, STOP_WORDS
from context.measures import end_of_measure
from context.numerals import compatible

Kind = Literal["word", "name", "han", "number", "date", "link", "break", "filler"]
CONTENT: frozenset[Kind] = frozenset(("word", "name", "han", "number", "date"))


class Unit(NamedTuple):
    """One thing that a sentence says. `aliases` are the other keys under which a source's unit may be named.

    `form` is an English word as it is written, in lower case: its tense is told by it (context/tenses.py).
    """

    kind: Kind
    key: str
    aliases: frozenset[str] = frozenset()
    form: str = ""


# AP-300, 53T6, 16th, the 1990s; but 350k, 5m and 10km are numbers with what belongs to them.
_CODE = re.compile(
    r"(?<![a-z0-9_.])(?:[a-z]+[-./]?\d[a-z0-9]*(?:[-./][a-z0-9]+)*|\d+[a-z]+\d[a-z0-9]*|\d+(?:st|nd|rd|th)|\d{2,4}'?s)"
    r"(?![a-z0-9_])",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    rf"(?P<code>{_CODE.pattern})"
    rf"|(?P<han>[{HAN}])"
    r"|(?P<possessive>'s\b|(?<=s)'(?!\w))"
    rf"|(?P<word>[^\W\d_{HAN}][^\W_{HAN}]*(?:[-'](?!s\b)[^\W_{HAN}]+)*)"
    r"|(?P<break>[,;:.!?\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u3001|()\n\u2014])"
    rf"|(?P<rest>[^\W_{HAN}]+)",
    re.IGNORECASE,
)
# Prepositions: which of them stands between two words decides who does what to whom.
LINKS = frozenset(
    """to from by against for into out off up down over under above below before after until till since through with
    without of in on at as than like about between among during via per across behind beyond near toward towards upon
    within""".split()
)
_BREAKS = frozenset(
    """and but while whereas which who whom whose that or because although though so nor if unless when whenever where
    wherever according""".split()
)
_COUNTS = re.compile(r"\s*(?:an?|per|every|each|in|again|more|daily|or|and|before|only)\b|\W*\Z|[^\w\s]", re.IGNORECASE)
_NEAR = 12  # characters
# Who speaks, who is spoken to and of, as classes: "we" and "our" are one.
_PERSONS = {
    word: person
    for person, words in (
        ("we", "i we me us my our ours myself ourselves"),
        ("you", "you your yours yourself yourselves"),
        ("he", "he him his himself"),
        ("she", "she her hers herself"),
        ("they", "it they its their them theirs itself themselves"),
    )
    for word in words.split()
}
_AUXILIARIES = frozenset("will would shall should can could may might must cannot has have had do does did".split())
_DENYING = frozenset(("no", "not"))
DENIALS = frozenset(map(base_form, "not never none nobody nothing neither".split()))
PERSONS = frozenset(_PERSONS.values())
VERBAL = frozenset(("be", "aux"))
_FORMS_OF_BE = frozenset("is are was were be been being".split())
BE = frozenset(("be",))
OWNER_MARKS = frozenset(("'s", "的"))
_NO_PREPOSITIONS = OWNER_MARKS | BE
_HAN_LINKS = frozenset("的由被把对對从從向给給比将將以于於在自")
_HAN_FILLERS = frozenset("了是和与與及就而且但其此这這那吗嗎呢吧啊们們之等着著过過为為个個")
_HAN_PLURALS, _HAN_PERSONS = frozenset("们們"), frozenset("我你您妳他她它牠咱")
# Said of a source, unless they are written as names: "the United States".
_REPORTING = frozenset("states document documents source evidence answer".split())
_NAMED = _REPORTING | {"may"}
_SAYS = frozenset(("says",))
# Said beside what is said; and what is compared as the period of a number.
_UNSAID = frozenset(
    map(
        base_form,
        """also percent per cent pcm annum hourly daily weekly monthly quarterly yearly
        annual annually mr mrs ms dr prof""".split(),
    )
)
_NO_ADVERBS = frozenset(map(base_form, "family supply reply assembly monopoly anomaly ally rally belly jelly".split()))
_HAN_DATE_WORDS = frozenset("年月日号號")


def units_of(text: str) -> tuple[Unit, ...]:
    """The units of a text in order; empty for a text that says nothing.

    >>> [unit.key for unit in units_of("The rent is 840 pounds a month.")]
    ['rent', 'be', '840', '.']
    """
    found: list[Unit] = []
    plain = compatible(text).replace("\u2019", "'")
    coded = {place for match in _CODE.finditer(plain) for place in range(*match.span())}
    position = 0
    for fact in located_facts(plain):
        within_code = not fact.is_date and not coded.isdisjoint(range(fact.start, fact.end))
        if fact.start < position or within_code:
            continue
        found.extend(_words(plain, position, fact.start))
        found.append(_numeric(fact))
        position = end_of_measure(plain, fact.end) if fact.is_amount else fact.end
    found.extend(_words(plain, position, len(plain)))
    return tuple(found)


def content_of(units: Sequence[Unit]) -> list[Unit]:
    """The units that say something themselves."""
    return [unit for unit in units if unit.kind in CONTENT]


def prepositions(units: Sequence[Unit]) -> frozenset[str]:
    """The prepositions among these units."""
    return frozenset(unit.key for unit in units if unit.kind == "link") - _NO_PREPOSITIONS


def is_adverb(unit: Unit) -> bool:
    """An adverb by its ending; what adverbs such as "partly" turn is compared elsewhere (context/word_classes.py)."""
    return unit.kind == "word" and unit.key.endswith("li") and unit.key not in _NO_ADVERBS


def _words(plain: str, start: int, end: int) -> list[Unit]:
    units = (_unit(match, plain) for match in _TOKEN.finditer(plain, start, end))
    return [unit for unit in units if unit is not None]


def _unit(match: re.Match[str], plain: str) -> Unit | None:
    kind, text = match.lastgroup, match[0]
    if kind == "break":
        return Unit("break", text)
    if kind == "possessive":
        return Unit("link", "'s")
    if kind == "han":
        return _han(text, plain[match.start() - 1 : match.start()])
    if kind in ("code", "rest"):
        return Unit("name", text.casefold())
    return _word(text, plain[max(0, match.start() - 2) : match.start()], plain[match.end() : match.end() + _NEAR])


def _han(char: str, before: str) -> Unit:
    if char in _HAN_PLURALS and before in _HAN_PERSONS:  # 他们 is another one than 他
        return Unit("han", char)
    if char in _HAN_FILLERS:
        return Unit("filler", char)
    return Unit("link" if char in _HAN_LINKS else "han", char)


def _word(text: str, before: str, after: str) -> Unit | None:
    plain = text.casefold()
    if plain in _BREAKS or (plain == "once" and not _COUNTS.match(after)):
        return Unit("break", plain)
    if plain in _PERSONS and (text == "I" or not text.isupper()):  # "the IT department" names one
        return Unit("filler", _PERSONS[plain])
    if plain in _AUXILIARIES and not (text == "May" and before.strip()):
        return Unit("filler", "aux", form=plain)
    if plain in _DENYING:
        return Unit("filler", "not")
    if plain in LINKS or plain in _FORMS_OF_BE:
        return Unit("link", "be" if plain in _FORMS_OF_BE else plain, form=plain)
    key = base_form(plain)
    # The first word of a sentence has a capital whatever it is.
    is_name = text[0].isupper() and bool(before.strip(" \"'(“‘「")) and before.strip()[-1:] not in ".!?。"
    said = plain in _SAYS or (is_name and ((text.isupper() and text != "I") or plain in _NAMED))
    if (plain in STOP_WORDS or key in _UNSAID) and not said:
        return None
    return Unit("name" if is_name or (text.isupper() and len(text) > 1) else "word", key, form=plain)


def _numeric(fact: Located) -> Unit:
    """A number with its value as key; a date answers to its parts as well."""
    if not fact.is_date:
        return Unit("number", fact.key)
    return Unit("date", fact.key, frozenset(fact.parts) | _HAN_DATE_WORDS)
