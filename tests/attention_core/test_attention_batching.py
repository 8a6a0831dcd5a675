"""Tokens find the sentence that holds their first character."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_core.batching import lay_out
from domain.documents import Chunk, Sentence, Span


def chunk(text: str, *spans: tuple[int, int], start: int = 0) -> Chunk:
    """A chunk at `start` of its document whose sentences are `spans` of its own text."""
    sentences = tuple(Sentence(n, Span(a + start, b + start)) for n, (a, b) in enumerate(spans))
    return Chunk("c", 1, "d", 0, Span(start, start + len(text)), text, sentences)


def offsets(*starts: int) -> np.ndarray:
    return np.array([(start, start + 1) for start in starts], dtype=np.int32).reshape(-1, 2)


def test_tokens_go_to_the_sentence_of_their_first_character() -> None:
    one = chunk("Hi there. Go.", (0, 9), (10, 13), start=100)
    layout = lay_out([one], np.array([5]), offsets(0, 3, 8, 10, 12))
    assert layout.token_sentence.tolist() == [0, 0, 0, 1, 1]
    assert layout.first_sentence.tolist() == [0, 2]


def test_a_token_that_starts_in_the_blank_belongs_to_the_sentence_after_it() -> None:
    layout = lay_out([chunk("Hi. Go. ", (0, 3), (4, 7))], np.array([3]), offsets(3, 6, 7))
    assert layout.token_sentence.tolist() == [1, 1, 1]  # the one behind the last sentence stays with it


def test_chunks_without_tokens_and_empty_sentences_keep_their_numbers() -> None:
    chunks = [chunk("Ab.", (0, 3)), chunk("Cd. Ef.", (0, 3), (4, 7)), chunk("Gh.", (0, 3))]
    layout = lay_out(chunks, np.array([1, 0, 2]), offsets(0, 0, 1))
    assert layout.token_sentence.tolist() == [0, 3, 3]
    assert layout.token_chunk.tolist() == [0, 2, 2]
    assert layout.sentence_chunk.tolist() == [0, 1, 1, 2]
    assert (layout.n_sentences, layout.n_chunks) == (4, 3)


def test_no_chunks_lay_out_to_nothing() -> None:
    layout = lay_out([], np.zeros(0, np.int64), offsets())
    assert (layout.n_sentences, layout.n_chunks, len(layout.token_sentence)) == (0, 0, 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=4), st.integers(0, 2**16))
def test_each_token_lies_in_its_sentence_whatever_the_chunks_beside_it(sizes: list[list[int]], seed: int) -> None:
    rng, chunks, starts = np.random.default_rng(seed), [], []
    for lengths in sizes:
        ends = np.cumsum(np.array(lengths) + 1)  # a blank after each sentence
        spans = [(int(end - length - 1), int(end - 1)) for end, length in zip(ends, lengths, strict=True)]
        chunks.append(chunk("x" * int(ends[-1]), *spans, start=int(rng.integers(0, 50))))
        starts.append(np.sort(np.concatenate([rng.integers(a, b, 2) for a, b in spans])))
    counts = np.array([len(one) for one in starts])
    layout = lay_out(chunks, counts, offsets(*np.concatenate(starts)))
    sentences = [(one.span.start, sentence.span) for one in chunks for sentence in one.sentences]
    for token, start in enumerate(np.concatenate(starts)):
        base, span = sentences[layout.token_sentence[token]]
        assert span.start <= base + start < span.end
        assert layout.sentence_chunk[layout.token_sentence[token]] == layout.token_chunk[token]
