"""Does a quote support a claim? Decided by rule, without a second model call, and on the side of doubt.

What can be checked literally is checked strictly: every number, percentage and date of the claim must be in the quote,
every name in the quote or in its title and headings, every passage in quotation marks word for word. A word that one
side negates and the other does not is a contradiction. What is left, ordinary words, may be paraphrased: a share of
them must be found. A claim that passes can still be wrong (no rule reads), one that fails is worth a look.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from context.facts import Fact, facts_of, scaled, years_of
from context.language import HAN, HAN_STOP, STOP_WORDS, content_terms, normalise, stem
from context.marks import neutralise_marks

_WORDS_FOUND = 0.6  # of the English content words; models restate the question's words around the quoted fact
_HAN_FOUND = 0.75  # of the Han characters: Chinese has no capitals to tell names by, so the share must guard them
_LEAST_IN_QUOTE = 0.3  # of the words must be in the quote itself: a title alone supports nothing
_SHORTEST_QUOTATION = 4  # characters; shorter marks are emphasis

_QUOTATIONS = re.compile(r"“([^“”\n]+)”|\"([^\"\n]+)\"|「([^「」\n]+)」|『([^『』\n]+)』|《([^《》\n]+)》")
_CAPITAL = re.compile(r"[^\W\d_][\w&'’-]*")
_CODE = re.compile(r"(?<![\w./-])(?=[\w./-]{0,40}\d)(?=[\w./-]{0,40}[A-Za-z])[A-Za-z0-9]+(?:[./-][A-Za-z0-9]+)*\b")
_MONTH_NAME = re.compile(r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?$")
_HAN_RUN = re.compile(f"[{HAN}]+")
_NEGATED_EN = re.compile(
    r"\b(?:not|never|no|without|cannot|can't|n't|(?:do|does|did|is|are|was|were|has|have|had|wo|would|should|could|must)n't)"
    r"\s+(?:be |been |a |an |the |any |have |yet )*(\w+)",
)
_NEGATED_ZH = re.compile(
    rf"(?:不得|不能|不会|不會|不可|没有|沒有|并未|並未|从未|從未|不|没|沒|未|无|無|非)([{HAN}]{{2}})"
)
_SURNAMES = frozenset(
    "王李张張刘劉陈陳杨楊黄黃赵趙吴吳周徐孙孫马馬朱胡郭何林罗羅郑鄭梁谢謝宋唐许許邓鄧冯馮韩韓曹曾彭萧蕭肖蔡潘田董袁于余叶葉杜苏蘇魏程吕呂丁任卢盧姚沈钟鍾姜崔谭譚陆陸范汪廖石金贾賈韦韋夏付方邹鄒熊白孟秦邱侯江尹薛闫閻段雷龙龍黎史陶贺賀毛郝顾顧龚龔邵万萬覃武钱錢戴严嚴莫孔向常汤湯"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a stretch of an answer asserts, taken apart."""

    facts: frozenset[Fact]
    names: frozenset[str]
    quotations: tuple[str, ...]
    terms: frozenset[str]
    han: tuple[str, ...]
    negated: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Claim:
        quotations = ("".join(groups) for groups in _QUOTATIONS.findall(text))
        return cls(
            facts=facts_of(text),
            names=_names(text),
            quotations=tuple(normalise(part) for part in quotations if len(part) >= _SHORTEST_QUOTATION),
            terms=frozenset(term for term in content_terms(text) if not _HAN_RUN.match(term)),
            han=tuple(_HAN_RUN.findall(unicodedata.normalize("NFKC", text))),
            negated=_negated(text),
        )

    @property
    def empty(self) -> bool:
        """Nothing in it can be checked."""
        return not (self.facts or self.names or self.quotations or self.terms or "".join(self.han).strip())


@dataclass(frozen=True, slots=True)
class Source:
    """A quote and what stands around it (title, headings, table header), prepared for comparison."""

    facts: frozenset[Fact]
    words: frozenset[str]
    around: frozenset[str]
    terms: frozenset[str]
    negated: frozenset[str]
    plain: str
    glue: str

    @classmethod
    def of(cls, quote: str, glue: str = "") -> Source:
        plain = normalise(quote)
        own, lent = facts_of(quote), facts_of(glue)
        # A table's header and a title such as "Report 2018" say of which year a quote speaks, unless it says so itself.
        dated = own if years_of(own) else own | years_of(lent)
        return cls(
            facts=scaled(dated, f"{quote} {glue}"),
            words=_stems(quote),
            around=_stems(glue),
            terms=content_terms(quote),
            negated=_negated(quote),
            plain=f"{plain} {normalise(neutralise_marks(quote))}",
            glue=normalise(glue),
        )


def union(sources: Sequence[Source]) -> Source:
    """Several sources as one."""
    empty: frozenset[str] = frozenset()
    return Source(
        facts=frozenset(fact for source in sources for fact in source.facts),
        words=empty.union(*(source.words for source in sources)),
        around=empty.union(*(source.around for source in sources)),
        terms=empty.union(*(source.terms for source in sources)),
        negated=empty.union(*(source.negated for source in sources)),
        plain="\n".join(source.plain for source in sources),
        glue="\n".join(source.glue for source in sources),
    )


def supports(claim: Claim, source: Source) -> bool:
    """True when everything checkable of the claim is found in the source, and enough of its words."""
    return (
        not claim.empty and strict_parts_hold(claim, source) and not contradicts(claim, source) and _says(claim, source)
    )


def strict_parts_hold(claim: Claim, source: Source) -> bool:
    """True when all numbers, dates, names and quotations of the claim are in the source."""
    known = source.words | source.around
    return (
        claim.facts <= source.facts
        and claim.names <= known
        and all(quotation in source.plain or quotation in source.glue for quotation in claim.quotations)
    )


def contradicts(claim: Claim, source: Source) -> bool:
    """True when the claim negates and the source does not at all, or one side negates a word that the other states."""
    if claim.negated and not source.negated:
        return True
    stated_by_source = source.words | source.terms
    stated_by_claim = claim.terms | {pair for run in claim.han for pair in _pairs(run)}
    return bool(
        (claim.negated - source.negated) & stated_by_source or (source.negated - claim.negated) & stated_by_claim
    )


def overlap(claim: Claim, source: Source) -> float:
    """How much of a claim a source holds, for choosing among sources; strict parts weigh most."""
    strict = 3 * (len(claim.facts & source.facts) + sum(part in source.plain for part in claim.quotations))
    names = 2 * len(claim.names & source.words)
    han = sum(len(run) - len(_uncovered(run, source.plain)) for run in claim.han) / 2
    return strict + names + len(claim.terms & source.terms) + han


def _says(claim: Claim, source: Source) -> bool:
    """Enough of the ordinary words are found, most of them in the quote itself."""
    if claim.terms:
        inside = len(claim.terms & (source.terms | source.words))
        found = len(claim.terms & (source.terms | source.words | source.around))
        if found < _WORDS_FOUND * len(claim.terms) or inside < _LEAST_IN_QUOTE * len(claim.terms):
            return False
    return _says_han(claim.han, source)


def _says_han(runs: tuple[str, ...], source: Source) -> bool:
    text = f"{source.plain} {source.glue}"
    total = sum(len(run) for run in runs)
    missing = [char for run in runs for char in _uncovered(run, text) if char not in HAN_STOP]
    inside = sum(len(run) - len(_uncovered(run, source.plain)) for run in runs)
    unknown_person = any(_holds_unknown_name(run, text) for run in runs)
    return (
        not unknown_person
        and len(missing) <= (1 - _HAN_FOUND) * total
        and (not total or inside >= _LEAST_IN_QUOTE * total)
    )


def _uncovered(run: str, text: str) -> str:
    """The characters of a run that are in no pair of neighbours which the text has too."""
    if len(run) == 1:
        return "" if run in text else run
    shared = [run[i : i + 2] in text for i in range(len(run) - 1)]
    return "".join(
        char for i, char in enumerate(run) if not ((i > 0 and shared[i - 1]) or (i < len(shared) and shared[i]))
    )


def _holds_unknown_name(run: str, text: str) -> bool:
    """True when a stretch that the text lacks begins with a surname: another person than the source's."""
    for i in range(len(run) - 1):
        pair = run[i : i + 2]
        if run[i] in _SURNAMES and pair not in text and not (set(pair) & HAN_STOP) and run[i + 1] not in text:
            return True
    return False


def _names(text: str) -> frozenset[str]:
    """Capitalised words and codes like GPT-4, as stems; also the first word of a sentence, if no function word."""
    plain = unicodedata.normalize("NFKC", text)
    capitals = (
        word
        for word in _CAPITAL.findall(plain)
        if word[0].isupper() and word.casefold() not in STOP_WORDS and not _MONTH_NAME.match(word.casefold())
    )
    return frozenset(stem(word.casefold().replace("’", "'")) for word in (*capitals, *_CODE.findall(plain)))


def _stems(text: str) -> frozenset[str]:
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return frozenset(stem(word) for word in (*_CAPITAL.findall(plain), *_CODE.findall(plain)))


def _negated(text: str) -> frozenset[str]:
    plain = normalise(text)
    return frozenset(stem(word) for word in _NEGATED_EN.findall(plain)) | frozenset(_NEGATED_ZH.findall(plain))


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]
