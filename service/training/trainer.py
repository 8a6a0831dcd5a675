"""Trains the reranker on questions about collections, and keeps the result only where it is better.

    collect      questions -> candidates, gold sentences, token states           (`data.py`)
    train        gate, forms, interaction; with `adapt` also projection, layers  (`attention_core/training.py`)
    compare      old and new weights on held-out documents, side by side         (`comparison.py`)
    level        scores become chances, on the other held-out documents          (`levels.py`)
    save         scorer and adapter into a folder, where the new ones are better (`files.py`)

Without `adapt` only what reads stored token vectors learns, and they stay valid. With it the encoder itself learns, in
about half an hour a seed on two cores, and collections must be ingested anew.

What a killed run leaves in `<data directory>/training` (states, and a checkpoint a seed) lets the same command go on;
it is removed once a run has ended.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attention_core.codec import codec_for
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights, rounded
from attention_core.training import Progress, TrainingOptions, TrainingResult, averaged, held_out_loss, train
from context.selection_policy import SelectionPolicy
from domain.errors import UsageError
from domain.protocols import Reranker, TokenEncoder
from domain.training import EvidenceQuality, Outcome, SeedResult, TrainingReport
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.training.comparison import Marks, examine, gains, overall, retrieved, verdict
from service.training.data import Collected, Labelled, collect, known_documents
from service.training.files import run_key, save, states_key
from service.training.levels import Judgement, judge, level, level_like
from service.training.reencoded import ReencodedReranker
from service.training.self_supervised import self_supervised_questions
from service.training.setup import TrainingRequest, TrainingSetup
from service.training.split import Split
from service.training.start import start_weights
from service.training.tokens import LowerStates, Step, StoredTokens

if TYPE_CHECKING:
    from retrieval.embedders.split import SplitEncoder

_LEVELLING = 200  # questions a collection: enough for a line and a threshold
_COMPARING = 150  # questions a collection, for each of old weights, seeds, mean

Questions = Mapping[str, Sequence[LabelledQuestion]]
RerankerOf = Callable[[Collected], Reranker]


@dataclass(frozen=True, slots=True)
class _Trained:
    """What one seed led to, None for the mean of all: weights, the encoder's layers with them, and how they do."""

    seed: int | None
    result: TrainingResult
    weights: ScorerWeights
    layers: Mapping[str, Any]
    marks: list[Marks]

    @property
    def quality(self) -> EvidenceQuality:
        return EvidenceQuality.average([one.quality() for one in self.marks])

    def summary(self) -> SeedResult:
        result = self.result
        return SeedResult(self.seed, result.best_step, result.before, result.after, self.quality)


class Trainer:
    """Trains new weights for the encoder in use on questions about some of its collections."""

    def __init__(self, parts: Parts, setup: TrainingSetup, request: TrainingRequest, step: Step | None = None) -> None:
        """`step` is told (what, done, total) of each stage. Raises UsageError for a request that makes no sense."""
        request.check()
        self._parts, self._setup, self._request = parts, setup, request
        self._step = step or (lambda what, done, total: None)
        self._folder = setup.data_dir / "training"
        self._encoder: SplitEncoder | None = None

    def run(self, questions: Questions) -> TrainingReport:
        """Train, compare, and save what is better; `questions` by collection.

        Raises UsageError for questions that are too few or about other documents, ConfigurationError for an encoder
        that cannot be adapted.
        """
        if not isinstance(self._parts.encoder, TokenEncoder):
            raise UsageError("The encoder gives no token vectors, so there is no attention to train.")
        if self._request.adapt:
            self._encoder = self._setup.split(self._request.layers)
        named = {name: known_documents(self._parts, name, some) for name, some in questions.items()}
        made = self._self_made(questions)
        start = self._start(named, made)
        collected = self._collect(named, made)
        _check(collected)
        before = self._examine("questions compared, old weights", collected, self._old)
        trained = self._train(collected, start)
        average = self._averaged(collected, trained) if len(trained) > 1 else None
        best = min([*trained, *([average] if average else [])], key=lambda one: one.result.after)
        report = self._report(collected, before, trained, average, best)
        if report.outcome == "replaced":
            report = self._save(report, collected, best)
        if report.outcome != "dry_run":
            shutil.rmtree(self._folder, ignore_errors=True)
        return report

    # -- data --------------------------------------------------------------------------------------------------------

    def _self_made(self, questions: Questions) -> dict[str, list[LabelledQuestion]]:
        request, parts = self._request, self._parts
        if not request.self_supervised:
            return {}
        return {
            name: self_supervised_questions(parts, name, request.self_supervised, request.seed, self._step)
            for name in questions
        }

    def _start(self, named: Questions, made: Questions) -> ScorerWeights:
        asked = [(name, [*some, *made.get(name, ())]) for name, some in named.items()]
        return start_weights(
            self._parts,
            self._setup.weights,
            self._setup.codec,
            asked,
            adapt=self._request.adapt,
            seed=self._request.seed,
        )

    def _collect(self, named: Questions, made: Questions) -> list[Collected]:
        collected = [self._collected(name, some) for name, some in named.items() if some]
        splits = {one.labelled.collection: one.split for one in collected}
        nowhere = Split(frozenset(), frozenset()) if collected else None  # where people ask, only they judge
        for name, some in made.items():
            if some:
                collected.append(self._collected(name, some, True, len(named[name]), splits.get(name, nowhere)))
        return collected

    def _collected(
        self,
        collection: str,
        questions: Sequence[LabelledQuestion],
        self_made: bool = False,
        labelled: int = 0,
        beside: Split | None = None,
    ) -> Collected:
        # A small collection counts for more than its questions; made ones beside people's for a third of the batches.
        share = math.sqrt(min(len(questions), labelled)) / 2 if labelled else math.sqrt(len(questions))
        one = Labelled(collection, tuple(questions), self._request.seed, share, self_made, beside)
        encoder, setup = self._encoder, self._setup
        source = LowerStates(encoder) if encoder else StoredTokens(self._parts.store, setup.codec)
        folder = self._folder / states_key(one.name, setup, self._request)
        return collect(self._parts, one, source, folder, self._told(one.name))

    def _told(self, name: str) -> Step:
        return lambda what, done, total: self._step(f"{what} ({name})", done, total)

    # -- training ----------------------------------------------------------------------------------------------------

    def _train(self, collected: Sequence[Collected], start: ScorerWeights) -> list[_Trained]:
        encoder, request = self._encoder, self._request
        first = encoder.snapshot() if encoder else {}
        key = run_key(self._parts, [one.labelled for one in collected], start, request)
        trained = []
        for seed in range(request.seed, request.seed + request.seeds):
            if encoder:
                encoder.restore(first)
            result = train(
                [one.training for one in collected],
                start,
                encoder.layers if encoder else None,
                encoder.top if encoder else None,
                self._options(seed),
                self._folder / f"{key}-seed{seed}.safetensors",
                self._follow(seed),
            )
            trained.append(self._judged(collected, seed, result, f"questions compared, seed {seed}"))
        return trained

    def _averaged(self, collected: Sequence[Collected], trained: Sequence[_Trained]) -> _Trained:
        """The mean of what all seeds learned."""
        encoder = self._encoder
        if encoder:
            layers = [one.layers for one in trained]
            encoder.restore({name: sum(one[name] for one in layers) / len(layers) for name in layers[0]})
        weights = averaged([one.weights for one in trained])
        loss = held_out_loss([one.training for one in collected], weights, encoder.top if encoder else None)
        result = TrainingResult(weights, 0, trained[0].result.before, loss)
        return self._judged(collected, None, result, "questions compared, mean of the seeds")

    def _judged(self, collected: Sequence[Collected], seed: int | None, result: TrainingResult, what: str) -> _Trained:
        """What came out, rounded to the digits that files keep, and how it does."""
        encoder = self._encoder
        if encoder:
            encoder.round()
        weights = rounded(result.weights)
        marks = self._examine(what, collected, self._new(weights))
        return _Trained(seed, result, weights, encoder.snapshot() if encoder else {}, marks)

    def _options(self, seed: int) -> TrainingOptions:
        default, steps = TrainingOptions(seed=seed), self._request.steps
        return default if steps is None else replace(default, steps=steps)

    def _follow(self, seed: int) -> Callable[[Progress], None]:
        return lambda state: self._step(f"steps of seed {seed}", state.step, state.steps)

    def _old(self, collected: Collected) -> Reranker:
        return AttentionReranker(self._setup.codec, self._setup.weights)

    def _new(self, weights: ScorerWeights) -> RerankerOf:
        """The reranker with new weights, over tokens as the encoder's layers give them now."""

        def reranker_of(collected: Collected) -> Reranker:
            if self._encoder is None:
                return AttentionReranker(self._setup.codec, weights)
            codec = codec_for(weights)
            return ReencodedReranker(AttentionReranker(codec, weights), self._encoder, codec, collected)

        return reranker_of

    # -- judging -----------------------------------------------------------------------------------------------------

    def _examine(self, what: str, collected: Sequence[Collected], reranker_of: RerankerOf) -> list[Marks]:
        judging = [(one, _spread(_answerable(one.comparison), _COMPARING)) for one in collected]
        judging = [(one, questions) for one, questions in judging if questions]
        total, done = sum(len(questions) for _, questions in judging), 0

        def step() -> None:
            nonlocal done
            done += 1
            self._step(what, done, total)

        fill = self._setup.builder(SelectionPolicy.fill())
        return [
            examine(self._parts, one.labelled.collection, questions, reranker_of(one), fill, step)
            for one, questions in judging
        ]

    def _report(
        self,
        collected: Sequence[Collected],
        before: list[Marks],
        trained: Sequence[_Trained],
        average: _Trained | None,
        best: _Trained,
    ) -> TrainingReport:
        compared = gains(before, best.marks)
        better, reason = verdict(compared)
        outcome: Outcome = ("dry_run" if self._request.dry_run else "replaced") if better else "kept"
        return TrainingReport(
            outcome=outcome,
            reason=reason,
            before=EvidenceQuality.average([one.quality() for one in before]),
            after=best.quality,
            gain=overall(before, best.marks),
            collections=compared,
            seeds=tuple(one.summary() for one in trained),
            average=average.summary() if average else None,
            best_seed=best.seed,
            questions=_counts(collected),
            self_supervised=sum(len(one.labelled.questions) for one in collected if one.labelled.self_made),
        )

    # -- saving ------------------------------------------------------------------------------------------------------

    def _save(self, report: TrainingReport, collected: Sequence[Collected], best: _Trained) -> TrainingReport:
        if self._encoder:
            self._encoder.restore(best.layers)
        weights = self._levelled(collected, best.weights)
        labelled = [one.labelled for one in collected]
        path, adapter = save(weights, self._setup, self._request, self._encoder, labelled, report)
        anew = self._encoder is not None and self._request.output is None
        filled = (one.name for one in self._parts.store.list_collections() if one.documents)
        return replace(
            report,
            weights=str(path),
            adapter=str(adapter) if adapter else None,
            ingest_again=tuple(filled) if anew else (),
        )

    def _levelled(self, collected: Sequence[Collected], weights: ScorerWeights) -> ScorerWeights:
        judged = self._judge("questions levelled", collected, self._new(weights))
        if not all(one.labelled.self_made for one in collected):
            return level(weights, judged)
        old = self._setup.weights or ScorerWeights(projection=None, scaled=False)
        return level_like(weights, judged, old, self._judge("questions levelled, old weights", collected, self._old))

    def _judge(self, what: str, collected: Sequence[Collected], reranker_of: RerankerOf) -> list[Judgement]:
        judged: list[Judgement] = []
        picked = [(one, _spread(one.levelling, _LEVELLING)) for one in collected]
        total = sum(len(questions) for _, questions in picked)
        for one, questions in picked:
            reranker = reranker_of(one)
            for question in questions:
                query, candidates = retrieved(self._parts, one.labelled.collection, question)
                judged.append(judge(question, query, candidates, reranker, self._parts.counter))
                self._step(what, len(judged), total)
        return judged


def _answerable(questions: Sequence[LabelledQuestion]) -> list[LabelledQuestion]:
    return [one for one in questions if one.answerable]


def _spread(questions: Sequence[LabelledQuestion], limit: int) -> Sequence[LabelledQuestion]:
    """At most `limit` of them, from beginning to end."""
    return questions[:: max(1, -(-len(questions) // limit))]


def _counts(collected: Sequence[Collected]) -> tuple[int, int, int]:
    teaching = sum(len(one.training.examples) for one in collected)
    levelling = sum(len(_spread(one.levelling, _LEVELLING)) for one in collected)
    return teaching, levelling, sum(len(_spread(_answerable(one.comparison), _COMPARING)) for one in collected)


def _check(collected: Sequence[Collected]) -> None:
    if not any(one.training.examples or one.training.held_out for one in collected):
        raise UsageError(
            "Retrieval found the gold evidence of none of the questions. Are their documents in these collections, "
            "under the ids or sources that the files name?",
            code="no_gold_evidence",
        )
    if not any(one.training.held_out for one in collected) or not any(_answerable(one.comparison) for one in collected):
        raise UsageError(
            "There are too few documents with questions to hold some out for judging the result: label questions "
            "about at least a dozen documents of one collection, or use --self-supervised on a larger one.",
            code="too_few_questions",
        )
