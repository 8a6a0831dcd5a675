"""kill -9 in the middle of a batch, again and again, for `fovea batch` and for a batch that the server runs: every
question gets one result, in its place, and only what was being asked at a kill is asked again.
"""

from __future__ import annotations

import csv
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager

import httpx
import pytest

from fovea.client import Client
from tests.end_to_end.product import FOVEA, environment, fovea, fovea_json

SEED = int(os.environ.get("FOVEA_TEST_SEED", "7"))
SIDE_BY_SIDE = 4  # questions under way
SIZES = [
    pytest.param(60, 4, id="60 questions, 4 kills"),
    pytest.param(500, 20, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)], id="500 questions, 20 kills"),
]
# A generator that notes each question it is asked, and takes its time: a kill finds the run at work.
SLOW_PART = """
import os, time
from domain.answers import Usage

class Slow:
    model, context_window, max_output_tokens = "slow", 8192, 512

    def generate(self, context):
        with open(os.environ["ASKED"], "a") as file:
            file.write(context.question + "\\n")
        time.sleep(0.05)
        yield f"The answer to {context.question} stands here [1]."

    def count_tokens(self, text):
        return len(text.split())
"""


class Product:
    """The product over a corpus of boxes, with a model that notes what it is asked."""

    def __init__(self, folder, boxes):
        self.folder, self.asked = folder, folder / "asked.txt"
        (folder / "slow_part.py").write_text(SLOW_PART)
        (folder / "boxes.txt").write_text("\n\n".join(f"The code of box {n} is X{n}Y." for n in range(boxes)))
        self.part = {
            "FOVEA_GENERATION__GENERATOR": "slow_part:Slow",
            "PYTHONPATH": os.pathsep.join((environment()["PYTHONPATH"], str(folder))),
            "FOVEA_DATA_DIR": str(folder / "data"),
            "ASKED": str(self.asked),
        }
        assert fovea("ingest", folder / "boxes.txt", **self.part).returncode == 0

    def start(self, *command, **pipes):
        """A child in a session of its own, so that all of it dies."""
        return subprocess.Popen(
            [*FOVEA, *map(str, command)], env=environment(**self.part), start_new_session=True, **pipes
        )

    @property
    def calls(self):
        return Counter(self.asked.read_text().splitlines()) if self.asked.exists() else Counter()

    @contextmanager
    def serving(self):
        """The address of a server that is killed in the end."""
        log = self.folder / "server.log"  # a pipe that nobody reads would stop the server once it is full
        with log.open("w") as file:
            child = self.start("serve", "--port", "0", stderr=file)
        try:
            while (address := re.search(r"listens on (\S+)\n", log.read_text())) is None:
                assert child.poll() is None, log.read_text()
                time.sleep(0.02)
            yield address[1]
        finally:
            kill(child)


def kill(child):
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def question_of(number, boxes):
    return f"What is the code of box {number % boxes}?"  # some are asked twice


@pytest.mark.parametrize(("questions", "kills"), SIZES)
def test_c10_a_batch_run_that_is_killed_again_and_again_comes_to_its_end(tmp_path, questions, kills):
    boxes = questions * 5 // 6
    product = Product(tmp_path, boxes)
    with (tmp_path / "questions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "Question", "备注"])
        writer.writerows([number, question_of(number, boxes), f"行 {number}"] for number in range(questions))
    output = tmp_path / "answers.csv"
    command = ("batch", tmp_path / "questions.csv", "-o", output)
    rng = random.Random(SEED)
    for _ in range(kills):
        child = product.start(*command, stderr=subprocess.DEVNULL)
        wanted = journal_lines(output) + rng.randint(1, questions // (2 * kills))
        while child.poll() is None and journal_lines(output) < wanted:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.05))
        assert child.poll() is None, f"the kill must meet a run at work, seed {SEED}"
        kill(child)
        assert not output.exists(), "the output appears whole or not at all"

    answered = journal_lines(output) - 1  # without the head
    summary = fovea_json(*command, **product.part)
    assert {"rows": questions, "failed": 0, "abstained": 0}.items() <= summary.items()
    assert answered - 1 <= summary["resumed"] <= answered  # the last line may be torn

    with output.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == [str(number) for number in range(questions)]
    assert [row["Question"] for row in rows] == [question_of(number, boxes) for number in range(questions)]
    assert [row["备注"] for row in rows] == [f"行 {number}" for number in range(questions)]
    assert all(f"The answer to {row['Question']} stands here" in row["answer"] for row in rows)
    # Asked again is what was under way, and what was answered and waited for its turn to be written down.
    assert product.calls.total() <= boxes + kills * 2 * SIDE_BY_SIDE
    assert not output.with_name("answers.csv.journal").exists()

    before = output.read_bytes()
    again = fovea_json(*command, **product.part)
    assert (again["resumed"], output.read_bytes()) == (questions, before)
    assert product.calls.total() <= boxes + kills * 2 * SIDE_BY_SIDE


def journal_lines(output):
    journal = output.with_name(output.name + ".journal")
    return len(journal.read_bytes().splitlines()) if journal.exists() else 0


@pytest.mark.parametrize(("questions", "kills"), SIZES)
def test_c10_a_batch_on_a_server_that_is_killed_again_and_again_comes_to_its_end(tmp_path, questions, kills):
    boxes = questions * 5 // 6
    product = Product(tmp_path, boxes)
    wanted = [question_of(number, boxes) for number in range(questions)]
    with product.serving() as url, Client(url) as client:
        batch = client.create_batch(wanted, idempotency_key="the batch")
    rng = random.Random(SEED)
    recorded = 0
    for _ in range(kills):
        with product.serving() as url, Client(url) as client:
            goal = recorded + rng.randint(1, questions // (2 * kills))
            while (info := client.get_batch(batch.id)).answered < goal:
                assert info.status in ("queued", "running"), f"the kill must meet a batch at work, seed {SEED}"
                time.sleep(0.01)
            recorded = info.answered
            time.sleep(rng.uniform(0.0, 0.05))
    with product.serving() as url, Client(url) as client:
        assert client.create_batch(wanted, idempotency_key="the batch").id == batch.id, "c12: it was safe to ask again"
        done = client.wait_for_batch(batch.id)
        results = client.batch_results(batch.id)
        assert len(client.list_batches()) == 1
        as_csv = httpx.get(f"{url}/v1/batches/{batch.id}/results", params={"format": "csv"}).text
    assert (done.status, done.total, done.answered, done.failed) == ("ready", questions, questions, 0)
    assert [row["question"] for row in results] == wanted, "one result each, in its place"
    assert all(f"The answer to {row['question']} stands here" in row["answer"] for row in results)
    assert as_csv.count("stands here") >= questions
    assert set(product.calls) == set(wanted)
    assert product.calls.total() <= boxes + kills * SIDE_BY_SIDE, f"seed {SEED}"
    print(f"\n{questions} results of {product.calls.total()} calls for {boxes} questions, {kills} kills, seed {SEED}")
