"""What token vectors cost at ingest: chunks a second with and without them, and the bytes a chunk takes.

    python -m benchmarks.ingest_cost --data FOLDER [--weights FILE] [--sets covidqa,drcd-zh] [--blocks 10]

Three ways of encoding, on the same chunks of 200 tokens, as ingestion does it (batches of 32, the codec behind the
encoder); reading, cutting and storing are not in it:

    sentence vectors    one vector a chunk, nothing else
    untrained           sentence and token vectors of the encoder as it came, packed with the untrained projection
    trained             the same with the trained layers and projection that `--weights` names

A block is 64 chunks, encoded in all ways one after the other, in an order that rotates from block to block; a ratio is
only taken inside a block, because a busy machine slows all. The median over the blocks is given with its bootstrap
interval. Each way is warmed up on a first block that is not counted.

Bytes are those of the packed token vectors of these chunks. Where the cache holds a set as the product has ingested it,
the second table shows what its rows of 190 to 210 tokens take in SQL, column by column, and the whole table's pages
over its chunks.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attention_core.codec import codec_for
from attention_core.scorer import ScorerWeights, find_scorer, load_scorer
from benchmarks import machine, markdown
from benchmarks.arguments import add_encoder, add_sets
from benchmarks.labelled import corpus_of
from benchmarks.metrics import Estimate, median_estimate
from benchmarks.stretches import CHUNK_TOKENS, chunks_of
from domain.documents import Passage
from domain.protocols import TokenCodec, TokenEncoder
from retrieval.embedders.factory import build_encoder
from retrieval.embedders.tokenizer import load_tokenizer

SETS = ("covidqa", "drcd-zh")
_BATCH = 32  # as `ingestion.pipeline` has it
_SPAN = (190, 210)  # tokens of the rows whose bytes are given: chunks end with a sentence, not with a token


@dataclass(slots=True)
class Way:
    """One way of encoding, without a `codec` sentence vectors alone: `seconds` of blocks, `sizes` of packed tokens."""

    name: str
    encoder: TokenEncoder
    codec: TokenCodec | None
    seconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def encode(self, chunks: Sequence[str]) -> list[bytes]:
        """The packed token vectors of the chunks; [] where this way makes none."""
        blobs: list[bytes] = []
        for start in range(0, len(chunks), _BATCH):
            batch = chunks[start : start + _BATCH]
            if self.codec is None:
                self.encoder.embed_documents(batch)
            else:
                encoded = self.encoder.encode_documents([Passage(text) for text in batch])
                blobs += [self.codec.encode(one.tokens) for one in encoded]
        return blobs

    def measure(self, chunks: Sequence[str]) -> None:
        started = time.perf_counter()
        blobs = self.encode(chunks)
        self.seconds.append(time.perf_counter() - started)
        self.sizes += map(len, blobs)


def run(ways: Sequence[Way], blocks: Sequence[Sequence[str]]) -> None:
    """Warm up on the first block, then measure every way on each of the others, in an order that rotates."""
    for way in ways:
        way.encode(blocks[0])
    for number, block in enumerate(blocks[1:]):
        turn = number % len(ways)
        for way in (*ways[turn:], *ways[:turn]):
            way.measure(block)


def times_slower(ours: Sequence[float], base: Sequence[float], seed: int = 0) -> Estimate:
    """The median over blocks of one way's time over another's, with its bootstrap interval."""
    return median_estimate([one / other for one, other in zip(ours, base, strict=True)], seed)


def table(ways: Sequence[Way], block: int) -> str:
    """Markdown: each way against the first."""
    rows = []
    for way in ways:
        rate = block / float(np.median(way.seconds))
        size = f"{np.mean(way.sizes):,.0f}" if way.sizes else ""
        rows.append([way.name, f"{rate:.1f}", str(times_slower(way.seconds, ways[0].seconds)), size])
    return markdown.table(["encoded", "chunks a second", "times the time of the first", "bytes a chunk"], rows)


@dataclass(frozen=True, slots=True)
class Stored:
    """Mean bytes of the rows of about 200 tokens by column, and of a chunk in the pages of table and indexes."""

    rows: int
    tokens: float
    vector: float
    text: float
    rest: float
    pages: float


def stored(database: Path) -> Stored | None:
    """What chunks take in an SQLite database of the product; None where it has none of about 200 tokens."""
    parts = ("length(tokens)", "length(vector)", "length(CAST(text AS BLOB))",
             "length(sentences) + length(CAST(id AS BLOB)) + length(CAST(heading_path AS BLOB))"
             " + length(CAST(header_text AS BLOB)) + length(CAST(pages AS BLOB))")  # fmt: skip
    means = ", ".join(f"avg({part})" for part in parts)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        where = f"FROM chunks WHERE token_count BETWEEN {_SPAN[0]} AND {_SPAN[1]} AND tokens IS NOT NULL"
        count, tokens, vector, text, rest = connection.execute(f"SELECT count(*), {means} {where}").fetchone()
        if not count:
            return None
        names = "SELECT name FROM sqlite_master WHERE tbl_name = 'chunks'"
        (pages,) = connection.execute(f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({names})").fetchone()
        (chunks,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    return Stored(count, tokens, vector, text, rest, pages / chunks)


def stored_table(databases: dict[str, Path]) -> str:
    """Markdown: one line a database that exists."""
    rows = []
    for name, path in databases.items():
        found = stored(path) if path.is_file() else None
        if found is not None:
            sizes = (found.tokens, found.vector, found.text, found.rest, found.pages)
            rows.append([name, str(found.rows), *(f"{size:,.0f}" for size in sizes)])
    return markdown.table(["set", "rows", "tokens", "vector", "text", "rest", "pages a chunk, all lengths"], rows)


def ways_of(model: str, models_dir: Path, trained: ScorerWeights | None) -> list[Way]:
    """Sentence vectors alone, with untrained token vectors and, where weights are given, with trained ones."""
    encoder = build_encoder(model, models_dir)
    ways = [
        Way("sentence vectors", encoder, None),
        Way("untrained", encoder, codec_for(find_scorer(model, trained=False))),
    ]
    if trained is not None:
        adapted = build_encoder(model, models_dir, adapter=trained.adapter)
        ways.append(Way("trained", adapted, codec_for(trained)))
    return ways


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest_cost", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser)
    parser.add_argument("--weights", type=Path, help="trained .safetensors, measured beside the untrained ones")
    parser.add_argument("--blocks", type=int, default=10, help="blocks that are counted")
    parser.add_argument("--block", type=int, default=64, help="chunks in a block")
    given = parser.parse_args(argv)
    trained = load_scorer(given.weights) if given.weights else None
    ways = ways_of(given.model, given.cache / "models", trained)
    tokenizer = load_tokenizer(given.cache / "models" / given.model / "tokenizer.json")
    corpora = [corpus_of(given.data / name) for name in given.sets]
    chunks = chunks_of(corpora, tokenizer, (given.blocks + 1) * given.block)
    run(ways, [chunks[at : at + given.block] for at in range(0, len(chunks), given.block)])
    print(table(ways, given.block))
    folders = [*given.sets, *(f"{name}-{trained.digest}" for name in given.sets if trained is not None)]
    databases = {name: given.cache / given.model / name / "fovea.db" for name in folders}
    print("", stored_table(databases), sep="\n")
    print(f"\n{given.blocks} blocks of {given.block} chunks of {CHUNK_TOKENS} tokens; {machine.describe()}.")


if __name__ == "__main__":
    main()
