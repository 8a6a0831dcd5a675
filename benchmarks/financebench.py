"""SEC filings end to end: ingest rate, peak memory, and how often the evidence is on the right page.

    python -m benchmarks.financebench --data FOLDER/financebench [--budgets 300,1000]

A question is a hit when some evidence within the budget lies on a labelled page of the right filing. Filings and
questions are FinanceBench's (CC BY-NC 4.0): for measuring only.
"""

from __future__ import annotations

import argparse
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import machine
from benchmarks.arguments import CACHE
from benchmarks.metrics import estimate
from domain.documents import page_of
from domain.search_result import SearchResult
from fovea import open_engine
from service.engine import Engine
from service.jsonl import jsonl_rows
from service.settings import EncoderSettings, Settings

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """A question with the pages (from 1) of the filing that hold its evidence."""

    question: str
    filing: str
    pages: frozenset[int]


def load_questions(path: Path) -> list[PageQuestion]:
    """FinanceBench's questions; its pages count from 0."""
    return [
        PageQuestion(row["question"], row["document"], frozenset(item["page"] + 1 for item in row["evidence"]))
        for _, row in jsonl_rows(path)
    ]


def is_hit(engine: Engine, question: PageQuestion, found: SearchResult) -> bool:
    """Whether some evidence of `found` lies on a labelled page."""
    for item in found.evidence:
        if Path(item.source).name == question.filing:
            pages = engine.document(item.document_id).pages
            touched = {page_of(pages, offset) for span in item.spans for offset in (span.start, span.end - 1)}
            if touched & question.pages:
                return True
    return False


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The largest resident size in bytes, of this process and its children together, while the block ran."""
    peak, stop = [0], threading.Event()
    own = psutil.Process()

    def watch() -> None:
        while not stop.wait(_SAMPLE_SECONDS):
            sizes = []
            for process in (own, *own.children(recursive=True)):
                try:
                    sizes.append(process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], sum(sizes))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.financebench", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with pdfs/ and questions.jsonl")
    parser.add_argument("--budgets", default="300,1000", help="context tokens, comma-separated")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    data_dir = arguments.cache / "financebench"
    shutil.rmtree(data_dir, ignore_errors=True)
    settings = Settings(data_dir=data_dir, encoder=EncoderSettings(models_dir=arguments.cache / "models"))
    with peak_memory() as peak, open_engine(settings=settings) as engine:
        engine.status()  # loads the encoder: its one-time conversion is not part of the rate
        report = engine.ingest([arguments.data / "pdfs"])
        pages = sum(len(engine.document(item.id).pages) for item in report.documents if item.id)
        chunks = sum(item.chunks for item in report.documents)
        print(
            f"{len(report.documents)} filings, {pages} pages, {chunks} chunks in {report.seconds:.0f} s: "
            f"{pages / report.seconds:.1f} pages/s, {chunks / report.seconds:.1f} chunks/s; "
            f"peak memory {peak[0] / 2**30:.2f} GiB\n"
        )
        questions = load_questions(arguments.data / "questions.jsonl")
        print("| budget | page hits | rate | mean context tokens | median ms |\n|---|---|---|---|---|")
        for budget in (int(part) for part in arguments.budgets.split(",")):
            print(_row(engine, questions, budget))
    print(f"\n{len(questions)} questions; {machine.describe()}.")


def _row(engine: Engine, questions: list[PageQuestion], budget: int) -> str:
    hits, tokens, seconds = [], [], []
    for question in questions:
        started = time.perf_counter()
        found = engine.search(question.question, max_tokens=budget)
        seconds.append(time.perf_counter() - started)
        hits.append(float(is_hit(engine, question, found)))
        tokens.append(found.context.context_tokens)
    rate = estimate(hits, [question.filing for question in questions])
    middle = sorted(seconds)[len(seconds) // 2] * 1000
    return f"| {budget} | {sum(hits):.0f} of {len(hits)} | {rate} | {sum(tokens) / len(tokens):.0f} | {middle:.0f} |"


if __name__ == "__main__":
    main()
