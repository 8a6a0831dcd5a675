"""Duties for permissions, certainties for guesses, all for some: what small words that are missing or moved turn."""

from __future__ import annotations

import re
from random import Random

from tests.context.attack_tools import changed, end, pick, turned
from tests.context.attack_words import AFFIXES, CONDITIONS, HEDGES, MODALS, MOVABLE
from tests.context.true_sentences import Case

SAID = re.compile(
    r"(?:.{3,60}) (?:said|claims|claimed|argues|argued|believes|believed|suggests|suggested|thought|announced|wrote"
    r"|reported|stated|denied|alleged) that (.{20,})"
    r"|[^，。]{2,20}(?:认为|認為|声称|聲稱|怀疑|懷疑|主张|主張|指出)，?(.{10,})"
)
LARGER = re.compile(r"(.{4,60}?) ((?:is|are|was|were) (?:\w+er|more \w+|less \w+) than) (.{4,60})[.!]")
HAN_LARGER = re.compile(r"([^，]{2,12})比([^，]{2,8}?)([更还]?[多少大小高低长短快慢].{0,20})。")
EXAMPLES = re.compile(r"\b(?:such as|like|including|for example|e\.g\.|between)|例如|比如|如|等|包括|之间")
NEGATED = re.compile(r"\b(?:no|not|never|nor|without|neither|cannot|may|can|whether|any|more or less)\b|不|没|未|无|可")


def altered_modals(case: Case, draw: Random) -> str | None:
    return turned(case, draw, MODALS)


def altered_affixes(case: Case, draw: Random) -> str | None:
    """The opposite that a prefix makes."""
    return turned(case, draw, AFFIXES)


def dropped_hedges(case: Case, draw: Random) -> str | None:
    """What is about so, at least so, mostly so or perhaps so, said to be so."""
    return turned(case, draw, tuple((hedge, "") for hedge in HEDGES))


def dropped_conditions(case: Case, draw: Random) -> str | None:
    altered = turned(case, draw, tuple((condition, "") for condition in CONDITIONS))
    return altered and altered[0].upper() + altered[1:]


def dropped_attributions(case: Case, draw: Random) -> str | None:
    """What somebody said, as a fact."""
    match = SAID.fullmatch(case.sentence)
    said = match and (match[1] or match[2])
    return end(said[0].upper() + said[1:]) if said else None


def moved_turns(case: Case, draw: Random) -> str | None:
    """A "not", "all" or "at least" taken from where it stands and put before something else."""
    match = pick(draw, re.compile("|".join(MOVABLE)), case.sentence)
    if not match or (match[0] == "all " and re.search(r" (?:is|are|was|were) ", case.sentence)):
        return None  # "all papers are kept" is "the papers are all kept"
    rest = changed(case.sentence, match, "")
    if case.is_chinese:
        places = [found.start() for found in re.finditer(r"是|有|在|可|能|会|會|为|為|由|被", rest)]
    else:
        places = [found.end() for found in re.finditer(r" (?:is|are|was|were|by|of|to|for|with|and|that) ", rest)]
    places = [place for place in places if abs(place - match.start()) > (4 if case.is_chinese else 25)]
    if not places:
        return None
    place = draw.choice(places)
    return end(rest[:place] + match[0] + rest[place:])


def swapped_conjunctions(case: Case, draw: Random) -> str | None:
    """One or the other for both."""
    if EXAMPLES.search(case.sentence) or NEGATED.search(case.sentence):
        return None
    english = ((" and ", " or "), (" or ", " and "))
    chinese = (("以及", "或"), ("和(?![平谐諧解約约])", "或"), ("或(?!许|許)者?", "和"))
    return turned(case, draw, english + chinese)


def turned_comparisons(case: Case, draw: Random) -> str | None:
    """The larger for the smaller: both sides of "than" in each other's place."""
    if match := LARGER.fullmatch(case.sentence):
        one, than, other = match.groups()
        return f"{other[0].upper()}{other[1:]} {than} {one[0].lower()}{one[1:]} [1]."
    match = HAN_LARGER.fullmatch(case.sentence)
    return f"{match[2]}比{match[1]}{match[3]} [1]。" if match else None
