"""Questions that a collection asks about itself, with their evidence: training data without labels.

    cloze        a sentence with a date, a number or a name loses it to a question word (when, how many, who, what;
                 什么时候, 多少, 什么, in the script of the sentence), and a third of its other words at random: the
                 noisy clozes of Lewis et al. 2019, "Unsupervised Question Answering by Cloze Translation". Gold: the
                 sentence.
    heading      the title and the heading of a section. Gold: the section's first sentences.
    neighbours   the rarest words of a sentence, shuffled: the inverse cloze task (Lee et al. 2019) in small. Gold:
                 that sentence and the one behind it, so that what stands beside a match counts too.

No such question is one that a person would ask, but each has words of its own that its evidence does not repeat, or
lacks some that it does: that is what training needs. Equal documents and seeds give equal questions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from context.language import detect_language
from domain.documents import Chunk, DocumentRef, Sentence, Span
from domain.search import Filters
from service.labelled_questions import LabelledQuestion, Reference
from service.parts import Parts
from service.training.tokens import Step

_DROPPED = 0.35  # of the words beside the answer
_LEAST_WORDS = 3  # that are left of a cloze: fewer ask for nothing
_LENGTHS = {"en": range(6, 60), "zh": range(8, 100)}  # words, and characters: what is shorter or longer makes no cloze
_RARE = 5  # words of a sentence that make a question
_FIRST_SENTENCES = 2
_CYCLE = ("cloze", "cloze", "heading", "neighbours")  # half of them clozes
_PAGE = 1000

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_NAME = r"[A-Z][a-z]+(?:[ -][A-Z][a-z]+)*"
_ENGLISH = (
    (re.compile(rf"(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}},?)?(?: \d{{4}})?|\b(?:1[0-9]|20)\d\d\b"), "when"),
    (re.compile(r"[$€£]\s?\d[\d,.]*\d?(?: (?:million|billion))?|\b\d[\d,.]*\s?(?:%|per ?cent)"), "how much"),
    (re.compile(r"\b\d[\d,.]*\b(?: (?:thousand|million|billion))?"), "how many"),
    (re.compile(rf"(?<=[a-z,] ){_NAME} {_NAME}"), "who"),
    (re.compile(rf"(?<=[a-z,] ){_NAME}"), "what"),
)
_CHINESE = (
    (re.compile(r"(?:\d{1,4}|[〇零一二三四五六七八九十]{2,4})年(?:\d{1,2}月(?:\d{1,2}日)?)?"), "什么时候"),
    (re.compile(r"\d[\d,.]*[%％]?|[一二三四五六七八九十百千万亿]{2,}"), "多少"),
    (re.compile(r"《[^》]{1,20}》|“[^”]{1,20}”|「[^」]{1,20}」"), "什么"),
)
_TRADITIONAL = {"什么时候": "什麼時候", "什么": "什麼"}
_WORD = re.compile(r"[\w'’-]+")
_PIECE = re.compile(r"[a-zA-Z0-9.]+|[\u3400-\u9fff\uf900-\ufaff]{1,2}")  # two characters stand for a word


@dataclass(frozen=True, slots=True)
class _Passage:
    """A chunk with the chance to draw: everything that a question is made from."""

    chunk: Chunk
    document: DocumentRef
    draw: random.Random


@dataclass(frozen=True, slots=True)
class _Asked:
    text: str
    answer: str
    gold: tuple[Span, ...]


def self_supervised_questions(
    parts: Parts, collection: str, limit: int, seed: int, step: Step | None = None
) -> list[LabelledQuestion]:
    """At most `limit` questions about a collection, spread evenly over its documents; [] for an empty one."""
    documents = sorted(_document_ids(parts, collection), key=lambda name: random.Random(f"{seed}/{name}").random())
    questions: list[LabelledQuestion] = []
    for done, document in enumerate(documents, start=1):
        if len(questions) >= limit:
            break
        wanted = -(-(limit - len(questions)) // (len(documents) - done + 1))
        questions += _of_document(parts, collection, document, wanted, seed)
        if step:
            step("questions made", len(questions), limit)
    return questions


def _of_document(parts: Parts, collection: str, document: str, wanted: int, seed: int) -> list[LabelledQuestion]:
    keys = sorted(parts.store.keys_matching(Filters(collection, frozenset([document]))))
    stored = sorted(
        parts.store.get_chunks(collection, keys, with_tokens=False).values(), key=lambda one: one.chunk.ordinal
    )
    draw = random.Random(f"{seed}/{document}")
    opening = _openings([one.chunk for one in stored])
    rare = _rare_words(parts, collection)
    makers: dict[str, Callable[[_Passage], _Asked | None]] = {
        "cloze": _cloze,
        "heading": lambda one: _heading(one) if one.chunk.id in opening else None,
        "neighbours": lambda one: _neighbours(one, rare),
    }
    questions: dict[str, LabelledQuestion] = {}
    for attempt in range(4 * wanted):  # a passage may have no number, no heading, or one sentence only
        if len(questions) >= wanted or not stored:
            break
        place = stored[draw.randrange(len(stored))]
        asked = makers[_CYCLE[attempt % len(_CYCLE)]](_Passage(place.chunk, place.document, draw))
        if asked is not None:
            questions.setdefault(asked.text, _labelled(asked, document, len(questions)))
    return list(questions.values())


def _labelled(asked: _Asked, document: str, number: int) -> LabelledQuestion:
    references = tuple(Reference(document, span) for span in asked.gold)
    return LabelledQuestion(f"{document}/{number}", asked.text, (asked.answer,), document, None, references)


def _document_ids(parts: Parts, collection: str) -> Iterator[str]:
    after = None
    while page := parts.store.list_documents(collection, _PAGE, after):
        yield from (info.id for info in page)
        after = page[-1].id


# -- cloze -----------------------------------------------------------------------------------------------------------


def _cloze(one: _Passage) -> _Asked | None:
    sentence = _drawn(one, 1)
    if sentence is None:
        return None
    text = one.chunk.sentence_text(sentence)
    language, _, script = detect_language(text).partition("-")
    size = len(_PIECE.findall(text)) * 2 if language == "zh" else len(_WORD.findall(text))
    if size not in _LENGTHS.get(language, range(0)):
        return None
    patterns, question_of = (_CHINESE, _chinese) if language == "zh" else (_ENGLISH, _english)
    for pattern, asking in patterns:
        found = list(pattern.finditer(text))
        if found:
            hole = one.draw.choice(found)
            asking = _TRADITIONAL.get(asking, asking) if script == "hant" else asking
            question = question_of(text[: hole.start()], text[hole.end() :], asking, one.draw)
            return _Asked(question, hole.group(), (sentence.span,)) if question else None
    return None


def _english(before: str, behind: str, asking: str, draw: random.Random) -> str | None:
    """The question word first, as in a real question, then what noise leaves of the rest."""
    words = [word for word in _WORD.findall(f"{before} {behind}") if draw.random() >= _DROPPED]
    return f"{asking} {' '.join(words)}?" if len(words) >= _LEAST_WORDS else None


def _chinese(before: str, behind: str, asking: str, draw: random.Random) -> str | None:
    """The question word where the answer stood: Chinese questions keep the order of the sentence."""
    left, right = ([piece for piece in _PIECE.findall(part) if draw.random() >= _DROPPED] for part in (before, behind))
    return f"{''.join(left)}{asking}{''.join(right)}？" if len(left) + len(right) >= _LEAST_WORDS else None


# -- heading and neighbours ------------------------------------------------------------------------------------------


def _openings(chunks: Sequence[Chunk]) -> frozenset[str]:
    """The chunks that begin a section: the first with their heading path."""
    first: dict[tuple[str, ...], str] = {}
    for chunk in chunks:
        if chunk.heading_path:
            first.setdefault(chunk.heading_path, chunk.id)
    return frozenset(first.values())


def _heading(one: _Passage) -> _Asked | None:
    heading = one.chunk.heading_path[-1]
    bare = {item: one.chunk.sentence_text(item).strip("#= \n") for item in one.chunk.sentences}
    sentences = [item for item, text in bare.items() if text not in ("", *one.chunk.heading_path)][:_FIRST_SENTENCES]
    if not sentences or heading == one.document.title:  # a title asks for the whole document
        return None
    question = f"{one.document.title} {heading}".strip()
    return _Asked(question, one.chunk.sentence_text(sentences[0]).strip(), tuple(item.span for item in sentences))


def _neighbours(one: _Passage, rare: Callable[[str], list[str]]) -> _Asked | None:
    first = _drawn(one, 2)
    if first is None:
        return None
    words = rare(one.chunk.sentence_text(first))
    if len(words) < _LEAST_WORDS:
        return None
    one.draw.shuffle(words)
    second = one.chunk.sentences[first.ordinal + 1]
    return _Asked(" ".join(words), one.chunk.sentence_text(first).strip(), (first.span, second.span))


def _rare_words(parts: Parts, collection: str) -> Callable[[str], list[str]]:
    """What finds the rarest words of a sentence, by their IDF in the collection, in their order."""

    def rare(text: str) -> list[str]:
        terms = sorted(parts.retriever.question_terms(collection, text), key=lambda term: (-term.idf, term.span))
        spans: list[Span] = []
        for term in terms:
            if len(spans) < _RARE and not any(term.span.overlaps(other) for other in spans):
                spans.append(term.span)
        return [span.of(text) for span in sorted(spans)]

    return rare


def _drawn(one: _Passage, room: int) -> Sentence | None:
    """A sentence with at least `room - 1` others behind it in its chunk; rows of tables are left out."""
    places = range(max(0, len(one.chunk.sentences) - room + 1))
    prose = [one.chunk.sentences[at] for at in places if not any(s.is_row for s in one.chunk.sentences[at : at + room])]
    return one.draw.choice(prose) if prose else None
