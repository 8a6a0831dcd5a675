"""Levels: after a listwise loss the log-odds mean nothing by themselves; these tests make them mean chances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attention_core.calibration import logistic, logit
from attention_core.codec import QuantizedTokenCodec
from attention_core.reranker import AttentionReranker
from attention_core.scorer import Forms, ScorerWeights
from domain.calibration import ScoreMap, Thresholds
from domain.documents import Chunk, DocumentRef, Sentence, Span
from domain.search import Candidate, Query, StoredChunk, TokenVectors
from domain.training import Levels
from retrieval.embedders.tokenizer import WordTokenCounter
from service.calibration.fit import cross_mapped, evidence_loss, fit_thresholds
from service.calibration.observed import Observed
from service.labelled_questions import LabelledQuestion, Reference
from service.training.levels import Graded, Judgement, fit_levels, judge, level, level_like

CODEC, COUNTER = QuantizedTokenCodec(), WordTokenCounter()
WIDTH = 16


def judged(seed: int, level_of: float = 0.0, answerable: bool = True) -> Judgement:
    """One question with 40 sentences, one of them gold, whose log-odds are those of a listwise loss: off by a lot."""
    draw = np.random.default_rng(seed)
    gold = np.arange(40) == (seed % 40 if answerable else -1)
    log_odds = 3 * draw.normal(size=40) + 9 * gold - 20 + level_of
    elsewhere = np.arange(40) >= 20
    if answerable and seed % 40 >= 20:
        elsewhere = ~elsewhere
    scores = logistic(log_odds)
    question = LabelledQuestion(f"q{seed}", "what", ("x",) if answerable else (), f"d{seed}")
    elsewhere_best = float(scores[elsewhere].max()) if answerable else None
    tokens, needed = np.full(40, 20), np.flatnonzero(gold)
    observed = Observed(question, "en", scores, tokens, gold, needed, float(scores.max()), elsewhere_best)
    graded = Graded(log_odds, gold, elsewhere & answerable)
    return Judgement(observed, graded, graded)


START = ScorerWeights(projection=None, forms=Forms(sentence_bias=-20.0, chunk_bias=-20.0), scaled=False)


def moved(weights: ScorerWeights, before: np.ndarray) -> np.ndarray:
    """Log-odds that the weights give where they gave `before` as START."""
    slope = weights.forms.sentence[0] / START.forms.sentence[0]
    return slope * (before - START.forms.sentence_bias) + weights.forms.sentence_bias


def test_levelled_scores_are_chances() -> None:
    several = [judged(seed) for seed in range(300)]
    weights = level(START, several)
    chances = logistic(moved(weights, np.concatenate([one.sentences.log_odds for one in several])))
    gold = np.concatenate([one.sentences.gold for one in several])
    elsewhere = np.concatenate([one.sentences.elsewhere for one in several])
    twice = np.concatenate([chances, chances[elsewhere]])  # with and without the documents that answer
    labels = np.concatenate([gold, gold[elsewhere]])
    assert twice.sum() == pytest.approx(labels.sum(), rel=0.02)
    high = twice > 0.5
    assert labels[high].mean() == pytest.approx(twice[high].mean(), abs=0.06)
    assert weights.scaled and weights.forms.chunk_bias != -20.0


def test_levelling_changes_no_order() -> None:
    weights = level(START, [judged(seed) for seed in range(40)])
    ratios = weights.forms.sentence / START.forms.sentence
    assert ratios == pytest.approx(np.full(5, ratios[0])) and ratios[0] > 0


def test_levels_keep_the_evidence_they_promise() -> None:
    several = [judged(seed).observed for seed in range(200)]
    levels = fit_levels(several)
    assert levels is not None and levels.targets["en"] == 0.02 and levels.questions == 200
    kept = [one.mapped(levels.maps) for one in several]
    lost = np.mean([one.worth()[one.needed[0]] < levels.thresholds["en"].mass_per_token for one in kept])
    assert lost <= 0.02
    assert levels.thresholds["zh"].mass_per_token > 0 and levels.targets["zh"] == 0.03  # no question of its own


def test_each_language_keeps_its_own_promise() -> None:
    """Chinese evidence stands out less here, so common thresholds would lose more of it."""
    english = [judged(seed).observed for seed in range(120)]
    chinese = [replace(one, language="zh", scores=one.scores**0.8) for one in english]
    chinese = [replace(one, best=float(one.scores.max()), best_elsewhere=None) for one in chinese]
    levels = fit_levels([*english, *chinese])
    assert levels is not None and levels.questions == 240 and levels.targets == {"en": 0.02, "zh": 0.03}
    assert levels.thresholds["en"] == fit_thresholds(cross_mapped(english), 0.02)
    assert levels.thresholds["zh"] == fit_thresholds(cross_mapped(chinese), 0.03)
    mapped = [one.mapped(levels.maps) for one in (*english, *chinese)]
    apart = [
        evidence_loss(mapped[at:end], levels.thresholds[name]) for at, end, name in ((0, 120, "en"), (120, 240, "zh"))
    ]
    assert evidence_loss(mapped, levels.thresholds) == pytest.approx(np.mean(apart))


def test_few_questions_promise_less_and_none_promise_nothing() -> None:
    levels = fit_levels([judged(seed).observed for seed in range(9)])
    assert levels is not None and levels.targets["en"] == pytest.approx(0.1)
    assert fit_levels([judged(seed, answerable=False).observed for seed in range(30)]) is None


def test_with_self_made_questions_the_level_of_the_old_weights_stays() -> None:
    old_levels = Levels(
        {"en": ScoreMap(1, 0, 0)}, {"en": Thresholds(0.002, 0.3), "zh": Thresholds(0.001, 0.4)}, {"en": 0.05}, 10
    )
    old = replace(START, levels=old_levels, scaled=True)
    new, before = [judged(seed) for seed in range(30)], [judged(seed, level_of=7.0) for seed in range(30)]
    weights = level_like(START, new, old, before)
    log_odds = np.concatenate([one.sentences.log_odds for one in new])
    assert moved(weights, log_odds) == pytest.approx(log_odds + 7.0, abs=1e-3)
    assert weights.levels is old_levels and weights.scaled


# -- judging ---------------------------------------------------------------------------------------------------------


def vector_of(word: str) -> np.ndarray:
    row = np.random.default_rng(list(word.encode())).normal(size=WIDTH).astype(np.float32)
    return row / np.linalg.norm(row)


def tokens_of(text: str) -> TokenVectors:
    words = text.split()
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
    offsets = np.array([(start, start + len(word)) for start, word in zip(starts, words, strict=True)], np.int32)
    vectors = np.stack([vector_of(word.strip(".")) for word in words])
    return TokenVectors(vectors, np.arange(len(words), dtype=np.int32), offsets)


def candidate(key: int, document: str, *sentences: str, start: int = 0) -> Candidate:
    text, at, parts = " ".join(sentences), start, []
    for ordinal, sentence in enumerate(sentences):
        parts.append(Sentence(ordinal, Span(at, at + len(sentence))))
        at += len(sentence) + 1
    chunk = Chunk(f"c{key}", key, document, 0, Span(start, start + len(text)), text, tuple(parts))
    return Candidate(StoredChunk(chunk, DocumentRef(document, document, ""), CODEC.encode(tokens_of(text))), {})


def test_judging_keeps_what_is_gold_and_leaves_out_what_is_neither() -> None:
    gold = candidate(1, "d1", "gallium melts early.", "it shines.")
    sibling = candidate(2, "d1", "iron rusts.", start=50)
    elsewhere = candidate(3, "d2", "tea cools.")
    repeats = candidate(4, "d3", "gallium melts early.")  # the answer's words, somewhere else
    question = LabelledQuestion("q", "what melts", ("gallium",), references=(Reference("d1", Span(0, 20)),))
    query = Query("what melts", np.zeros(4, np.float32), tokens_of("what melts"))
    reranker = AttentionReranker(CODEC)
    said = judge(question, query, [elsewhere, repeats, gold, sibling], reranker, COUNTER)
    assert said.sentences.gold.tolist() == [False, True, False, False]
    assert said.sentences.elsewhere.tolist() == [True, False, False, False]
    assert said.chunks.gold.tolist() == [False, True, False]
    assert len(said.observed.scores) == 5 and len(said.observed.needed) == 1
    (alone,) = reranker.rerank(query, [gold])
    assert said.sentences.log_odds[1] == pytest.approx(logit(alone.sentences[0].score), abs=1e-4)


def test_everything_retrieved_for_an_unanswerable_question_counts_once() -> None:
    query = Query("what melts", np.zeros(4, np.float32), tokens_of("what melts"))
    said = judge(
        LabelledQuestion("q", "what melts"),
        query,
        [candidate(1, "d1", "tea cools.")],
        AttentionReranker(CODEC),
        COUNTER,
    )
    assert said.sentences.gold.tolist() == said.sentences.elsewhere.tolist() == [False]
