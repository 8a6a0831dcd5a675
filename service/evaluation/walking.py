"""What a ranking of pieces holds as it is read from the top: recall against tokens, for every budget and every k."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from context.templates import Wording
from domain.documents import Span
from domain.search import Candidate
from service.evaluation.baselines import Piece
from service.evaluation.counting import LayoutCosts, SentenceCosts, drafted
from service.labelled_questions import LabelledQuestion, evidence_recall, gold_sentences

Place = tuple[int, int]  # candidate, sentence


@dataclass(frozen=True, slots=True)
class Walk:
    """steps: (tokens as laid out, recall) wherever the recall grew, ascending. ends: (tokens of the bare text, recall)
    behind each piece. sizes: tokens as laid out behind each sentence, ascending.
    """

    steps: tuple[tuple[int, float], ...]
    ends: tuple[tuple[int, float], ...]
    sizes: tuple[int, ...]

    def recall_at(self, budget: int) -> float:
        """The recall of the longest beginning that fits `budget` tokens as laid out; it ends with a sentence."""
        return max((recall for tokens, recall in self.steps if tokens <= budget), default=0.0)

    def tokens_at(self, budget: int) -> int:
        """The tokens of that beginning; 0 where not even the first sentence fits."""
        fitting = bisect_right(self.sizes, budget)
        return self.sizes[fitting - 1] if fitting else 0

    def at_k(self, k: int) -> tuple[int, float]:
        """(tokens of the bare text, recall) of the first k pieces, of all where there are fewer."""
        return self.ends[min(k, len(self.ends)) - 1] if self.ends else (0, 0.0)


class Labels:
    """Where among the candidates of one question its gold evidence stands."""

    def __init__(self, question: LabelledQuestion, candidates: Sequence[Candidate]) -> None:
        self._question, self._candidates = question, candidates
        self.gold: frozenset[Place] = frozenset(
            (at, place)
            for at, item in enumerate(candidates)
            for place in gold_sentences(question, item.chunk, item.document)
        )

    def recall(self, places: Iterable[Place]) -> float:
        """The share of the gold evidence in these sentences, in 0..1; those that are not gold may be left out."""
        taken: dict[int, set[int]] = {}
        for at, place in places:
            taken.setdefault(at, set()).add(place)
        return evidence_recall(self._question, [drafted(self._candidates[at], own) for at, own in taken.items()])


@dataclass(frozen=True, slots=True)
class Charges:
    """What evidence costs: its sentences, and as laid out a frame around all of it and a label to each chunk."""

    sentences: Callable[[Candidate], Sequence[int]]
    frame: int
    label: Callable[[Candidate], int]

    @classmethod
    def of(cls, sentences: SentenceCosts, layout: LayoutCosts, wording: Wording) -> Charges:
        """Those of a question with this wording."""
        return cls(lambda item: sentences.of(item.chunk), layout.frame(), lambda item: layout.label(item, wording))


def walk(pieces: Sequence[Piece], labels: Labels, candidates: Sequence[Candidate], charges: Charges) -> Walk:
    """Send the pieces one after the other, each sentence once."""
    sent: set[Place] = set()
    begun: set[int] = set()
    bare, laid_out, recall = 0, charges.frame, 0.0
    steps: list[tuple[int, float]] = []
    ends: list[tuple[int, float]] = []
    sizes: list[int] = []
    for piece in pieces:
        candidate = candidates[piece.candidate]
        costs = charges.sentences(candidate)
        if piece.candidate not in begun:
            begun.add(piece.candidate)
            laid_out += charges.label(candidate)
        for place in piece.places:
            unit = (piece.candidate, place)
            if unit in sent:
                continue
            sent.add(unit)
            bare, laid_out = bare + costs[place], laid_out + costs[place]
            sizes.append(laid_out)
            if recall < 1 and unit in labels.gold and (grown := labels.recall(sent & labels.gold)) > recall:
                recall = grown
                steps.append((laid_out, recall))
        ends.append((bare, recall))
    return Walk(tuple(steps), tuple(ends), tuple(sizes))


def sent_spans(pieces: Sequence[Piece], candidates: Sequence[Candidate]) -> list[tuple[str, Span]]:
    """What the pieces send, as (document id, span); sentences with nothing but blanks between them are one span."""
    evidence = (drafted(candidates[piece.candidate], piece.places) for piece in pieces)
    return [(item.document_id, span) for item in evidence for span in item.spans]
