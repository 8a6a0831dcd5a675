"""The interaction network: numpy and torch agree, chunks do not see each other, it starts by adding nothing, and what
it adds is divided among the tokens without a remainder.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_core.batching import Layout
from attention_core.evidence import Evidence
from attention_core.interaction import Attribution, InteractionWeights, Read, attribute, interact, sentence_numbers
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
    mine = interact(Read(tokens, tokens @ question.T, question, weights, numbers, place), network.weights())
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
        return interact(Read(tokens, tokens @ question.T, question, weights, own, layout(chunks)), network)[0]

    together = judge(np.concatenate((first, second)), numbers, [[2, 4], [5, 4]])
    np.testing.assert_allclose(together[:2], judge(first, numbers[:2], [[2, 4]]), atol=1e-5)
    np.testing.assert_allclose(together[2:], judge(second, numbers[2:], [[5, 4]]), atol=1e-5)


def test_an_untrained_network_adds_nothing() -> None:
    place, rng = layout([[2, 3]]), np.random.default_rng(0)
    tokens, question = unit(rng, 5, WIDTH), unit(rng, 3, WIDTH)
    numbers = np.ones((2, NUMBERS), np.float32)
    network = Interaction(WIDTH).weights()
    added, chunk = interact(Read(tokens, tokens @ question.T, question, np.full(3, 1 / 3), numbers, place), network)
    assert added.tolist() == [0.0, 0.0] and chunk.tolist() == [0.0]


def test_a_sentence_without_tokens_is_judged_by_its_numbers_alone() -> None:
    place, rng = layout([[2, 0, 3]]), np.random.default_rng(0)
    tokens, question = unit(rng, 5, WIDTH), unit(rng, 3, WIDTH)
    numbers = rng.normal(size=(3, NUMBERS)).astype(np.float32)
    network = learned().weights()
    added, _ = interact(Read(tokens, tokens @ question.T, question, np.full(3, 1 / 3), numbers, place), network)
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


# -- attribution -------------------------------------------------------------------------------------------------------


def read(chunks: list[list[int]], seed: int = 0, tokens: np.ndarray | None = None) -> Read:
    rng = np.random.default_rng(seed)
    place, question = layout(chunks), unit(rng, 5, WIDTH)
    rows = unit(rng, len(place.token_sentence), WIDTH) if tokens is None else tokens
    shares = rng.random(5).astype(np.float32)
    numbers = rng.normal(size=(place.n_sentences, NUMBERS)).astype(np.float32)
    return Read(rows, rows @ question.T, question, shares / shares.sum(), numbers, place)


def by_sentence(found: Attribution, place: Layout) -> np.ndarray:
    return np.bincount(place.token_sentence, weights=found.tokens, minlength=place.n_sentences) + found.rest


layouts = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(chunks=layouts.filter(lambda chunks: sum(map(sum, chunks)) > 0), seed=st.integers(0, 1_000))
def test_what_tokens_and_rest_give_is_what_the_network_added(chunks: list[list[int]], seed: int) -> None:
    """Also to sentences without a token, which have a rest alone."""
    seen, network = read(chunks, seed), learned(seed).weights()
    added, _ = interact(seen, network)
    found = attribute(seen, network)
    assert found.tokens.shape == (len(seen.tokens),) and found.rest.shape == (seen.layout.n_sentences,)
    np.testing.assert_allclose(by_sentence(found, seen.layout), added, atol=1e-5)


def test_the_remainder_is_none_in_double_precision() -> None:
    """With the digits of a double nothing is left, so what is left with those of a single is rounding."""
    chunks = [[7, 1, 2], [1, 0], [3, 3]]
    single, network = read(chunks, 3), learned(3).weights()
    arrays = (single.tokens, single.similarity, single.question, single.weights, single.numbers)
    double = Read(*(part.astype(np.float64) for part in arrays), single.layout)
    network = InteractionWeights.of({name: value.astype(np.float64) for name, value in network.tensors().items()})
    added, _ = interact(double, network)
    assert np.abs(added).max() > 0.1
    np.testing.assert_allclose(by_sentence(attribute(double, network), double.layout), added, atol=1e-12)


def by_hand() -> InteractionWeights:
    """Two units that read the first two entries of a token; one pooled unit, 2 max_0 + 3 max_1 + 4 mean_0 + n_0 - 1."""
    network = Interaction(WIDTH, hidden=2, pooled=1).weights()
    still = {name: np.zeros_like(value) for name, value in network.tensors().items()}
    still["key"][:2] = np.eye(2)
    still["pooled"][[0, 1, 2, 4], 0] = 2, 3, 4, 1
    still["pooled_bias"][0] = -1
    still["out"][0] = 0.5
    return InteractionWeights.of(still)


def rows(*entries: tuple[float, float]) -> np.ndarray:
    table = np.zeros((len(entries), WIDTH), np.float32)
    table[:, :2] = entries
    return table


def test_a_token_has_the_maxima_that_it_wins_and_its_part_of_the_mean() -> None:
    one = read([[3]], tokens=rows((0.8, 0.1), (0.4, 0.5), (0.0, 0.2)))
    one = replace(one, numbers=np.array([[0.3] + [0.0] * 7], np.float32))
    found = attribute(one, by_hand())
    # 2 * 0.8 and 3 * 0.5 to the winners, 4 / 3 of its own first entry to each; the half of it all goes out.
    expected = [(1.6 + 4 * 0.8 / 3) / 2, (1.5 + 4 * 0.4 / 3) / 2, 0.0]
    np.testing.assert_allclose(found.tokens, expected, atol=1e-6)
    assert found.rest[0] == pytest.approx((0.3 - 1) / 2)
    assert interact(one, by_hand())[0][0] == pytest.approx((1.6 + 1.5 + 4 * 1.2 / 3 + 0.3 - 1) / 2, abs=1e-6)


def test_a_pooled_unit_that_is_off_gives_nothing_to_anyone() -> None:
    one = read([[2]], tokens=rows((0.1, 0.0), (0.0, 0.1)))
    one = replace(one, numbers=np.zeros((1, NUMBERS), np.float32))
    found = attribute(one, by_hand())
    assert found.tokens.tolist() == [0.0, 0.0] and found.rest.tolist() == [0.0]


def test_tokens_that_tie_for_a_maximum_share_it() -> None:
    """Also where a kernel has rounded one of them otherwise in its last bit."""
    other = float(np.nextafter(np.float32(0.8), np.float32(1)))
    one = read([[3]], tokens=rows((0.8, 0.0), (other, 0.0), (0.2, 0.6)))
    one = replace(one, numbers=np.ones((1, NUMBERS), np.float32))
    found = attribute(one, by_hand())
    each = (1.6 / 2 + 4 * 0.8 / 3) / 2
    np.testing.assert_allclose(found.tokens, [each, each, (1.8 + 4 * 0.2 / 3) / 2], atol=1e-6)


def test_looks_are_a_softmax_over_the_question_that_its_weights_lean_on() -> None:
    one = replace(read([[1]]), weights=np.array([0.5, 0.5, 0.0, 0.0, 0.0], np.float32))
    network = replace(learned().weights(), beta=np.array([2.0], np.float32))
    looks = attribute(one, network).looks
    heard = np.exp(2 * one.similarity[0, :2])
    np.testing.assert_allclose(looks[0, :2], heard / heard.sum(), atol=1e-4)
    assert looks.shape == (1, 5) and looks[0, 2:].max() < 1e-4
    assert looks.sum() == pytest.approx(1, abs=1e-6)
