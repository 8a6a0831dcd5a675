"""Compare the encoder's two backends: sentence-transformers on torch in float32, and OpenVINO.

    python -m benchmarks.encoders --models-dir .fovea/models --corpus CORPUS.jsonl.gz

Both backends encode the same chunks of 200 tokens, one after the other, in every round: a speed is only given as
the ratio of the two in the same round, with a bootstrap interval over the rounds, because a busy machine slows both.
Cosines compare OpenVINO's vectors with those of torch, for sentences and for single tokens. Writes a Markdown table to
stdout.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import markdown
from benchmarks.metrics import median_estimate
from benchmarks.stretches import CHUNK_TOKENS, chunks_of
from domain.documents import Passage
from domain.protocols import TokenEncoder
from retrieval.embedders.factory import Backend as BackendName
from retrieval.embedders.factory import build_encoder
from retrieval.embedders.tokenizer import load_tokenizer


@dataclass
class Backend:
    """One backend with what was measured of it, in seconds."""

    name: str
    encoder: TokenEncoder
    load: float
    rounds: list[float] = field(default_factory=list)
    queries: list[float] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> None:
    options = _parse(argv)
    _load(options.model, options.models_dir, options.threads, "openvino")  # unpacks and converts where still due
    names: tuple[BackendName, ...] = ("torch", "openvino")
    backends = [_load(options.model, options.models_dir, options.threads, name) for name in names]
    tokenizer = load_tokenizer(options.models_dir / options.model / "tokenizer.json")
    chunks = chunks_of(options.corpus, tokenizer, options.texts)
    cosines = _cosines(backends[0].encoder, backends[1].encoder, chunks)
    for number in range(options.rounds):
        for backend in backends if number % 2 == 0 else backends[::-1]:
            _measure(backend, chunks)
    print(_table(backends, cosines, len(chunks)))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models-dir", type=Path, default=Path(".fovea/models"))
    parser.add_argument("--model", default="multilingual-e5-small", help="a model that comes with a package")
    parser.add_argument(
        "--corpus", type=Path, nargs="+", required=True, help='JSONL files with "text", perhaps gzipped'
    )
    parser.add_argument("--texts", type=int, default=64, help="chunks a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=None)
    return parser.parse_args(argv)


def _load(model: str, models_dir: Path, threads: int | None, backend: BackendName) -> Backend:
    start = time.perf_counter()
    encoder = build_encoder(model, models_dir, backend, threads, on_message=lambda text: print(text, file=sys.stderr))
    encoder.embed_query("warm")
    return Backend(backend, encoder, time.perf_counter() - start)


def _measure(backend: Backend, chunks: Sequence[str]) -> None:
    passages = [Passage(chunk) for chunk in chunks]
    start = time.perf_counter()
    backend.encoder.encode_documents(passages)
    backend.rounds.append(time.perf_counter() - start)
    for chunk in chunks[:8]:
        start = time.perf_counter()
        backend.encoder.encode_query(chunk[:60])
        backend.queries.append(time.perf_counter() - start)


def _cosines(reference: TokenEncoder, other: TokenEncoder, chunks: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of each chunk's sentence vectors, and of each of its tokens' vectors."""
    passages = [Passage(chunk) for chunk in chunks]
    pairs = list(zip(reference.encode_documents(passages), other.encode_documents(passages), strict=True))
    sentences = np.array([float(a.vector @ b.vector) for a, b in pairs])
    tokens = np.concatenate([(a.tokens.vectors * b.tokens.vectors).sum(axis=1) for a, b in pairs])
    return sentences, tokens


def _table(backends: Sequence[Backend], cosines: tuple[np.ndarray, np.ndarray], texts: int) -> str:
    reference = backends[0]
    head = ["backend", "texts/s", "times torch", "query p50 ms", "load s", "sentence cosine min / mean", "token cosine"]
    rows = []
    for backend in backends:
        ratio = median_estimate([a / b for a, b in zip(reference.rounds, backend.rounds, strict=True)])
        sentence, token = [f"{c.min():.5f} / {c.mean():.5f}" if backend is not reference else "1" for c in cosines]
        speed, query = texts / statistics.median(backend.rounds), 1000 * statistics.median(backend.queries)
        times = f"{ratio.mean:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
        figures = (f"{speed:.1f}", times, f"{query:.1f}", f"{backend.load:.1f}")
        rows.append([backend.encoder.model_id, *figures, sentence, token])
    about = f"{texts} chunks of {CHUNK_TOKENS} tokens a round, {len(reference.rounds)} rounds."
    return f"{about}\n\n{markdown.table(head, rows)}"


if __name__ == "__main__":
    main()
