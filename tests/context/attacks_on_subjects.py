"""True words about somebody else: another subject, another entity of the evidence, another passage's mark."""

from __future__ import annotations

import re
from random import Random

from context.language import STOP_WORDS
from tests.context.attack_tools import WORD, changed, end
from tests.context.attack_words import SMALL_WORDS
from tests.context.attacks_on_words import HAN_SMALL
from tests.context.true_sentences import Case

PREDICATE = re.compile(r"([^,;:]{3,60}?) ((?:is|are|was|were|has|have|had|can|may|must|will) .{8,})")
HAN_PREDICATE = re.compile(r"([^，；：]{2,16}?)((?:是|为|為|位于|位於|有|由|曾|于|於).{4,})")
# It speaks of what the sentence before spoke of, so its predicate may be true of that subject.
POINTS_BACK = re.compile(
    r"(?:it|he|she|they|this|that|these|those|there|both|one|such|some|many|most|as|in|its|his|her|their|since|although|if|when|because)\b"
    r"|它|他|她|其|这|這|那|此|该|該|本|由|当|當|在|是|有|曾|为|為",
    re.IGNORECASE,
)


def parted(sentence: str, chinese: bool) -> tuple[str, str] | None:
    """(subject, predicate) of a sentence that names its subject."""
    match = (HAN_PREDICATE if chinese else PREDICATE).fullmatch(sentence[:-1])
    return (match[1], match[2]) if match and not POINTS_BACK.match(sentence) else None


def same(one: str, other: str) -> bool:
    """A cookie and cookies are one subject."""
    mine, theirs = ({word[:4].casefold().rstrip("s") for word in WORD.findall(text)} for text in (one, other))
    return one in other or other in one or bool(mine and theirs and (mine <= theirs or theirs <= mine))


def swapped_subjects(case: Case, draw: Random) -> str | None:
    """What one sentence says of its subject, of the subject of another sentence of the same evidence."""
    own, away = parted(case.sentence, case.is_chinese), parted(draw.choice(case.neighbours), case.is_chinese)
    if not own or not away or same(own[0], away[0]):
        return None
    return end(f"{away[0]}{'' if case.is_chinese else ' '}{own[1]}.")


def subjects_of_other_evidence(case: Case, draw: Random) -> str | None:
    lines = [parted(line, case.is_chinese) for line in case.other.text.split("\n")]
    own, away = parted(case.sentence, case.is_chinese), [line for line in lines if line]
    if not own or not away:
        return None
    subject = draw.choice(away)[0]
    if same(own[0], subject):
        return None
    mark = draw.choice(("[1]", "[1][2]", "[2]"))
    return end(f"{subject}{'' if case.is_chinese else ' '}{own[1]}.", mark)


def borrowed_predicates(case: Case, draw: Random) -> str | None:
    """A true sentence that goes on with what another sentence says of something else."""
    own, away = parted(case.sentence, case.is_chinese), parted(draw.choice(case.neighbours), case.is_chinese)
    if not own or not away or same(own[0], away[0]):
        return None
    joint = "，" if case.is_chinese else draw.choice((" and ", ", and ", " but ", "; "))
    return end(f"{case.sentence[:-1]}{joint}{away[1]}.")


def exchanged_marks(case: Case, draw: Random) -> str | None:
    """Two true sentences, each with the mark of the other."""
    away = draw.choice(case.other.text.split("\n"))
    return f"{end(case.sentence, '[2]')} {end(away, '[1]')}"


def names_of_evidence(case: Case, draw: Random) -> str | None:
    """A name of the evidence in the place of another."""
    found = [match for match in WORD.finditer(case.sentence) if match[0][0].isupper() and match.start()]
    found = [match for match in found if match[0].casefold() not in STOP_WORDS]
    lines = (*case.neighbours, case.other.text)
    names = [name[0] for line in lines for name in WORD.finditer(line) if name[0][0].isupper() and name.start()]
    names = [name.rstrip("-'’") for name in names]
    names = [name for name in names if name.casefold() not in (*STOP_WORDS, *SMALL_WORDS)]
    names = [name for name in names if name.casefold()[:4] not in case.sentence.casefold()]
    return end(changed(case.sentence, draw.choice(found), draw.choice(names))) if found and names else None


def words_of_neighbours(case: Case, draw: Random) -> str | None:
    """A word of the same evidence in the place of another."""
    if case.is_chinese:
        return _han_of_neighbours(case, draw)
    found = [match for match in WORD.finditer(case.sentence) if match[0].islower() and len(match[0]) > 4]
    found = [match for match in found if match[0] not in (*STOP_WORDS, *SMALL_WORDS)]
    words = [word for line in case.neighbours for word in WORD.findall(line) if word.islower() and len(word) > 5]
    words = [
        word for word in words if word not in (*STOP_WORDS, *SMALL_WORDS) and word[:4] not in case.sentence.casefold()
    ]
    return end(changed(case.sentence, draw.choice(found), draw.choice(words))) if found and words else None


def _han_of_neighbours(case: Case, draw: Random) -> str | None:
    pairs = list(re.finditer(r"[\u4e00-\u9fff]{2}", case.sentence))
    away = [pair for line in case.neighbours for pair in re.findall(r"[\u4e00-\u9fff]{2}", line)]
    away = [pair for pair in away if not set(pair) & set(case.sentence) and HAN_SMALL.isdisjoint(pair)]
    return end(changed(case.sentence, draw.choice(pairs), draw.choice(away))) if pairs and away else None
