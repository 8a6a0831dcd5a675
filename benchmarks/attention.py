"""What each part of the reranker is worth, in quality and in milliseconds: the tables of docs/attention.md.

    python -m benchmarks.attention --data FOLDER --weights FILE [--sets nq,covidqa] [--questions 300]
                                   [--cross-encoder FOLDER [--cross-encoder-questions 60]]

Only questions about held-out documents are asked (the split of `benchmarks.weights`), over the whole corpus, and all of
a set that nothing was trained on. All methods see the same 50 candidates of the hybrid retriever, in one run:

    dense, bm25, rrf      the retriever's scores
    maxsim                frozen token vectors, plain mean of each question token's best match (ColBERT's sum)
    untrained             the reranker with hand-fitted forms over frozen token vectors
    linear                trained encoder layers, projection, gate and forms, without the interaction network
    trained               the whole reranker
    cross-encoder (int8)  `benchmarks.cross_encoder`, trained on the same questions; seconds a question, so only the
                          first ones are put to it, and differences from it are over these

nDCG@10 ranks chunks. AR@B: share of questions whose answer lies in at most B context tokens, as the product's own
builder fills them. CF95: the context tokens of plain dense top-10 over those at which a method reaches 95 % of its
recall. ms: median time of one rerank, from stored bytes to sentence scores.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import orjson

from attention_core.calibration import paired_difference
from attention_core.codec import codec_for
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights, load_scorer
from benchmarks import machine
from benchmarks.cross_encoder.reranker import CrossEncoder
from benchmarks.held_out import UNSEEN, held_out
from benchmarks.labelled import LabelledQuestion, LabelledSet, holds, load_set
from benchmarks.maxsim import MaxSim
from benchmarks.retrieval import CachedCounter, by_score, is_gold
from benchmarks.weights import CACHE
from context.builder import ContextBuilder
from context.selection import SelectionPolicy
from domain.answers import AskOptions
from domain.search import Candidate, Filters, Query, ScoredChunk
from service.bootstrap import build_parts
from service.calibration.side_by_side import discounted_gain
from service.engine import Engine
from service.factories import scorer_weights
from service.parts import Parts
from service.question_encoding import encode_question
from service.settings import EncoderSettings, Settings

SETS = ("xquad-en", "nq", "covidqa", "drcd-zh", "cmrc-zh", "selqa-dev", "selqa-test")
CROSS_ENCODER = "cross-encoder (int8)"
BUDGETS = (48, 64, 100, 128, 160, 200, 256, 320, 400, 512, 768, 1024, 1536, 2048)
SHOWN = (100, 128, 200, 256, 400)
_CANDIDATES = 50
_TOP = 10  # chunks of the plain baseline

_NO_LIMITS: Mapping[str, int] = MappingProxyType({})
Rerank = Callable[[Query, Sequence[Candidate]], list[ScoredChunk]]


@dataclass(frozen=True, slots=True)
class CrossEncoding:
    """The cross-encoder in `folder`, for the first `questions` of a set."""

    folder: Path
    questions: int


@dataclass(slots=True)
class Outcome:
    """One method on one set, question by question; a slow method has seen the first ones only."""

    gain: list[float] = field(default_factory=list)
    found: list[list[float]] = field(default_factory=list)  # (questions, BUDGETS)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def questions(self) -> int:
        return len(self.gain)

    def column(self, budget: int) -> list[float]:
        return [row[BUDGETS.index(budget)] for row in self.found]


class Arm:
    """One ingested copy of a set, with its own encoder layers and token vectors, and the methods that run on it.

    limits: of the questions that a slow method is asked.
    """

    def __init__(self, parts: Parts, methods: dict[str, Rerank], limits: Mapping[str, int] = _NO_LIMITS) -> None:
        self._parts, self._methods, self._limits = parts, methods, limits
        self.outcomes = {name: Outcome() for name in methods}
        self._counter = CachedCounter(parts.counter)

    def ask(self, question: LabelledQuestion) -> None:
        """Retrieve once, score with every method, fill every budget."""
        query = encode_question(self._parts, question.question, Filters())
        candidates = self._parts.retriever.search(query, _CANDIDATES)
        for name, rerank in self._methods.items():
            outcome = self.outcomes[name]
            if outcome.questions == self._limits.get(name):
                continue
            started = time.perf_counter()
            scored = rerank(query, candidates)
            outcome.milliseconds.append(1000 * (time.perf_counter() - started))
            outcome.gain.append(discounted_gain([is_gold(question, item) for item in scored]))
            outcome.found.append([self._answered(question, query, scored, budget) for budget in BUDGETS])

    def plain_top(self, question: LabelledQuestion) -> tuple[int, bool]:
        """Tokens of plain dense top-10 and whether they hold the answer."""
        query = encode_question(self._parts, question.question, Filters())
        best = by_score(self._parts.retriever.search(query, _CANDIDATES), "dense")[:_TOP]
        tokens = sum(self._counter.count(item.chunk.text) for item in best)
        held = any(
            holds(question, item.document.source, [(item.chunk.span.start, item.chunk.span.end)], item.chunk.text)
            for item in best
        )
        return tokens, held

    def _answered(self, question: LabelledQuestion, query: Query, scored: list[ScoredChunk], budget: int) -> float:
        builder = ContextBuilder(
            self._counter, limit=8192, reserve=256, max_tokens=budget, policy=SelectionPolicy.fill()
        )
        context = builder.build(query, scored, AskOptions(max_tokens=budget))
        spans: dict[str, list[tuple[int, int]]] = {}
        texts: dict[str, str] = {}
        for item in context.evidence:
            spans.setdefault(item.source, []).extend((span.start, span.end) for span in item.spans)
            texts[item.source] = f"{texts.get(item.source, '')} {item.text}"
        return float(any(holds(question, source, spans[source], texts[source]) for source in spans))


def retriever_order(name: str) -> Rerank:
    """The candidates by one of the retriever's own scores."""
    return lambda query, candidates: by_score(candidates, name)


def frozen_arm(parts: Parts, weights: ScorerWeights, cross: CrossEncoding | None) -> Arm:
    """Retriever, frozen MaxSim, the untrained reranker, and the cross-encoder, which reads no stored token."""
    methods = {
        "dense": retriever_order("dense"),
        "bm25": retriever_order("lexical"),
        "rrf": retriever_order("fused"),
        "maxsim": MaxSim(codec_for(weights)).rerank,
        "untrained": AttentionReranker(codec_for(weights), weights).rerank,
    }
    if cross is None:
        return Arm(parts, methods)
    methods[CROSS_ENCODER] = CrossEncoder(cross.folder).rerank
    return Arm(parts, methods, {CROSS_ENCODER: cross.questions})


def trained_arm(parts: Parts, weights: ScorerWeights) -> Arm:
    """The trained reranker, whole and without its interaction network."""
    bare = replace(weights, interaction=None)
    return Arm(
        parts,
        {
            "linear": AttentionReranker(codec_for(weights), bare).rerank,
            "trained": AttentionReranker(codec_for(weights), weights).rerank,
        },
    )


def tokens_for(recall: Sequence[float], wanted: float) -> float:
    """The budget at which the recall curve over BUDGETS reaches `wanted`, between two budgets by a straight line."""
    curve = np.maximum.accumulate(np.asarray(recall, dtype=float))
    if wanted > curve[-1]:
        return float("inf")
    at = int(np.searchsorted(curve, wanted))
    if at == 0:
        return float(BUDGETS[0])
    share = (wanted - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(BUDGETS[at - 1] + share * (BUDGETS[at] - BUDGETS[at - 1]))


@dataclass(frozen=True, slots=True)
class SetResult:
    """All methods on one set; `clusters` is the document of each question."""

    outcomes: dict[str, Outcome]
    clusters: list[str]
    plain: list[tuple[int, bool]]

    def cf95(self, method: str) -> float:
        """Context compression at 95 % of the recall of plain dense top-10, over the questions that the method saw."""
        outcome = self.outcomes[method]
        tokens, held = (float(np.mean(column)) for column in zip(*self.plain[: outcome.questions], strict=True))
        curve = np.mean(np.asarray(outcome.found), axis=0)
        return tokens / tokens_for(curve, 0.95 * held)


def judging(labelled: LabelledSet, most: int) -> list[LabelledQuestion]:
    """At most `most` questions that may judge, in an order that says nothing; 0 takes all.

    Those about documents that training holds out, and all of a set that is never trained on.
    """
    known = [one for one in labelled.questions if one.question.strip()]
    held = held_out(labelled.name, (one.document for one in known)).both
    known = [one for one in known if one.document in held]
    return random.Random(0).sample(known, min(most or len(known), len(known)))


def measure(
    folder: Path, questions: int, cache: Path, model: str, weights: ScorerWeights, cross: CrossEncoding | None
) -> SetResult:
    """Ingest the set twice, with frozen and with trained layers, and ask both the questions that judge."""
    everything = load_set(folder, 0)
    asked = judging(everything, questions)
    outcomes: dict[str, Outcome] = {}
    plain: list[tuple[int, bool]] = []
    for choice in ("untrained", str(weights.about["path"])):
        encoder = EncoderSettings(models_dir=cache / "models", model=model, weights=choice)
        data_dir = cache / model / (folder.name if choice == "untrained" else f"{folder.name}-{weights.digest}")
        settings = Settings(data_dir=data_dir, encoder=encoder)
        parts = build_parts(settings)
        with Engine(parts) as engine:
            engine.ingest([everything.corpus])
            own = scorer_weights(settings)
            assert own is not None
            arm = frozen_arm(parts, own, cross) if choice == "untrained" else trained_arm(parts, own)
            for question in asked:
                arm.ask(question)
            if not plain:
                plain = [arm.plain_top(question) for question in asked]
        outcomes |= arm.outcomes
    return SetResult(outcomes, [item.document for item in asked], plain)


def table(results: dict[str, SetResult]) -> str:
    """Markdown: means of every method over the questions that it saw, set by set."""
    head = ["set", "method", "questions", "nDCG@10", *(f"AR@{budget}" for budget in SHOWN), "CF95", "ms"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, result in results.items():
        for method, outcome in result.outcomes.items():
            recall = [f"{np.mean(outcome.column(budget)):.3f}" for budget in SHOWN]
            known = [_shown(name), method, str(outcome.questions)]
            cells = [*known, f"{np.mean(outcome.gain):.3f}", *recall, f"{result.cf95(method):.1f}"]
            lines.append("| " + " | ".join([*cells, f"{np.median(outcome.milliseconds):.1f}"]) + " |")
    return "\n".join(lines)


def _shown(name: str) -> str:
    return f"{name} (never trained on)" if name in UNSEEN else name


def differences(results: dict[str, SetResult], against: Sequence[str]) -> str:
    """Markdown: the whole reranker against others, paired by question, intervals by document.

    Only questions count that the other method saw too.
    """
    head = ["set", "against", "questions", "nDCG@10", "AR@128", "AR@256", "missed at 128", "missed at 256"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, result in results.items():
        mine = result.outcomes["trained"]
        for other in against:
            theirs = result.outcomes[other]
            seen = theirs.questions
            found = [(mine.column(at)[:seen], theirs.column(at)) for at in (128, 256)]
            pairs = [(mine.gain[:seen], theirs.gain), *found]
            gains = [paired_difference(ours, base, result.clusters[:seen]) for ours, base in pairs]
            cells = [f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]" for gain in gains]
            missed = [_missed(ours, base) for ours, base in found]
            lines.append("| " + " | ".join([_shown(name), other, str(seen), *cells, *missed]) + " |")
    return "\n".join(lines)


def _missed(ours: Sequence[float], base: Sequence[float]) -> str:
    """How the share of missed answers changes."""
    before, after = 1 - float(np.mean(base)), 1 - float(np.mean(ours))
    return (
        f"{before:.3f} -> {after:.3f} ({(after - before) / before:+.0%})" if before else f"{before:.3f} -> {after:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder a labelled set")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated names of folders")
    parser.add_argument("--questions", type=int, default=300, help="questions a set; 0 takes all held-out ones")
    parser.add_argument("--model", default="multilingual-e5-small", help="encoder, as in the settings")
    parser.add_argument("--weights", type=Path, required=True, help="the trained .safetensors")
    parser.add_argument("--cross-encoder", type=Path, help="what `benchmarks.cross_encoder train` wrote")
    parser.add_argument("--cross-encoder-questions", type=int, default=60, help="of a set; it takes seconds for each")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where ingested sets and models are kept")
    given = parser.parse_args()
    weights = load_scorer(given.weights)
    weights = replace(weights, about={**weights.about, "path": str(given.weights)})
    cross = given.cross_encoder and CrossEncoding(given.cross_encoder, given.cross_encoder_questions)
    results = {
        name: measure(given.data / name, given.questions, given.cache, given.model, weights, cross)
        for name in given.sets.split(",")
    }
    against = ("rrf", "dense", "maxsim", "untrained", *([CROSS_ENCODER] if cross else []))
    print(table(results), "", differences(results, against), sep="\n")
    print(f"\nHeld-out documents, at most {given.questions or 'all'} questions a set; {machine.describe()}.")
    (given.cache / "attention.json").write_bytes(
        orjson.dumps({name: {m: [o.gain, o.found] for m, o in r.outcomes.items()} for name, r in results.items()})
    )


if __name__ == "__main__":
    main()
