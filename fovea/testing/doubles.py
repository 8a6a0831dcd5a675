"""The simplest parts that keep the promises of their protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from domain.context import Context
from domain.search import Candidate, Query, ScoredChunk, ScoredSentence


class PassThroughReranker:
    """Keeps the retriever's order: a chunk, and each sentence of it, scores 1 / rank."""

    name = "pass-through"

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        return [self._scored(candidate, 1.0 / rank) for rank, candidate in enumerate(candidates, start=1)]

    def _scored(self, candidate: Candidate, score: float) -> ScoredChunk:
        sentences = tuple(ScoredSentence(sentence, score) for sentence in candidate.chunk.sentences)
        return ScoredChunk(candidate.stored, score, sentences, dict(candidate.scores))


class FunctionGenerator:
    """Any function of a context as a generator: it returns the text, or yields its parts. A token is a word."""

    def __init__(
        self,
        function: Callable[[Context], str | Iterable[str]],
        *,
        model: str = "function",
        context_window: int = 8192,
        max_output_tokens: int = 512,
    ) -> None:
        self._function = function
        self.model, self.context_window, self.max_output_tokens = model, context_window, max_output_tokens

    def generate(self, context: Context) -> Iterator[str]:
        made = self._function(context)
        yield from (made,) if isinstance(made, str) else made

    def count_tokens(self, text: str) -> int:
        return len(text.split())
