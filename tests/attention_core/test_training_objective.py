"""The losses against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from attention_core.examples import Batch
from attention_core.network import Scores
from attention_core.objective import chunk_loss, objective, sentence_loss
from tests.attention_core.training_examples import batch_of, example_of, training_set


def sentences_of(logits: torch.Tensor, of: Batch) -> torch.Tensor:
    return sentence_loss(logits, of, of.allowed)


def chunks_of(logits: torch.Tensor, of: Batch) -> torch.Tensor:
    return chunk_loss(logits, of, of.allowed)


def batch(gold: dict[int, tuple[int, ...]], rows: list[int], **changes) -> Batch:
    """Chunks of three sentences of four tokens each."""
    return batch_of(training_set(), [example_of(0, gold, "d0", **changes)], [rows])


# A sentence of 4 tokens costs sqrt(4 / 20) as a wrong one.
COST = math.sqrt(4 / 20)


def test_a_wrong_sentence_counts_by_the_root_of_its_length() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0]])
    wrong = COST * (math.exp(1.0) + math.exp(0.0))
    expected = -math.log(math.exp(2.0) / (math.exp(2.0) + wrong))
    assert sentences_of(logits, batch({0: (0,)}, [0])).item() == pytest.approx(expected, abs=1e-5)


def test_several_gold_sentences_do_not_compete() -> None:
    logits = torch.tensor([[2.0, 2.0, 0.0]])
    expected = -math.log(math.exp(2.0) / (math.exp(2.0) + COST))
    assert sentences_of(logits, batch({0: (0, 1)}, [0])).item() == pytest.approx(expected, abs=1e-5)


def test_sentences_of_a_chunk_that_is_neither_right_nor_wrong_are_not_counted() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, 9.0, 9.0, 9.0]])
    alone = sentences_of(logits[:, :3], batch({0: (0,)}, [0]))
    blocked = sentences_of(logits, batch({0: (0,)}, [0, 5], blocked=frozenset({5})))
    counted = sentences_of(logits, batch({0: (0,)}, [0, 5]))
    assert blocked.item() == pytest.approx(alone.item(), abs=1e-5)
    assert counted.item() > alone.item() + 5


def test_the_chunk_loss_is_the_chance_of_any_gold_chunk() -> None:
    logits = torch.tensor([[1.0, 0.0, 3.0]])
    both = math.log(math.exp(1) + math.exp(0) + math.exp(3)) - math.log(math.exp(1) + math.exp(3))
    one = batch({0: (0,), 4: (1,)}, [0, 2, 4])
    assert chunks_of(logits, one).item() == pytest.approx(both, abs=1e-5)
    blocked = batch({0: (0,)}, [0, 2, 4], blocked=frozenset({4}))
    assert chunks_of(logits, blocked).item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-5)


def test_the_objective_adds_both_grains_twice_and_what_the_sentence_vectors_moved() -> None:
    one = batch({0: (0,)}, [0, 2])
    sentences, chunks = torch.tensor([[2.0, 1.0, 0.0, 0.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    scores = Scores(sentences, chunks, sentences / 2, chunks / 2, torch.tensor(0.005))
    by_hand = sentences_of(sentences, one) + 0.5 * sentences_of(sentences / 2, one)
    by_hand = by_hand + 0.5 * chunks_of(chunks, one) + 0.5 * chunks_of(chunks / 2, one) + 20 * 0.005
    assert objective(scores, one).item() == pytest.approx(by_hand.item(), abs=1e-6)
    unranked = replace(one, examples=[replace(one.examples[0], ranked=False)])
    without = sentences_of(sentences, one) + 0.5 * sentences_of(sentences / 2, one) + 0.1
    assert objective(scores, unranked).item() == pytest.approx(without.item(), abs=1e-6)


def test_final_scores_are_compared_among_listed_chunks_and_attention_among_all() -> None:
    one = batch({0: (0,)}, [0, 2])
    alone = replace(one, listed=torch.tensor([[True, False]]))
    sentences, chunks = torch.tensor([[2.0, 1.0, 0.0, 5.0, 5.0, 5.0]]), torch.tensor([[1.0, 4.0]])
    scores = Scores(sentences, chunks, sentences, chunks, torch.zeros(()))
    few = sentences_of(sentences[:, :3], batch({0: (0,)}, [0]))  # one listed chunk: nothing to mistake it for
    by_hand = few + 0.5 * sentences_of(sentences, one) + 0.5 * 0 + 0.5 * chunks_of(chunks, one)
    assert objective(scores, alone).item() == pytest.approx(by_hand.item(), abs=1e-6)
