"""How small may token vectors be stored: quality against the bytes of a chunk of 200 tokens.

    python -m benchmarks.token_storage --data FOLDER [--weights FILE] [--sets covidqa,nq] [--questions 60]

For the untrained weights, and for trained ones where `--weights` names them, every question about held-out documents is
asked once and its 50 candidates are kept. Their chunks are encoded again, because only compact vectors are stored, and
brought into every form of `benchmarks.token_variants`: widths of 32, 64, 96 and 128 axes at 2, 4 and 8 bits, neighbours
pooled by 2 and 3, and float32, at full width and projected. The question stays in full precision.

Every form is scored by the linear part of the reranker, because the interaction network reads 128 axes only; the last
line is the shipped form with the network. Measured are nDCG@10 of the chunks and AR@128 and AR@256, the share of
questions whose answer is in the evidence that the product's own builder fills up to so many context tokens. Means weigh
the sets equally. The ceiling is the better one of the two float32 forms. "against the ceiling" is the paired difference
to it, of the mean of the three measures, in points, with a bootstrap interval over documents. The knee is the smallest
form without pooling whose mean lies within half a point of the ceiling.

Encoding some 1,500 chunks a set is the longest part; the vectors are kept in the cache for another run.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attention_core.projection import Projection
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights
from benchmarks import held_out, machine
from benchmarks.arguments import IMAGES, add_encoder, add_sets
from benchmarks.storage_forms import BUDGETS, SHIPPED_BITS, Form, Marks, draw, forms_of, table
from benchmarks.token_variants import (
    Tokens,
    VariantCodec,
    blob_of,
    centred_only,
    ordered_axes,
    quantised,
    truncated,
)
from context.builder import ContextBuilder
from context.selection_policy import SelectionPolicy
from domain.asking import AskOptions
from domain.documents import Chunk, DocumentRef
from domain.protocols import Reranker, TokenCounter, TokenEncoder
from domain.search import Candidate, Filters, FloatArray, Query
from service.calibration.side_by_side import discounted_gain
from service.evaluation.counting import CachedCounter
from service.labelled_questions import LabelledQuestion, evidence_recall, is_gold_chunk
from service.parts import Parts
from service.question_encoding import encode_question

SETS = ("covidqa", "nq", "drcd-zh", "cmrc-zh")
_SAMPLE, _BATCH = 50_000, 128


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its candidates, whose blobs are keys, and the ids of the gold chunks."""

    question: LabelledQuestion
    query: Query
    candidates: list[Candidate]
    gold: frozenset[str]


def ask(parts: Parts, question: LabelledQuestion) -> Asked:
    """Retrieve once for all forms."""
    query = encode_question(parts, question.question, Filters())
    found = parts.retriever.search(query, parts.candidates)
    gold = frozenset(one.chunk.id for one in found if is_gold_chunk(question, one.chunk, one.document))
    keyed = [replace(one, stored=replace(one.stored, token_blob=blob_of(one.chunk.key))) for one in found]
    return Asked(question, query, keyed, gold)


def full_width(encoder: TokenEncoder, chunks: Sequence[tuple[Chunk, DocumentRef]], folder: Path) -> Tokens:
    """The encoder's own token vectors of the chunks, half precision; kept in `folder`."""
    names = ("rows", "ids", "offsets", "counts")
    digest = hashlib.sha256("\n".join([encoder.model_id, *(one.id for one, _ in chunks)]).encode()).hexdigest()[:16]
    paths = [folder / f"{digest}-{name}.npy" for name in names]
    if not all(path.is_file() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        for path, array in zip(paths, _encoded(encoder, chunks), strict=True):
            np.save(path, array)
    return Tokens(*(np.load(path, mmap_mode="r") for path in paths))


def _encoded(encoder: TokenEncoder, chunks: Sequence[tuple[Chunk, DocumentRef]]) -> tuple[Any, Any, Any, Any]:
    found = []
    for start in range(0, len(chunks), _BATCH):
        passages = [chunk.passage(document.title) for chunk, document in chunks[start : start + _BATCH]]
        found += [one.tokens for one in encoder.encode_documents(passages)]
    rows = np.concatenate([one.vectors.astype(np.float16) for one in found])
    ids, offsets = (np.concatenate([getattr(one, name) for one in found]) for name in ("ids", "offsets"))
    return rows, ids, offsets, np.array([len(one) for one in found], dtype=np.int64)


def measure(folder: Path, weights: Path | None, given: argparse.Namespace, marks: dict[Form, Marks]) -> None:
    """Add one set to `marks`."""
    held = held_out.load(folder, given.questions)
    with held_out.ingested(held.corpus, weights, given.cache, given.model) as (parts, own):
        asked = [ask(parts, question) for question in held.comparison]
        known = {one.chunk.key: (one.chunk, one.document) for each in asked for one in each.candidates}
        keys = sorted(known)
        assert isinstance(parts.encoder, TokenEncoder) and own.projection is not None
        plain = full_width(parts.encoder, [known[key] for key in keys], given.cache / given.model / "token-vectors")
        print(f"{folder.name}: {len(asked)} questions, {len(keys)} chunks", file=sys.stderr, flush=True)
        stored, base, axes = [known[key][0] for key in keys], own.projection, _axes(plain, own.projection)
        counter = CachedCounter(parts.counter)
        for dim, forms in _by_dim(forms_of(base), own):
            projection = truncated(base, dim, axes) if dim else centred_only(base)
            projected = replace(plain, rows=_projected(plain.rows, projection))
            pooled = {pool: projected.pooled(stored, pool) for pool in {form.pool for form in forms}}
            for form in forms:
                tokens = pooled[form.pool]
                size = tokens.bytes_of_chunk(form.bits, int(plain.counts.sum()))
                codec = VariantCodec(projection, replace(tokens, rows=quantised(tokens.rows, form.bits)), keys)
                reranker = AttentionReranker(codec, own if form.network else replace(own, interaction=None))
                _examine(asked, reranker, counter, folder.name, size, marks.setdefault(form, Marks()))


def _by_dim(forms: Sequence[Form], weights: ScorerWeights) -> list[tuple[int, list[Form]]]:
    """Forms that share a projection, in the order of their first; with the network where there is one."""
    shipped = [Form(weights.projection.dim, SHIPPED_BITS, network=True)] if weights.projection else []
    every = [*forms, *(shipped if weights.interaction is not None else [])]
    return [(dim, [one for one in every if one.dim == dim]) for dim in dict.fromkeys(one.dim for one in every)]


def _axes(plain: Tokens, projection: Projection) -> FloatArray:
    step = max(1, len(plain.rows) // _SAMPLE)
    return ordered_axes(projection.apply(np.asarray(plain.rows[::step], dtype=np.float32)))


def _projected(rows: FloatArray, projection: Projection) -> FloatArray:
    parts = [projection.apply(np.asarray(rows[at : at + _SAMPLE], np.float32)) for at in range(0, len(rows), _SAMPLE)]
    return np.concatenate(parts)


def _examine(
    asked: Sequence[Asked], reranker: Reranker, counter: TokenCounter, name: str, size: float, marks: Marks
) -> None:
    builder = ContextBuilder(counter, limit=8192, reserve=256, max_tokens=max(BUDGETS), policy=SelectionPolicy.fill())
    marks.sizes.append(size)
    for one in asked:
        scored = reranker.rerank(one.query, one.candidates)
        contexts = [builder.build(one.query, scored, AskOptions(max_tokens=budget)) for budget in BUDGETS]
        short, long = (evidence_recall(one.question, context.evidence) for context in contexts)
        marks.sets.append(name)
        marks.clusters.append(f"{name}/{one.question.cluster}")
        marks.values.append((discounted_gain([item.chunk.id in one.gold for item in scored]), short, long))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.token_storage", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser, "ingested sets, models and vectors")
    parser.add_argument("--questions", type=int, default=60, help="held-out questions a set; 0 takes all")
    parser.add_argument("--weights", type=Path, help="trained .safetensors, measured beside the untrained ones")
    parser.add_argument("--output", type=Path, default=IMAGES, help="where the plot goes")
    given = parser.parse_args(argv)
    arms: dict[str, Path | None] = {"untrained": None, **({"trained": given.weights} if given.weights else {})}
    results: dict[str, dict[Form, Marks]] = {}
    for title, weights in arms.items():
        results[title] = {}
        for name in given.sets:
            measure(given.data / name, weights, given, results[title])
        print(f"{title}\n\n{table(results[title])}\n", flush=True)
    count = len(next(iter(results["untrained"].values())).values)
    print(f"{count} questions about held-out documents of {','.join(given.sets)}; {machine.describe()}.")
    draw(results, given.output / "token-storage.svg")


if __name__ == "__main__":
    main()
