"""The queue before the encoder: questions first and together, passages in small batches, a line with an end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from domain.documents import Passage
from domain.errors import Overloaded
from domain.search import Encoding
from retrieval.embedders.factory import build_encoder
from retrieval.embedders.hashing import HashingEncoder
from service.encoder_queue import EncodedBatch, EncoderQueue
from tests.service.waiting import wait_until

TOLERANCE = 1e-5


class SlowEncoder(HashingEncoder):
    """The hashing encoder, which notes what it was given and does nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[str]]] = []
        self.go_on = threading.Semaphore(0)
        self.free = False

    def encode_queries(self, texts: Sequence[str]) -> list[Encoding]:
        self._note("question", list(texts))
        if "poison" in texts:
            raise ValueError("poison")
        return [super(SlowEncoder, self).encode_query(text) for text in texts]

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        self._note("passage", [passage.text for passage in passages])
        return super().encode_documents(passages)

    def _note(self, kind: str, texts: list[str]) -> None:
        self.calls.append((kind, texts))
        if not self.free:
            assert self.go_on.acquire(timeout=20)


@pytest.fixture
def encoder() -> SlowEncoder:
    return SlowEncoder()


@pytest.fixture
def make_queue(encoder: SlowEncoder) -> Iterator[Callable[..., EncoderQueue]]:
    made: list[EncoderQueue] = []

    def make(**options: float) -> EncoderQueue:
        made.append(EncoderQueue(lambda: encoder, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    encoder.free = True
    encoder.go_on.release(1000)
    for queue in made:
        queue.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def passages(count: int) -> list[Passage]:
    return [Passage(f"passage {number}") for number in range(count)]


def test_c1_a_question_waits_for_one_batch_of_passages_and_no_more(make_queue, encoder, pool):
    queue = make_queue()
    ingest = pool.submit(queue.encode_documents, passages(40))
    wait_until(lambda: encoder.calls)
    question = pool.submit(queue.encode_query, "how long")
    wait_until(lambda: queue.depth("question"))
    encoder.go_on.release(2)
    question.result(20)
    assert [kind for kind, _ in encoder.calls[:2]] == ["passage", "question"]
    assert len(encoder.calls[0][1]) == 8
    encoder.free = True
    encoder.go_on.release(10)
    assert len(ingest.result(20)) == 40


def test_c1_questions_that_wait_are_encoded_together(make_queue, encoder, pool):
    queue = make_queue()
    first = pool.submit(queue.encode_query, "first")
    wait_until(lambda: encoder.calls)
    rest = [pool.submit(queue.encode_query, f"question {number}") for number in range(20)]
    wait_until(lambda: queue.depth("question") == 20)
    encoder.go_on.release(3)
    for asked in [first, *rest]:
        asked.result(20)
    assert [len(texts) for _, texts in encoder.calls] == [1, 16, 4]


def test_c1_long_questions_do_not_hold_up_short_ones_in_one_batch(make_queue, encoder, pool):
    queue = make_queue()
    first = pool.submit(queue.encode_query, "first")
    wait_until(lambda: encoder.calls)
    rest = [pool.submit(queue.encode_query, "word " * 500)]
    wait_until(lambda: queue.depth("question") == 1)
    rest += [pool.submit(queue.encode_query, "word " * 500) for _ in range(3)]
    wait_until(lambda: queue.depth("question") == 4)
    encoder.go_on.release(5)
    for asked in [first, *rest]:
        asked.result(20)
    assert [len(texts) for _, texts in encoder.calls] == [1, 1, 1, 1, 1]


def test_c1_passages_have_their_turns_while_questions_never_end(make_queue, encoder, pool):
    queue = make_queue(share=0.5)
    encoder.free = True
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            queue.encode_query("and again")

    asking = [pool.submit(ask) for _ in range(4)]
    assert len(queue.encode_documents(passages(400))) == 400
    stop.set()
    for one in asking:
        one.result(20)
    kinds = [kind for kind, _ in encoder.calls]
    assert kinds.count("passage") == 50
    # Never two batches of passages in a row while a question waits: with four that ask, one always does at the start.
    assert kinds.count("question") >= 25


def test_c5_a_full_line_refuses_at_once_and_serves_who_is_in(make_queue, encoder, pool):
    queue = make_queue(max_questions=2)
    inside = [pool.submit(queue.encode_query, "one")]
    wait_until(lambda: encoder.calls)
    inside += [pool.submit(queue.encode_query, f"waits {number}") for number in range(2)]
    wait_until(lambda: queue.depth("question") == 2)
    with pytest.raises(Overloaded) as refused:
        queue.encode_query("one too many")
    assert (refused.value.code, refused.value.retryable) == ("overloaded", True)
    assert refused.value.retry_after_seconds
    encoder.go_on.release(2)
    assert all(len(asked.result(20).vector) == 64 for asked in inside)


def test_c5_a_question_that_waits_for_too_long_is_told_to_come_back_and_never_encoded(make_queue, encoder, pool):
    queue = make_queue(seconds=0.05)
    ingest = pool.submit(queue.encode_documents, passages(8))
    wait_until(lambda: encoder.calls)
    with pytest.raises(Overloaded, match=r"0\.05 seconds"):
        queue.encode_query("too late")
    encoder.go_on.release(2)
    ingest.result(20)
    assert len(queue.encode_query("in time").vector) == 64
    assert ["too late"] not in [texts for _, texts in encoder.calls]


def test_only_the_question_at_fault_fails(make_queue, encoder, pool):
    queue = make_queue()
    first = pool.submit(queue.encode_query, "first")
    wait_until(lambda: encoder.calls)
    rest = {text: pool.submit(queue.encode_query, text) for text in ("good", "poison", "fine")}
    wait_until(lambda: queue.depth("question") == 3)
    encoder.go_on.release(10)
    first.result(20)
    with pytest.raises(ValueError, match="poison"):
        rest["poison"].result(20)
    assert len(rest["good"].result(20).vector) == len(rest["fine"].result(20).vector) == 64


def test_a_batch_of_passages_that_fails_ends_the_callers_run_and_not_the_queue(make_queue, encoder):
    queue = make_queue()
    encoder.free = True
    encoder.encode_documents = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        queue.encode_documents(passages(3))
    assert len(queue.encode_query("still there").vector) == 64


def test_closing_answers_who_waits_and_refuses_who_comes(make_queue, encoder, pool):
    queue = make_queue()
    inside = pool.submit(queue.encode_query, "inside")
    wait_until(lambda: encoder.calls)
    waits = pool.submit(queue.encode_query, "waits")
    wait_until(lambda: queue.depth("question"))
    closing = pool.submit(queue.close)
    with pytest.raises(Overloaded):
        waits.result(20)
    encoder.go_on.release(1)
    closing.result(20)
    assert len(inside.result(20).vector) == 64
    for late in (lambda: queue.encode_query("late"), lambda: queue.encode_documents(passages(1))):
        with pytest.raises(Overloaded):
            late()
    queue.close()


def test_every_batch_is_told_with_its_size_and_the_time_its_callers_waited(make_queue, encoder):
    queue, seen = make_queue(), list[EncodedBatch]()
    encoder.free = True
    queue.listen(seen.append)
    queue.encode_query("one")
    queue.encode_documents(passages(10))
    wait_until(lambda: len(seen) == 3)
    assert [(batch.kind, batch.texts, len(batch.waited)) for batch in seen] == [
        ("question", 1, 1),
        ("passage", 8, 1),
        ("passage", 2, 1),
    ]
    assert all(batch.seconds >= 0 and min(batch.waited) >= 0 for batch in seen)


def test_who_listens_and_fails_does_not_end_the_queue(make_queue, encoder):
    queue = make_queue()
    encoder.free = True
    queue.listen(lambda batch: 1 / 0)
    assert len(queue.encode_query("one").vector) == len(queue.encode_query("two").vector) == 64


def test_nothing_to_encode_asks_nothing_of_the_encoder(make_queue, encoder):
    queue = make_queue()
    assert queue.encode_documents([]) == []
    assert queue.embed_documents([]).shape == (0, 64)
    assert encoder.calls == []


def test_the_verbs_for_sentence_vectors_give_those_of_the_encoder(make_queue, encoder):
    queue = make_queue()
    encoder.free = True
    texts = [f"text {number}" for number in range(11)]
    np.testing.assert_array_equal(queue.embed_documents(texts), HashingEncoder().embed_documents(texts))
    np.testing.assert_array_equal(queue.embed_query("text"), HashingEncoder().embed_query("text"))
    assert (queue.model_id, queue.dim) == ("hashing/64", 64)


# -- the real encoder ------------------------------------------------------------------------------------------------

WORDS = "rent lease deposit tenant lighthouse notice winter filter pump 租约 押金 每月 滤网 更换 通知 灯塔".split()


def drawn(count: int, length: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, length))) for _ in range(count)]


@pytest.fixture(scope="module")
def real(models_dir: Path):
    return build_encoder("multilingual-e5-small", models_dir, threads=1)


def test_c1_a_text_has_the_same_vectors_whatever_is_encoded_beside_it(real):
    questions, texts = drawn(24, 12, 1), drawn(24, 60, 2)
    alone = [real.encode_query(text) for text in questions]
    read_alone = [real.encode_documents([Passage(text)])[0] for text in texts]
    queue = EncoderQueue(lambda: real)
    sizes: list[int] = []
    queue.listen(lambda batch: sizes.append(batch.texts))
    with ThreadPoolExecutor(25) as pool:
        ingest = pool.submit(queue.encode_documents, [Passage(text) for text in texts])
        together = list(pool.map(queue.encode_query, questions))
        read_together = ingest.result(120)
    queue.close()
    assert max(sizes) > 1, "nothing was encoded together: the comparison says nothing"
    for one, other in zip([*alone, *read_alone], [*together, *read_together], strict=True):
        np.testing.assert_allclose(one.vector, other.vector, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(one.tokens.vectors, other.tokens.vectors, rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(one.tokens.offsets, other.tokens.offsets)
