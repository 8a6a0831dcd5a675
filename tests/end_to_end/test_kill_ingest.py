"""kill -9 in the middle of an ingest run: nothing acknowledged is lost, nothing is half visible, the run goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

from fovea import DocumentStatus, open_engine
from tests.end_to_end.product import environment, hashing

KILLS = 20
FILES = 160
MOST_ACKNOWLEDGED = 16  # before a kill; so the runs together come to the end of the corpus at least once

# A run that says on stdout which documents are acknowledged: one is when the count of finished documents has grown.
# It waits for its data directory, so that its imports cost no time while the directory of the last kill is examined.
RUN = """
import sys
import service.bootstrap, service.factories, service.storage.database
from fovea import open_engine
from service.settings import EncoderSettings, Settings

done = 0

def tell(state):
    global done
    if state.documents_done > done:
        done = state.documents_done
        print("ack", state.source, flush=True)

settings = Settings(data_dir=sys.stdin.readline().strip(), encoder=EncoderSettings(model="hashing"))
with open_engine(settings=settings) as engine:
    report = engine.ingest([sys.argv[1]], progress=tell)
print("done", len(report.failed), flush=True)
"""


def _write_corpus(folder: Path, rng: random.Random) -> dict[str, str]:
    """Files of one to forty paragraphs; source -> text. Each holds a word that no other has."""
    words = [f"word{number}" for number in range(400)]
    texts = {}
    folder.mkdir()
    for number in range(FILES):
        paragraphs = [
            " ".join(rng.choices(words, k=60)).capitalize() + f". Marker{number}x{part} stands here."
            for part in range(rng.choice((1, 2, 5, 40)))
        ]
        path = folder / f"{number:03}.txt"
        path.write_text("\n\n".join(paragraphs))
        texts[str(path)] = path.read_text()
    return texts


class Run:
    """A process that ingests the corpus once it is told where to, in a session of its own so that all of it dies."""

    def __init__(self, corpus: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", RUN, str(corpus)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )

    def start(self, data_dir: Path) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(f"{data_dir}\n")
        self._child.stdin.close()

    def kill_behind(self, acknowledged: int, pause: float) -> tuple[set[str], bool]:
        """Kill it `pause` seconds after so many acknowledgements; all that it made, and whether it had ended first."""
        assert self._child.stdout is not None
        lines = [self._child.stdout.readline() for _ in range(acknowledged)]
        time.sleep(pause)
        self.kill()  # parsers and all: they are of its session
        lines += self._child.stdout.read().splitlines()
        self.close()
        ended = any(line.startswith("done") for line in lines)
        return {line.strip()[4:] for line in lines if line.startswith("ack ")}, ended

    def kill(self) -> None:
        if self._child.returncode is None:  # not waited for yet: the id is still ours
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def close(self) -> None:
        assert self._child.stdin is not None and self._child.stdout is not None
        self.kill()
        self._child.stdin.close()
        self._child.stdout.close()


def _check(data_dir: Path, texts: dict[str, str], acknowledged: set[str], whole: dict[str, int]) -> None:
    with open_engine(settings=hashing(data_dir)) as engine:
        listed = {item.source: item for item in engine.list_documents(limit=10_000)}
        assert acknowledged <= listed.keys()
        for source, item in listed.items():
            assert item.status is DocumentStatus.INDEXED
            assert item.chunks == whole[source], "a document is visible in full or not at all"
            assert engine.document(item.id).text == texts[source]
        for source in random.Random(len(listed)).sample(sorted(listed), min(5, len(listed))):
            marker = f"Marker{int(Path(source).stem)}x0"
            assert {hit.source for hit in engine.search(marker, max_tokens=60).evidence} == {source}
        (collection,) = engine.status()["collections"] or [{"chunks": 0}]
        for index in engine.status()["indexes"]:
            assert index["vectors"] == index["texts"] == collection["chunks"]


def test_d1_twenty_kills_of_an_ingest_run_lose_nothing_that_was_acknowledged(tmp_path):
    rng = random.Random(20261122)
    texts = _write_corpus(tmp_path / "corpus", rng)
    with open_engine(settings=hashing(tmp_path / "whole")) as engine:
        whole = {item.source: item.chunks for item in engine.ingest([tmp_path / "corpus"]).documents}

    data_dir, acknowledged, ended = tmp_path / "killed", set[str](), 0
    with ExitStack() as stack:
        waiting = stack.enter_context(closing(Run(tmp_path / "corpus")))
        for number in range(KILLS):
            run, waiting = waiting, stack.enter_context(closing(Run(tmp_path / "corpus")))
            run.start(data_dir)
            left = FILES - len(acknowledged)
            seen, done = run.kill_behind(min(left, rng.randint(0, MOST_ACKNOWLEDGED)), rng.uniform(0.0, 0.1))
            acknowledged |= seen
            ended += done
            _check(data_dir, texts, acknowledged, whole)
            if len(acknowledged) == FILES:  # all there: start over, so that every kill meets a run at work
                data_dir, acknowledged = tmp_path / f"killed{number}", set()
    assert ended < KILLS / 2, "most kills must meet a run that is at work"

    with open_engine(settings=hashing(data_dir)) as engine:
        report = engine.ingest([tmp_path / "corpus"])
        unchanged = {item.source for item in report.documents if item.status is DocumentStatus.UNCHANGED}
        assert acknowledged <= unchanged
        assert not report.failed
    _check(data_dir, texts, set(texts), whole)
