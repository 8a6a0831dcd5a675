"""The three prompts of a question: the product's rules, layout and wording, with three different bodies of evidence.

    top-10    the ten chunks nearest by cosine, whole: what plain retrieval-augmented generation sends
    ours      what the product sends at its default settings; no prompt at all where it abstains
    gold      the labelled answer's own sentence, in all of them that it runs across: the least that answers

System part, question and layout policy are the same; only the evidence differs. So a prompt that is as long as those of
top-10 has the question at both ends, as the product would lay it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from context.budget import TokenBudget
from context.language import detect_language
from context.layout import LayoutPolicy, PromptLayout
from context.templates import WORDINGS
from domain.asking import AskOptions, Message
from domain.documents import document_id
from domain.protocols import TokenCounter
from domain.search import DEFAULT_COLLECTION, DEFAULT_TENANT, Candidate, Evidence, Filters, Query
from service.evaluation.asking import TOP
from service.evaluation.baselines import DenseTopK
from service.evaluation.counting import CachedCounter, drafted
from service.labelled_questions import LabelledQuestion, evidence_recall, gold_sentences
from service.parts import Parts
from service.question_encoding import checked_question, encode_question

ARMS = ("top-10", "ours", "gold")
_WINDOW, _RESERVE = 8192, 512  # as preset; a layout prices its parts against them and cuts nothing off


@dataclass(frozen=True, slots=True)
class Sent:
    """One arm's messages, () where the product abstains, and the share of the gold evidence in them, in 0..1."""

    messages: tuple[Message, ...]
    held: float


class Layouts:
    """The product's layout for evidence that is given."""

    def __init__(self, counter: TokenCounter, policy: LayoutPolicy | None = None) -> None:
        """`policy` None: the product's own."""
        self._policy = policy or LayoutPolicy()
        self._budget = TokenBudget.for_model(_WINDOW, _RESERVE, CachedCounter(counter))

    def of(self, question: str, evidence: Sequence[Evidence], ordinals: Mapping[str, int]) -> tuple[Message, ...]:
        """The messages for `evidence`, strongest first; `ordinals` as for `PromptLayout.arrange`."""
        wording = WORDINGS[detect_language(question)]
        layout = PromptLayout(question, wording, AskOptions(), self._budget, self._policy)
        return layout.arrange("", evidence, ordinals).messages


class Prompts:
    """Makes the prompts of labelled questions about one ingested set."""

    def __init__(self, parts: Parts, layouts: Layouts) -> None:
        self._parts, self._layouts = parts, layouts

    def of(self, question: LabelledQuestion) -> dict[str, Sent] | None:
        """A prompt an arm; None where the collection does not hold the labelled answer."""
        gold = self._gold(question)
        if gold is None:
            return None
        text = checked_question(self._parts, question.question)
        query = encode_question(self._parts, text, Filters())
        candidates = self._parts.retriever.search(query, self._parts.candidates)
        pieces = DenseTopK().pieces(query, candidates)[:TOP]
        top = [(candidates[piece.candidate], piece.places) for piece in pieces]
        sent = (self._laid_out(question, text, top), self._own(question, query, candidates))
        return dict(zip(ARMS, (*sent, self._laid_out(question, text, gold)), strict=True))

    def _own(self, question: LabelledQuestion, query: Query, candidates: Sequence[Candidate]) -> Sent:
        scoring = self._parts.scoring.of(DEFAULT_COLLECTION)
        context = scoring.builder.build(query, scoring.rerank(query, candidates), AskOptions())
        messages = context.messages if context.evidence else ()
        return Sent(messages, evidence_recall(question, context.evidence))

    def _laid_out(
        self, question: LabelledQuestion, text: str, taken: Sequence[tuple[Candidate, Sequence[int]]]
    ) -> Sent:
        evidence = [drafted(candidate, places) for candidate, places in taken]
        ordinals = {candidate.chunk.id: candidate.chunk.ordinal for candidate, _ in taken}
        return Sent(self._layouts.of(text, evidence, ordinals), evidence_recall(question, evidence))

    def _gold(self, question: LabelledQuestion) -> list[tuple[Candidate, list[int]]] | None:
        taken: dict[str, tuple[Candidate, list[int]]] = {}
        for candidate in self._chunks_of(question.document or ""):
            for place in sorted(gold_sentences(question, candidate.chunk, candidate.document)):
                taken.setdefault(candidate.chunk.id, (candidate, []))[1].append(place)
                # A place needs every sentence that it touches, an answer string the first one that holds it.
                if evidence_recall(question, [drafted(*one) for one in taken.values()]) == 1:
                    return list(taken.values())
        return None

    def _chunks_of(self, source: str) -> list[Candidate]:
        """All chunks of a document, in its order."""
        store = self._parts.store
        own = frozenset({document_id(DEFAULT_TENANT, DEFAULT_COLLECTION, source)})
        keys = store.keys_matching(Filters(DEFAULT_COLLECTION, document_ids=own))
        stored = store.get_chunks(DEFAULT_COLLECTION, sorted(keys), with_tokens=False).values()
        return [Candidate(one, {}) for one in sorted(stored, key=lambda one: one.chunk.ordinal)]
