"""The interaction network: numpy and torch agree, chunks do not see each other, and it starts by adding nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attention_core.batching import Layout
from attention_core.evidence import Evidence
from attention_core.interaction import InteractionWeights, interact, sentence_numbers
from attention_core.interaction_module import NUMBERS, Interaction

WIDTH = 16


def layout(chunks: list[list[int]]) -> Layout:
    """Chunks given as the tokens of each of their sentences."""
    sentences = [count for chunk in chunks for count in chunk]
    return Layout(
        token_sentence=np.repeat(np.arange(len(sentences)), sentences),
        token_chunk=np.repeat(np.arange(len(chunks)), [sum(chunk) for chunk in chunks]),
        sentence_chunk=np.repeat(np.arange(len(chunks)), [len(chunk) for chunk in chunks]),
        first_sentence=np.cumsum([0, *(len(chunk) for chunk in chunks)]),
    )


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    rows = rng.normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def learned(seed: int = 0) -> Interaction:
    torch.manual_seed(seed)
    network = Interaction(WIDTH, hidden=12, pooled=6).eval()
    torch.nn.init.normal_(network.out.weight)
    return network


def both(chunks: list[list[int]], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    place = layout(chunks)
    tokens, question = unit(rng, len(place.token_sentence), WIDTH), unit(rng, 5, WIDTH)
    weights = np.full(5, 0.2, np.float32)
    numbers = rng.normal(size=(place.n_sentences, NUMBERS)).astype(np.float32)
    network = learned(seed)
    mine = interact(tokens, tokens @ question.T, question, weights, numbers, place, network.weights())
    with torch.no_grad():
        theirs = network(
            *(torch.from_numpy(part) for part in (tokens, question, weights, numbers)),
            [sum(chunk) for chunk in chunks],
            torch.from_numpy(place.token_sentence),
            torch.from_numpy(place.sentence_chunk),
        )
    return (*mine, *(part.numpy() for part in theirs))


@pytest.mark.parametrize("chunks", [[[3]], [[1, 4], [2]], [[7, 1, 2], [1], [3, 3]]])
def test_numpy_computes_what_torch_learned(chunks: list[list[int]]) -> None:
    sentences, scores, torch_sentences, torch_scores = both(chunks)
    np.testing.assert_allclose(sentences, torch_sentences, atol=1e-4)
    np.testing.assert_allclose(scores, torch_scores, atol=1e-4)
    assert np.abs(sentences).max() > 0.01


def test_a_chunk_is_judged_alike_alone_and_beside_others() -> None:
    rng = np.random.default_rng(1)
    question, weights = unit(rng, 4, WIDTH), np.full(4, 0.25, np.float32)
    first, second = unit(rng, 6, WIDTH), unit(rng, 9, WIDTH)
    numbers = rng.normal(size=(4, NUMBERS)).astype(np.float32)
    network = learned().weights()

    def judge(tokens: np.ndarray, own: np.ndarray, chunks: list[list[int]]) -> np.ndarray:
        return interact(tokens, tokens @ question.T, question, weights, own, layout(chunks), network)[0]

    together = judge(np.concatenate((first, second)), numbers, [[2, 4], [5, 4]])
    np.testing.assert_allclose(together[:2], judge(first, numbers[:2], [[2, 4]]), atol=1e-5)
    np.testing.assert_allclose(together[2:], judge(second, numbers[2:], [[5, 4]]), atol=1e-5)


def test_an_untrained_network_adds_nothing() -> None:
    place, rng = layout([[2, 3]]), np.random.default_rng(0)
    tokens, question = unit(rng, 5, WIDTH), unit(rng, 3, WIDTH)
    numbers = np.ones((2, NUMBERS), np.float32)
    network = Interaction(WIDTH).weights()
    added, chunk = interact(tokens, tokens @ question.T, question, np.full(3, 1 / 3), numbers, place, network)
    assert added.tolist() == [0.0, 0.0] and chunk.tolist() == [0.0]


def test_a_sentence_without_tokens_is_judged_by_its_numbers_alone() -> None:
    place, rng = layout([[2, 0, 3]]), np.random.default_rng(0)
    tokens, question = unit(rng, 5, WIDTH), unit(rng, 3, WIDTH)
    numbers = rng.normal(size=(3, NUMBERS)).astype(np.float32)
    network = learned().weights()
    added, _ = interact(tokens, tokens @ question.T, question, np.full(3, 1 / 3), numbers, place, network)
    by_hand = np.maximum(numbers[1] @ network.pooled[-NUMBERS:] + network.pooled_bias, 0) @ network.out
    assert added[1] == pytest.approx(by_hand, abs=1e-5)


def test_numbers_of_a_sentence_in_the_order_that_the_network_reads() -> None:
    place = layout([[4, 20], [40]])
    evidence = Evidence(
        sentence=np.array([0.2, 0.5, 0.9]),
        window=np.array([0.5, 0.6, 0.9]),
        chunk=np.array([0.7, 0.9]),
        best=np.array([0.5, 0.9]),
    )
    found = sentence_numbers(evidence, np.array([0.3, 0.4]), np.array([0.1, 0.0]), place, np.array([4, 20, 40]))
    expected = [0.2, 0.5, 0.7, 0.3, 0.3, 0.1, np.log(4 / 20), 0.0]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert found[1, 7] == 1.0 and found[2, 7] == 0.0


def test_weights_survive_a_round_trip_into_a_new_module() -> None:
    network = learned()
    again = Interaction(WIDTH, hidden=12, pooled=6)
    again.start_from(InteractionWeights.of(network.weights().tensors()))
    for name, value in network.weights().tensors().items():
        np.testing.assert_array_equal(value, again.weights().tensors()[name])
