"""The cross-encoder as a method: candidates in, scored chunks and sentences out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attention_core.pooling import segment_sum
from benchmarks.cross_encoder.graph import Precision
from benchmarks.cross_encoder.pairs import Pair, PairReader, groups, segments
from domain.search import Candidate, FloatArray, Query, ScoredChunk, ScoredSentence
from retrieval.embedders.encoder import PAD_TO, TOKEN_BUDGET
from retrieval.embedders.openvino_encoder import OpenVinoForward, load_spec
from retrieval.embedders.tokenizer import load_tokenizer
from retrieval.embedders.windows import WindowPlanner


class CrossEncoder:
    """Runs what `python -m benchmarks.cross_encoder train` wrote into `folder`.

    threads None is one a core. Raises ConfigurationError where the folder was altered.
    """

    name = "cross-encoder"

    def __init__(self, folder: Path, precision: Precision = "int8", threads: int | None = None) -> None:
        graph = folder / precision
        self._spec = load_spec(graph)
        planner = WindowPlanner(load_tokenizer(graph / "tokenizer.json"), self._spec.max_length)
        self._reader = PairReader(planner, self._spec)
        self._forward = OpenVinoForward(graph, threads)

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """All candidates, best first, with a logit for each and for every sentence; of a sentence cut off it is 0."""
        if not candidates:
            return []
        pairs = self._reader.read(query.text, [item.stored for item in candidates])
        chunks, tokens = self._logits(pairs)
        owner, counts = segments(pairs)
        sums = segment_sum(np.concatenate(tokens), owner, len(counts))
        parts = np.split(sums / np.maximum(counts, 1), np.cumsum([pair.sentences for pair in pairs])[:-1])
        scored = [
            ScoredChunk(
                item.stored,
                float(chunk),
                tuple(map(ScoredSentence, item.chunk.sentences, sentences.tolist())),
                item.scores,
            )
            for item, chunk, sentences in zip(candidates, chunks, parts, strict=True)
        ]
        return [scored[at] for at in np.argsort(-chunks, kind="stable")]

    def _logits(self, pairs: Sequence[Pair]) -> tuple[FloatArray, list[FloatArray]]:
        """Of the chunks (C,), and of the tokens of each that belong to sentences (K,)."""
        chunks = np.zeros(len(pairs), dtype=np.float32)
        tokens: list[FloatArray] = [np.zeros(0, dtype=np.float32)] * len(pairs)
        for group in groups(pairs, TOKEN_BUDGET):
            token_logits, chunk_logits = self._forward(*self._padded([pairs[at] for at in group]))
            for row, at in enumerate(group):
                chunks[at] = chunk_logits[row, 0]
                tokens[at] = token_logits[row, pairs[at].take, 0]
        return chunks, tokens

    def _padded(self, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask, (B, T) each; the last row is the longest."""
        width = -(-len(pairs[-1].ids) // PAD_TO) * PAD_TO
        ids = np.full((len(pairs), width), self._spec.pad_id, dtype=np.int64)
        mask = np.zeros((len(pairs), width), dtype=np.int64)
        for row, pair in enumerate(pairs):
            ids[row, : len(pair.ids)] = pair.ids
            mask[row, : len(pair.ids)] = 1
        return ids, mask
