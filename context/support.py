"""Does a quote support a claim? Decided by rule, without a second model call, and on the side of doubt.

What can be checked literally is checked strictly: every number, percentage and date of the claim must be in the quote,
every name in the quote or in its title and headings, every passage in quotation marks word for word. Numbers keep
their currency, unit and period (context/measures.py), names their order. A word that one side negates and the other
does not is a contradiction, and so is a "more", "all", "unless" or "in arrears" that only one side says
(context/word_classes.py). What is left, ordinary words, may be paraphrased a little: nearly all of them must be found.
A claim that passes can still be wrong (no rule reads), one that fails is worth a look. A copy is supported.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from context.facts import Fact, facts_of, scaled, years_of
from context.language import HAN, HAN_STOP, STOP_WORDS, content_terms, normalise, stem
from context.marks import MARKS, neutralise_marks
from context.measures import Measures
from context.word_classes import Turns

_WORDS_FOUND = 0.85  # of the English content words: one word of four can be the one that is false
_HAN_FOUND = 0.85  # of the Han characters: Chinese has no capitals to tell names by, so the share must guard them
_LEAST_IN_QUOTE = 0.3  # of the words must be in the quote itself: a title alone supports nothing
_SHORTEST_QUOTATION = 4  # characters; shorter marks are emphasis

_QUOTATIONS = re.compile(r"“([^“”\n]+)”|\"([^\"\n]+)\"|「([^「」\n]+)」|『([^『』\n]+)』|《([^《》\n]+)》")
_CAPITAL = re.compile(r"[^\W\d_][\w&'’-]*")
_CODE = re.compile(r"(?<![\w./-])(?=[\w./-]{0,40}\d)(?=[\w./-]{0,40}[A-Za-z])[A-Za-z0-9]+(?:[./-][A-Za-z0-9]+)*\b")
_MONTH_NAME = re.compile(r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?$")
_BRACKETS = re.compile(r"[\[\](){}【】〔〕^]")
_SENTENCE_BEFORE = re.compile(r"(?:[.!?;] |[。!?;])\Z")
_ENDS = " .!?。！？；;:*-"
_HAN_PAIR_OF_NAME = re.compile(f"(?=([{HAN}]{{2}}))")
_HAN_RUN = re.compile(f"[{HAN}]+")
_NEGATED_EN = re.compile(
    r"\b(?:not|never|no|without|cannot|can't|n't|(?:do|does|did|is|are|was|were|has|have|had|wo|would|should|could|must)n't)"
    r"\s+(?:be |been |a |an |the |any |have |yet )*(\w+)",
)
_NEGATED_ZH = re.compile(
    rf"(?:不得|不能|不会|不會|不可|没有|沒有|并未|並未|从未|從未|不|没|沒|未|无|無|非)([{HAN}]{{2}})"
)
_HAN_PAIR = 2
# Kinds and periods of numbers, which are compared as such.
_MEASURED = frozenset("percent per cent pcm annum hourli daili weekli monthli quarterli yearli annual annualli".split())
_RATE = re.compile(r"[\d.,]+/[A-Za-z]+")  # "840/month" is no code
_IRREGULAR = {
    stem(form): stem(verb)
    for verb, *forms in map(
        str.split,
        """keep kept;pay paid;rise rose risen;fall fell fallen;grow grew grown;sell sold;buy bought;send sent;lend lent
        spend spent;build built;hold held;leave left;lose lost;make made;meet met;say said;tell told;give gave given
        take took taken;write wrote written;speak spoke spoken;choose chose chosen;break broke broken;begin began begun
        become became;know knew known;show shown;see saw seen;go went gone;come came;find found;get got gotten
        win won;lead led;bring brought;teach taught;think thought;run ran;draw drew drawn;drive drove driven
        stand stood;understand understood;bear bore born borne;die died dying;sign signed signs""".replace(
            "\n", ";"
        ).split(";"),
    )
    for form in forms
}
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
    measures: Measures
    turns: Turns
    order: tuple[str, ...]
    copy: str

    @classmethod
    def of(cls, text: str) -> Claim:
        quotations = ("".join(groups) for groups in _QUOTATIONS.findall(text))
        return cls(
            facts=facts_of(text),
            names=_names(text),
            quotations=tuple(normalise(part) for part in quotations if len(part) >= _SHORTEST_QUOTATION),
            terms=_terms(text),
            han=tuple(_HAN_RUN.findall(unicodedata.normalize("NFKC", text))),
            negated=_negated(text),
            measures=Measures.of(text),
            turns=Turns.of(text),
            order=_in_order(text),
            copy=_copy(text),
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
    measures: Measures
    turns: Turns
    lent: frozenset[str]
    names: tuple[str, ...]
    copies: tuple[str, ...]

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
            terms=content_terms(quote) | _terms(quote),
            negated=_negated(quote),
            plain=f"{plain} {normalise(neutralise_marks(quote))} {normalise(_rounded(quote))}",
            glue=normalise(glue),
            measures=Measures.of(quote) | Measures.of(glue).lent(),
            turns=Turns.of(quote),
            lent=frozenset(Turns.of(glue).labels),
            names=_names_in_order(quote),
            copies=(_copy(quote),),
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
        measures=reduce(or_, (source.measures for source in sources), Measures()),
        turns=reduce(or_, (source.turns for source in sources), Turns()),
        lent=empty.union(*(source.lent for source in sources)),
        names=(),  # names have an order within one source only
        copies=tuple(copy for source in sources for copy in source.copies),
    )


def supports(claim: Claim, source: Source) -> bool:
    """True when everything checkable of the claim is found in the source, and nearly all of its words."""
    if claim.empty:
        return False
    return copies(claim, source) or (
        strict_parts_hold(claim, source)
        and not contradicts(claim, source)
        and _names_agree(claim, source)
        and _says(claim, source)
    )


def copies(claim: Claim, source: Source) -> bool:
    """True when the claim is the source word for word, or its last sentences."""
    return any(
        claim.copy == copy or (copy.endswith(claim.copy) and _SENTENCE_BEFORE.search(copy[: -len(claim.copy)]))
        for copy in source.copies
        if claim.copy and copy
    )


def strict_parts_hold(claim: Claim, source: Source) -> bool:
    """True when all numbers, dates, names and quotations of the claim are in the source, and all words that turn it."""
    known = source.words | source.around
    return (
        claim.facts <= source.facts
        and claim.measures.held_by(source.measures)
        and not claim.turns.added_to(source.turns, source.lent)
        and claim.names <= known
        and all(quotation in source.plain or quotation in source.glue for quotation in claim.quotations)
    )


def contradicts(claim: Claim, source: Source) -> bool:
    """True when one side negates, limits or reverses what the other states."""
    if claim.turns.opposes(source.turns) or claim.turns.drops(source.turns):
        return True
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


def _names_agree(claim: Claim, source: Source) -> bool:
    """The names that both hold come in one order; a word from the title alone replaces none of the quote's names."""
    shared = [name for name in claim.order if name in source.names]
    if shared != [name for name in source.names if name in shared]:
        return False
    lent = (claim.names | claim.terms & source.around) - source.words - source.terms
    return not lent or all(name in claim.order for name in source.names[1:])


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
    codes = (code for code in _CODE.findall(plain) if not _RATE.fullmatch(code))
    return frozenset(stem(word.casefold().replace("’", "'")) for word in (*capitals, *codes))


def _terms(text: str) -> frozenset[str]:
    """The English content words that must be found, irregular verbs in one form."""
    terms = (term for term in content_terms(text) if term not in _MEASURED and not _HAN_RUN.match(term))
    return frozenset(_IRREGULAR.get(term, term) for term in terms)


def _in_order(text: str) -> tuple[str, ...]:
    """Every word that can be a name, as a stem or a pair of Han characters, where it first comes."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    words = (stem(word) for word in _CAPITAL.findall(plain) if not _HAN_RUN.match(word))
    return tuple(dict.fromkeys((*words, *_HAN_PAIR_OF_NAME.findall(plain))))


def _names_in_order(text: str) -> tuple[str, ...]:
    """The names of a text, Chinese ones by their surname, where they first come."""
    names = _names(text)
    return tuple(
        word
        for word in _in_order(text)
        if word in names or (word[0] in _SURNAMES and len(word) == _HAN_PAIR and not set(word) & HAN_STOP)
    )


def _rounded(text: str) -> str:
    """The text as the extractive generator quotes it: with all marks in round brackets."""
    return MARKS.sub(lambda match: f"({match[0][1:-1]})", text)


def _copy(text: str) -> str:
    """The form in which a copy is told: brackets, list marks and final punctuation do not count."""
    return " ".join(_BRACKETS.sub(" ", normalise(text)).split()).strip(_ENDS)


def _stems(text: str) -> frozenset[str]:
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return frozenset(stem(word) for word in (*_CAPITAL.findall(plain), *_CODE.findall(plain)))


def _negated(text: str) -> frozenset[str]:
    plain = normalise(text)
    return frozenset(stem(word) for word in _NEGATED_EN.findall(plain)) | frozenset(_NEGATED_ZH.findall(plain))


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]
