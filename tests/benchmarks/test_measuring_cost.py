"""What the cost of attention is measured on, and what is made of the times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from attention_core.codec import QuantizedTokenCodec
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights
from benchmarks import ingest_cost
from benchmarks.attention_cost import draw, fits, fitted_line
from benchmarks.attention_cost import table as cost_table
from benchmarks.ingest_cost import Way, stored, times_slower
from benchmarks.rerank_timing import SHAPES, USUAL, Rerank, Shape, Timings, measure, times_faster
from benchmarks.stretches import chunks_of, stretches
from benchmarks.synthetic import Texts
from domain.documents import Passage
from domain.search import Candidate, Encoding, Query, TokenVectors
from service.bootstrap import build_engine
from service.settings import EncoderSettings, Settings

CODEC = QuantizedTokenCodec()


@pytest.fixture
def words() -> Tokenizer:
    """A token a word."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def test_a_line_through_hand_computed_points() -> None:
    line = fitted_line([0, 1, 2], [1, 2, 6])  # slope 5/2, intercept 1/2; residuals 1/2, -1, 1/2 of a variance of 14
    assert (line.slope, line.intercept) == pytest.approx((2.5, 0.5))
    assert line.r2 == pytest.approx(1 - 1.5 / 14)


@pytest.mark.parametrize("tokens", [20, 50, 200])
def test_a_chunk_has_exactly_the_tokens_asked_for_in_sentences_of_25(words: Tokenizer, tokens: int) -> None:
    texts = Texts(words, CODEC, width=16)
    one = texts.candidate(3, tokens)
    assert len(words.encode(one.chunk.text).ids) == tokens
    assert len(CODEC.decode(one.stored.token_blob or b"")) == tokens
    parts = [one.chunk.sentence_text(item) for item in one.chunk.sentences]
    assert "".join(parts) == one.chunk.text
    assert [len(words.encode(part).ids) for part in parts] == [min(25, tokens - at) for at in range(0, tokens, 25)]


def test_chunks_differ_and_the_question_has_16_tokens_that_the_reranker_can_read(words: Tokenizer) -> None:
    texts = Texts(words, CODEC, width=16)
    pool = [texts.candidate(number, 50) for number in range(3)]
    assert len({one.chunk.text for one in pool}) == 3
    query = texts.question()
    assert query.tokens is not None and len(query.tokens) == 16 and query.terms
    scored = AttentionReranker(CODEC, ScorerWeights(projection=None)).rerank(query, pool)
    assert sorted(one.chunk.id for one in scored) == ["c0", "c1", "c2"]


def test_every_shape_is_timed_in_every_round_and_the_cross_encoder_once_in_ten(words: Tokenizer) -> None:
    calls: list[tuple[str, int]] = []

    def recorder(name: str) -> Rerank:
        def rerank(query: Query, candidates: Sequence[Candidate]) -> None:
            calls.append((name, len(candidates)))

        return rerank

    texts = Texts(words, CODEC, width=16)
    pools = {USUAL: [texts.candidate(0, 20)] * 50, Shape(10, 200): [texts.candidate(1, 20)] * 10}
    rerankers = {"a": recorder("a"), "b": recorder("b")}
    timings = measure(rerankers, texts.question(), pools, 25, recorder("cross"))
    assert {job: len(runs) for job, runs in timings.runs.items()} == {(n, s): 25 for n in "ab" for s in pools}
    assert len(timings.cross) == 3 and [len(block) for block in timings.blocks] == [10, 10, 5]
    assert [block for part in timings.blocks for block in part] == timings.runs["a", USUAL]
    assert calls.count(("a", 10)) == 27  # two of them warm up
    assert calls.count(("cross", 50)) == 4


def test_a_ratio_is_taken_inside_each_block() -> None:
    timings = Timings(cross=[100.0, 400.0, 90.0], blocks=[[9, 10, 11], [40.0], [8, 9, 100]])
    ratio = times_faster(timings)
    assert (ratio.mean, ratio.low, ratio.high) == (10.0, 10.0, 10.0)


def linear_timings() -> Timings:
    """2 ms, and half a microsecond a token."""
    runs = {("whole", one): [2 + one.candidates * one.tokens / 2000 + late for late in (0, 0, 8)] for one in SHAPES}
    return Timings(runs)


def test_the_tables_show_medians_tails_and_lines() -> None:
    timings = linear_timings()
    assert "| 50 | 200 | 7.0, 14.2 | 3 |" in cost_table(timings, ["whole"], dict.fromkeys(SHAPES, 3.0))
    assert "| whole | candidates | 0.100 | 2.0 | 1.0000 |" in fits(timings, ["whole"])
    assert "| whole | tokens | 0.025 | 2.0 | 1.0000 |" in fits(timings, ["whole"])


def test_the_plot_is_readable_text_on_a_light_ground_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        draw(linear_timings(), ["whole"], tmp_path / name)
    svg = (tmp_path / "one.svg").read_text()
    assert svg == (tmp_path / "two.svg").read_text()
    assert "candidates of 200 tokens" in svg and "#ffffff" in svg


# --- ingest ---


def test_stretches_have_200_words_and_stay_inside_their_text(words: Tokenizer) -> None:
    long, short = " ".join(f"a{at}" for at in range(450)), "b " * 199
    found = stretches(iter([long, short, long]), words, 3)
    assert [part.split()[0] for part in found] == ["a0", "a200", "a0"]
    assert {len(part.split()) for part in found} == {200}


def test_too_few_chunks_are_an_error(tmp_path: Path, words: Tokenizer) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "text": "' + "a " * 400 + '"}\n')
    assert len(chunks_of([tmp_path / "corpus.jsonl"], words, 2)) == 2
    with pytest.raises(ValueError, match="2 chunks"):
        chunks_of([tmp_path / "corpus.jsonl"], words, 3)


class FakeEncoder:
    """Remembers what it was asked, and for what."""

    model_id, dim = "fake", 4

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray:
        self._log.append(f"{self._name} {len(texts)}")
        return np.ones((len(texts), 4), np.float32)

    def embed_query(self, text: str) -> np.ndarray:
        return np.ones(4, np.float32)

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        self._log.append(f"{self._name} {len(passages)}")
        one = TokenVectors(np.eye(4, dtype=np.float32), np.arange(4, dtype=np.int32), np.array([[0, 1]] * 4, np.int32))
        return [Encoding(np.ones(4, np.float32), one) for _ in passages]

    def encode_query(self, text: str) -> Encoding:
        return self.encode_documents([Passage(text)])[0]


def test_ways_of_encoding_take_turns_and_only_counted_blocks_count() -> None:
    log: list[str] = []
    ways = [Way("a", FakeEncoder(log, "a"), None), Way("b", FakeEncoder(log, "b"), CODEC)]
    ingest_cost.run(ways, [["w"], ["x"] * 33, ["y"] * 2])
    assert log == ["a 1", "b 1", "a 32", "a 1", "b 32", "b 1", "b 2", "a 2"]
    assert [len(way.seconds) for way in ways] == [2, 2]
    assert ways[0].sizes == [] and len(ways[1].sizes) == 35
    assert "| b | " in ingest_cost.table(ways, 2)


def test_the_ratio_of_two_ways_is_the_median_over_blocks() -> None:
    found = times_slower([1.1, 2.4, 3.3], [1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(1.1) and found.low == pytest.approx(1.1) and found.high == pytest.approx(1.2)


def test_bytes_in_sql_are_those_of_the_rows(tmp_path: Path) -> None:
    encoder = EncoderSettings(models_dir=tmp_path / "models", model="hashing")
    source = tmp_path / "text.txt"
    source.write_text(" ".join(f"Keeper {at} lights the lamp at {at} and leaves." for at in range(120)))
    with build_engine(Settings(data_dir=tmp_path / "data", encoder=encoder)) as engine:
        engine.ingest([source])
    found = stored(tmp_path / "data" / "fovea.db")
    assert found is not None and found.rows >= 3
    assert found.vector % 4 == 0 and found.tokens > 190 and 500 < found.text < 1500
    assert found.pages > found.vector + found.tokens


def test_a_database_without_chunks_of_that_length_has_no_figure(tmp_path: Path) -> None:
    encoder = EncoderSettings(models_dir=tmp_path / "models", model="hashing")
    with build_engine(Settings(data_dir=tmp_path / "data", encoder=encoder)) as engine:
        engine.ingest_text("Short.", title="short")
    assert stored(tmp_path / "data" / "fovea.db") is None
