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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from attention_core.calibration import Numbers
from attention_core.projection import Projection
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights
from benchmarks import held_out, machine, plots
from benchmarks.metrics import Estimate
from benchmarks.retrieval import CachedCounter
from benchmarks.token_variants import Tokens, VariantCodec, blob_of, centred_only, ordered_axes, quantised, truncated
from context.builder import ContextBuilder
from context.selection import SelectionPolicy
from domain.answers import AskOptions
from domain.documents import Chunk, DocumentRef
from domain.protocols import Reranker, TokenCodec, TokenCounter, TokenEncoder
from domain.search import Candidate, Filters, FloatArray, Query
from service.calibration.side_by_side import discounted_gain
from service.labelled_questions import LabelledQuestion, evidence_recall, is_gold_chunk
from service.parts import Parts
from service.question_encoding import encode_question

SETS = ("covidqa", "nq", "drcd-zh", "cmrc-zh")
DIMS, BITS, POOLS = (32, 64, 96, 128), (2, 4, 8), (2, 3)
BUDGETS = (128, 256)
_FLOAT, _SHIPPED_BITS, _TOLERATED = 32, 4, 0.005
_SAMPLE, _BATCH, _DRAWS = 50_000, 128, 2000
_CACHE = Path(__file__).parent / ".cache"
_IMAGES = Path(__file__).parent.parent / "docs" / "images"


@dataclass(frozen=True, slots=True, order=True)
class Form:
    """A way of storing: `dim` axes, 0 for the encoder's own width; `bits` an entry; one token for `pool` neighbours."""

    dim: int
    bits: int
    pool: int = 1
    network: bool = False

    def __str__(self) -> str:
        kind = "float32" if self.bits == _FLOAT else f"{self.bits} bits"
        pooled = f", pooled by {self.pool}" if self.pool > 1 else ""
        return f"{self.dim or 'full width'}, {kind}{pooled}{', with the network' if self.network else ''}"


FULL_WIDTH = Form(0, _FLOAT)


@dataclass(slots=True)
class Marks:
    """One form on all sets: `values` (N, 3) of the three measures, `bytes` a 200-token chunk, set by set."""

    sets: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    values: list[tuple[float, float, float]] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    def means(self) -> FloatArray:
        """(3,), each set with equal weight."""
        names, values = np.asarray(self.sets), np.asarray(self.values, dtype=np.float32)
        means: FloatArray = np.mean([values[names == name].mean(axis=0) for name in dict.fromkeys(self.sets)], axis=0)
        return means

    @property
    def size(self) -> float:
        return float(np.mean(self.sizes))

    def against(self, other: Marks) -> Estimate:
        """The paired difference of the mean of the three measures, each set with equal weight and drawn by itself."""
        names = np.asarray(self.sets)
        gained = np.mean(self.values, axis=1) - np.mean(other.values, axis=1)
        means, drawn = [], []
        for at, name in enumerate(dict.fromkeys(self.sets)):
            own = names == name
            means.append(gained[own].mean())
            drawn.append(_drawn_means(gained[own], np.asarray(self.clusters)[own], seed=at))
        low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
        return Estimate(float(np.mean(means)), float(low), float(high))


def _drawn_means(values: Numbers, clusters: NDArray[np.str_], seed: int) -> Numbers:
    """Means (_DRAWS,) of values of which whole clusters are drawn."""
    names, member = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(member, weights=values), np.bincount(member)
    drawn = np.random.default_rng(seed).integers(0, len(names), (_DRAWS, len(names)))
    means: Numbers = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


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


def forms_of(projection: Projection) -> list[Form]:
    """The forms that are measured, float32 first; `projection` is the widest that the weights have."""
    grid = [Form(dim, bits) for dim in DIMS if dim <= projection.dim for bits in BITS]
    pooled = [Form(projection.dim, bits, pool) for pool in POOLS for bits in (4, 8)]
    return [FULL_WIDTH, Form(projection.dim, _FLOAT), *grid, *pooled]


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
                reranker = AttentionReranker(
                    cast(TokenCodec, codec), own if form.network else replace(own, interaction=None)
                )
                _examine(asked, reranker, counter, folder.name, size, marks.setdefault(form, Marks()))


def _by_dim(forms: Sequence[Form], weights: ScorerWeights) -> list[tuple[int, list[Form]]]:
    """Forms that share a projection, in the order of their first; with the network where there is one."""
    shipped = [Form(weights.projection.dim, _SHIPPED_BITS, network=True)] if weights.projection else []
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


def ceiling(marks: Mapping[Form, Marks]) -> Form:
    """The float32 form, at full width or projected, whose three measures are larger on average."""
    return max((form for form in marks if form.bits == _FLOAT), key=lambda form: float(marks[form].means().mean()))


def knee(marks: Mapping[Form, Marks]) -> Form:
    """The smallest form without pooling within half a point of the ceiling; the best one where none is."""
    most = float(marks[ceiling(marks)].means().mean())
    usable = {form: one for form, one in marks.items() if form.pool == 1 and not form.network and form.bits != _FLOAT}
    near = [form for form, one in usable.items() if float(one.means().mean()) >= most - _TOLERATED]
    if near:
        return min(near, key=lambda form: usable[form].size)
    return max(usable, key=lambda form: float(usable[form].means().mean()))


def table(marks: Mapping[Form, Marks]) -> str:
    """Markdown, by size, the form with the network last."""
    head = ["stored as", "bytes", "nDCG@10", *(f"AR@{budget}" for budget in BUDGETS), "against the ceiling"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    chosen, most = knee(marks), marks[ceiling(marks)]
    for form in sorted(marks, key=lambda one: (one.network, -marks[one].size)):
        one, gain = marks[form], marks[form].against(most)
        name = f"**{form}** (knee)" if form == chosen else str(form)
        cells = [name, f"{one.size:,.0f}", *(f"{value:.3f}" for value in one.means())]
        lines.append(
            "| "
            + " | ".join([*cells, f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"])
            + " |"
        )
    return "\n".join(lines)


def draw(results: Mapping[str, Mapping[Form, Marks]], path: Path) -> None:
    """AR@128 against bytes, a panel for each set of weights: a line for each number of bits, the knee ringed."""
    figure, panels = plots.canvas(len(results), 5.5 * len(results), 4.2)
    for (title, marks), axes in zip(results.items(), panels, strict=True):
        for bits, colour in zip(BITS, plots.COLOURS, strict=False):
            line = sorted(form for form in marks if form.bits == bits and form.pool == 1 and not form.network)
            axes.plot(
                *_points(marks, line), "o-", color=colour, label=f"{bits} bits, {line[0].dim} to {line[-1].dim} axes"
            )
        for form, style in ((one, "s^"[POOLS.index(one.pool)]) for one in sorted(marks) if one.pool > 1):
            label = f"pooled by {form.pool}, {form.dim} axes" if form.bits == _SHIPPED_BITS else None
            axes.plot(
                *_points(marks, [form]), style, color=plots.COLOURS[BITS.index(form.bits)], mfc="none", label=label
            )
        if shipped := [form for form in marks if form.network]:
            axes.plot(*_points(marks, shipped), "D", color=plots.INK, label="with the network")
        best = ceiling(marks)
        axes.axhline(float(marks[best].means()[1]), color=plots.INK, linestyle=":", label=str(best))
        axes.plot(*_points(marks, [knee(marks)]), "o", markersize=15, mfc="none", mec=plots.INK, label="knee")
        axes.set_xscale("log")
        ticks = [1000, 2000, 5000, 10_000, 20_000]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_title(title, color=plots.INK)
        axes.set_xlabel("bytes of a chunk of 200 tokens", color=plots.INK)
        axes.legend(frameon=False, loc="lower right", fontsize=8)
    panels[0].set_ylabel("AR@128", color=plots.INK)
    plots.save(figure, path)


def _points(marks: Mapping[Form, Marks], forms: Sequence[Form]) -> tuple[list[float], list[float]]:
    return [marks[form].size for form in forms], [float(marks[form].means()[1]) for form in forms]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.token_storage", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder a labelled set")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated names of folders")
    parser.add_argument("--questions", type=int, default=60, help="held-out questions a set; 0 takes all")
    parser.add_argument("--model", default="multilingual-e5-small", help="encoder, as in the settings")
    parser.add_argument("--weights", type=Path, help="trained .safetensors, measured beside the untrained ones")
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where ingested sets, models and vectors are kept")
    parser.add_argument("--output", type=Path, default=_IMAGES, help="where the plot goes")
    given = parser.parse_args(argv)
    arms: dict[str, Path | None] = {"untrained": None, **({"trained": given.weights} if given.weights else {})}
    results: dict[str, dict[Form, Marks]] = {}
    for title, weights in arms.items():
        results[title] = {}
        for name in given.sets.split(","):
            measure(given.data / name, weights, given, results[title])
        print(f"{title}\n\n{table(results[title])}\n", flush=True)
    count = len(next(iter(results["untrained"].values())).values)
    print(f"{count} questions about held-out documents of {given.sets}; {machine.describe()}.")
    draw(results, given.output / "token-storage.svg")


if __name__ == "__main__":
    main()
