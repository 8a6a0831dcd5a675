"""kill -9 in the middle of `fovea batch`, again and again: every row is answered once, in its place."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import time

from tests.end_to_end.product import FOVEA, environment, fovea, fovea_json

ROWS = 240
KILLS = 6
# A generator that notes each question it is asked, and takes its time: a kill finds the run at work.
SLOW_PART = """
import os, time
from domain.answers import Usage

class Slow:
    model, context_window, max_output_tokens = "slow", 8192, 512

    def generate(self, context):
        with open(os.environ["ASKED"], "a") as file:
            file.write(context.question + "\\n")
        time.sleep(0.02)
        yield f"The answer to {context.question} stands here [1]."

    def count_tokens(self, text):
        return len(text.split())
"""


def question_of(number):
    return f"What is the code of box {number % 200}?"  # some are asked twice


def write_questions(path):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "Question", "备注"])
        writer.writerows([number, question_of(number), f"行 {number}"] for number in range(ROWS))


def journal_lines(output):
    journal = output.with_name(output.name + ".journal")
    return len(journal.read_bytes().splitlines()) if journal.exists() else 0


def test_a_batch_that_is_killed_again_and_again_comes_to_its_end(tmp_path):
    (tmp_path / "slow_part.py").write_text(SLOW_PART)
    boxes = "\n\n".join(f"The code of box {number} is X{number}Y." for number in range(200))
    (tmp_path / "boxes.txt").write_text(boxes)
    asked = tmp_path / "asked.txt"
    part = {
        "FOVEA_GENERATION__GENERATOR": "slow_part:Slow",
        "PYTHONPATH": os.pathsep.join((environment()["PYTHONPATH"], str(tmp_path))),
        "FOVEA_DATA_DIR": str(tmp_path / "data"),
        "ASKED": str(asked),
    }
    assert fovea("ingest", tmp_path / "boxes.txt", **part).returncode == 0
    write_questions(tmp_path / "questions.csv")
    output = tmp_path / "answers.csv"
    command = ("batch", tmp_path / "questions.csv", "-o", output)
    rng = random.Random(7)
    for _ in range(KILLS):
        child = subprocess.Popen(
            [*FOVEA, *map(str, command)], env=environment(**part), stderr=subprocess.DEVNULL, start_new_session=True
        )
        wanted = journal_lines(output) + rng.randint(1, 25)
        while child.poll() is None and journal_lines(output) < wanted:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.05))
        assert child.poll() is None, "the kill must meet a run at work"
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert not output.exists(), "the output appears whole or not at all"

    answered = journal_lines(output) - 1  # without the head
    summary = fovea_json(*command, **part)
    assert {"rows": ROWS, "failed": 0, "abstained": 0}.items() <= summary.items()
    assert answered - 1 <= summary["resumed"] <= answered  # the last line may be torn

    with output.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == [str(number) for number in range(ROWS)]
    assert [row["Question"] for row in rows] == [question_of(number) for number in range(ROWS)]
    assert [row["备注"] for row in rows] == [f"行 {number}" for number in range(ROWS)]
    assert all(f"The answer to {row['Question']} stands here" in row["answer"] for row in rows)
    # Only what was being asked at a kill was asked again: 4 side by side, and as many answered and waiting their turn.
    assert len(asked.read_text().splitlines()) <= 200 + KILLS * 8
    assert not output.with_name("answers.csv.journal").exists()

    before = output.read_bytes()
    again = fovea_json(*command, **part)
    assert (again["resumed"], output.read_bytes()) == (ROWS, before)
    assert len(asked.read_text().splitlines()) <= 200 + KILLS * 8
