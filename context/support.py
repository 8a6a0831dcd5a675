"""Does a quote support a claim? Decided by rule, without a second model call, and on the side of doubt.

A copy is supported. Anything else must be a reading of the quote: every word, name, number and date of the claim stands
in it, in its order or in one that means the same (context/reading.py), with what it belongs to (context/left_out.py);
numbers keep their value, currency, unit and period, ranges both ends (context/facts.py, measures.py, ranges.py), items
of a list their labels (context/list_labels.py);
passages in quotation marks stand in it word for word; and no word that one side negates, limits or reverses is stated
by the other (context/contradiction.py). A question says nothing. Title and headings may lend the claim its opening, a
table's header the names of its columns.

A claim that passes can still be wrong (no rule reads), one that fails is worth a look.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, reduce
from operator import or_

from context.contradiction import Stance
from context.facts import Fact, facts_of, scaled, years_of
from context.frames import frames_by_title
from context.inflection import base_form
from context.language import normalise
from context.list_labels import ListLabels
from context.marks import MARKS, neutralise_marks
from context.measures import Measures
from context.ranges import Ranges
from context.reading import says
from context.referents import antecedents, opens_with_pronoun
from context.source_reading import SourceReading
from context.table_rows import TableRow
from context.turns import Turns
from context.units import Unit, content_of, units_of

_SHORTEST_QUOTATION = 4  # characters; shorter marks are emphasis
_QUOTATIONS = re.compile(
    r"“([^“”\n]+)”|\"([^\"\n]+)\"|「([^「」\n]+)」|『([^『』\n]+)』|《([^《》\n]+)》|«([^«»\n]+)»|„([^„“”\n]+)[“”]"
    r"|‘([^‘’\n]+)’(?!\w)|(?<![\w'])'([^'\n]+)'(?![\w'])"
)
_BRACKETS = re.compile(r"[\[\](){}【】〔〕^]")
_SENTENCE_BEFORE = re.compile(r"(?:[.!?;] |[。!?;])\Z")
_QUESTION = re.compile(r"[?？][\s\"'”’」』)）*_]*\Z")
_ENDS = " .!?。！？；;:*"
_LIST_MARK = re.compile(r"^[-*•]\s+")
# "According to the handbook, ..." says where it stands, which the mark says too; English ones are stop words.
_REPORTING = re.compile(
    r"^\s*(?:[根依]?[据據]|按照?|参照)(?:该|該|本|此|这份|這份)?(?:文件|文档|文檔|资料|資料|证据|證據|手册|手冊|文章|合同)(?:的?记载|的?記載|所述)?[，,:：]?"
    r"|^\s*(?:(?:the|this)\s+(?:text|passage|document|source|evidence)\s+)?(?:also\s+)?(?:says|states|mentions|notes)\b"
    r"(?:\s+that\b)?[,:]?"
    r"|,?\s*according to the (?:document|evidence|source|text|passage)(?=[.!]?\s*\Z)"
    r"|^\s*(?:该|該|本|此)?(?:文件|文档|文檔|资料|資料|证据|證據|手册|手冊|文章|文)(?:中|里|裡)?(?:写道|寫道|指出|显示|顯示|提到|说|說|记载|記載)[，,:：]?",
    re.IGNORECASE,
)

_SAYING = frozenset(map(base_form, ("says", "states")))  # behind a title: "The lease says: ..."


class Claim:
    """What a stretch of an answer asserts, taken apart as far as somebody asks.

    `opens`: it begins a sentence. One that continues a sentence has no subject but its own. `named` is what the answer
    names just before it, empty where it says nothing before.
    """

    def __init__(self, text: str, opens: bool = True, named: frozenset[str] = frozenset()) -> None:
        self.text, self.opens, self.named = text, opens, named

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        return units_of(_REPORTING.sub("", self.text))

    @cached_property
    def facts(self) -> frozenset[Fact]:
        return facts_of(self.text)

    @cached_property
    def measures(self) -> Measures:
        return Measures.of(self.text)

    @cached_property
    def ranges(self) -> Ranges:
        return Ranges(self.text)

    @cached_property
    def labels(self) -> ListLabels:
        return ListLabels.of(self.text)

    @cached_property
    def stance(self) -> Stance:
        return Stance.of(self.text, frozenset(unit.key for unit in self.units))

    @cached_property
    def quotations(self) -> tuple[str, ...]:
        found = ["".join(groups) for groups in _QUOTATIONS.findall(self.text)]
        rest = _QUOTATIONS.sub("", self.text)
        if any(sign in rest for sign in "“”「」『』«»"):  # one inside another, or one that never ends
            found.append(rest.strip())
        return tuple(normalise(part) for part in found if len(part) >= _SHORTEST_QUOTATION)

    @cached_property
    def copy(self) -> str:
        return _copy(self.text)

    @property
    def asks(self) -> bool:
        """It is a question, and says nothing."""
        return bool(_QUESTION.search(self.text))

    @property
    def says_nothing(self) -> bool:
        """Nothing but signs stands in it."""
        return all(unit.kind == "break" and not unit.key.isalpha() for unit in self.units)

    @property
    def is_empty(self) -> bool:
        """Nothing in it can be checked."""
        return not content_of(self.units)


class Source:
    """A quote with what stands around it: title, headings, the header row of a table, the sentence before it."""

    def __init__(self, quote: str, glue: str = "", header: str = "", before: str = "") -> None:
        self.quote, self.glue, self.header, self.before = quote, glue, header, before

    @cached_property
    def reading(self) -> SourceReading:
        return SourceReading(units_of(self.quote))

    @cached_property
    def row(self) -> TableRow | None:
        """The quote as a row under its header, where it is one."""
        return TableRow.of(self.quote, self.header)

    @cached_property
    def titles(self) -> list[tuple[Unit, ...]]:
        return [units_of(line) for line in self.glue.split("\n")]

    @cached_property
    def lent(self) -> frozenset[str]:
        return frozenset(unit.key for title in self.titles for unit in content_of(title)) | _SAYING

    @cached_property
    def facts(self) -> frozenset[Fact]:
        around = f"{self.glue}\n{self.header}"
        own, lent = facts_of(self.quote), facts_of(around)
        # A table's header and a title such as "Report 2018" say of which year a quote speaks, unless it says so itself.
        dated = own if years_of(own) else own | years_of(lent)
        return scaled(dated, f"{self.quote} {around}")

    @cached_property
    def measures(self) -> Measures:
        return Measures.of(self.quote) | Measures.of(f"{self.glue}\n{self.header}").lent()

    @cached_property
    def ranges(self) -> Ranges:
        return Ranges(self.quote)

    @cached_property
    def labels(self) -> ListLabels:
        return ListLabels.of(self.quote)

    @cached_property
    def stance(self) -> Stance:
        return Stance.of(self.quote, frozenset(unit.key for unit in self.reading.units))

    @cached_property
    def lent_turns(self) -> frozenset[str]:
        return frozenset(Turns.of(f"{self.glue}\n{self.header}").labels)

    @cached_property
    def plain(self) -> str:
        """The forms in which the quote can be quoted: as it is, and with its own marks made harmless or round."""
        rounded = MARKS.sub(lambda match: f"({match[0][1:-1]})", self.quote)
        return "\n".join(map(normalise, (self.quote, neutralise_marks(self.quote), rounded, self.glue)))

    @cached_property
    def copy(self) -> str:
        return _copy(self.quote)

    @property
    def asks(self) -> bool:
        return "?" in self.quote or "？" in self.quote


def supports(claim: Claim, source: Source) -> bool:
    """True when the source is what the claim copies, or says what it says; False for a claim without content."""
    if claim.is_empty or (claim.asks and not _QUESTION.search(source.quote)) or speaks_of_another(claim, source):
        return False
    return copies(claim, source) or (
        _is_read_in(claim, source)
        and strict_parts_hold(claim, [source])
        and not claim.ranges.cut_from(source.ranges)
        and not claim.ranges.joins_apart(source.ranges)
        and not claim.labels.exchanged_from(source.labels)
        and not claim.stance.contradicts(source.stance)
    )


def speaks_of_another(claim: Claim, source: Source) -> bool:
    """True when the claim opens with a pronoun, and the answer names nothing before of what the source speaks of."""
    if not claim.named or not claim.opens or not opens_with_pronoun(claim.units):
        return False
    meant = antecedents(claim.units, source.reading, source.before)
    return bool(meant) and claim.named.isdisjoint(meant | source.lent)


def copies(claim: Claim, source: Source) -> bool:
    """True when the claim is the source word for word, or its last sentences."""
    mine, own = claim.copy, source.copy
    if not mine or not own.endswith(mine):
        return False
    return mine == own or bool(_SENTENCE_BEFORE.search(own[: -len(mine)]))


def strict_parts_hold(claim: Claim, sources: Sequence[Source]) -> bool:
    """True when the sources together hold all numbers, units and quotations of the claim and all words that turn it."""
    if claim.asks and not any(source.asks for source in sources):
        return False
    if any(claim.copy and claim.copy in source.copy for source in sources):
        return True
    known: frozenset[Fact] = frozenset().union(*(source.facts for source in sources))
    lent: frozenset[str] = frozenset().union(*(source.lent_turns for source in sources))
    turns = reduce(or_, (source.stance.turns for source in sources), Turns())
    return (
        claim.facts <= known
        and claim.measures.held_by(reduce(or_, (source.measures for source in sources), Measures()))
        and not claim.stance.turns.added_to(turns, lent)
        and all(any(quotation in source.plain for source in sources) for quotation in claim.quotations)
    )


def overlap(claim: Claim, source: Source) -> int:
    """How much of a claim a source holds, for choosing among sources; numbers and names weigh most."""
    content = content_of(claim.units)
    strict = [unit for unit in content if unit.kind in ("number", "date", "name")]
    return source.reading.holds(content) + 2 * source.reading.holds(strict)


def _is_read_in(claim: Claim, source: Source) -> bool:
    if says(claim.units, source.reading, source.lent, claim.opens) and frames_by_title(
        claim.units, source.reading, source.titles
    ):
        return True
    return source.row is not None and source.row.says(content_of(claim.units), source.lent)


def _copy(text: str) -> str:
    """The form in which a copy is told: brackets, list marks and final punctuation do not count."""
    bare = _LIST_MARK.sub("", _BRACKETS.sub(" ", normalise(text)).strip())
    return " ".join(bare.split()).strip(_ENDS)
