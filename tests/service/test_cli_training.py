"""`fovea train` as a person starts it, in this process and killed in one of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.service.training_examples import CHINESE, ENGLISH, wrong_weights

ROOT = Path(__file__).parents[2]
STEPS = "--steps=25"


@pytest.fixture
def folder(samples, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(samples, tmp_path / "data"))
    monkeypatch.setenv("FOVEA_DATA_DIR", str(folder))
    monkeypatch.setenv("FOVEA_ENCODER__MODEL", "hashing")
    monkeypatch.setenv("FOVEA_ENCODER__WEIGHTS", str(wrong_weights(tmp_path / "wrong.safetensors")))
    return folder


@pytest.fixture
def fovea(fovea, folder):
    """Run a command on that folder: (status, stdout, stderr)."""
    return fovea


def test_before_and_after_stand_side_by_side(fovea, folder):
    status, out, err = fovea("train", ENGLISH, STEPS, "--seeds", "2")
    assert status == 0, err
    assert "default (12 questions), before" in out and "default (12 questions), after" in out
    assert "nDCG@10" in out and "gain (95 % interval)" in out
    assert "Seed 0: loss on held-out documents" in out and "2 seeds: mean" in out
    assert "The new weights are saved: better on the held-out questions" in out
    assert "set it to auto, and the new ones are used" in out  # the settings of this test name a file
    assert len(list((folder / "weights").glob("*.safetensors"))) == 1


def test_json_is_one_document_and_the_command_is_kept(fovea, tmp_path):
    status, out, _ = fovea("train", ENGLISH, STEPS, "--json", "--output", tmp_path / "out")
    report = json.loads(out)
    assert status == 0 and report["outcome"] == "replaced" and report["weights"].endswith("hashing.safetensors")
    manifest = json.loads((tmp_path / "out" / "hashing.json").read_text())
    assert manifest["command"] == f"fovea train {ENGLISH} {STEPS} --json --output {tmp_path / 'out'}"


def test_files_and_collections_go_together_in_their_order(fovea):
    status, out, _ = fovea("train", ENGLISH, CHINESE, "--collection", "default", "--collection", "chinese", "--steps=0")
    assert status == 0
    assert "chinese (" in out and "all collections, after" in out
    assert "The old weights are kept: not better on the held-out questions" in out


def test_without_labels_the_documents_ask(fovea):
    status, out, _ = fovea("train", "--self-supervised", "--made", "60", STEPS, "--dry-run")
    assert status == 0 and "were made from the documents" in out
    assert "Nothing is saved (--dry-run)" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "There are 0 files of questions and 1 collections"),
        (["train", ENGLISH, CHINESE], "name one --collection a file"),
        (["train", ENGLISH, "--collection", "a", "--collection", "a", "--self-supervised"], "named twice"),
        (["train", "nowhere.jsonl"], "cannot be read"),
        (["train", ENGLISH, "--adapt"], "leave out --adapt"),
        (["train", ENGLISH, "--collection", "nowhere"], "no collection"),
    ],
)
def test_what_makes_no_sense_is_said(fovea, arguments, words):
    status, _, err = fovea(*arguments)
    assert status == 2 and words in err


# -- killed ----------------------------------------------------------------------------------------------------------

LONG = ("train", str(ENGLISH), "--steps", "24", "--seeds", "2")  # a checkpoint is written at step 20


def started(folder, output):
    environment = os.environ | {"FOVEA_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    code = "from service.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *LONG, "--output", str(output)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended_in_training(folder, output, with_signal):
    """Start the command and end it as soon as it has written a checkpoint; what it said on stderr."""
    process = started(folder, output)
    while not list((folder / "training").glob("*-seed0.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(with_signal)
    return process.communicate(timeout=100)[1]


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(folder, tmp_path):
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    _, err = started(whole, tmp_path / "a").communicate(timeout=100)
    assert (tmp_path / "a").exists(), err
    ended_in_training(folder, tmp_path / "b", signal.SIGKILL)
    assert not (tmp_path / "b").exists()
    _, err = started(folder, tmp_path / "b").communicate(timeout=100)
    assert (tmp_path / "b").exists(), err
    unbroken, resumed = ((tmp_path / name / "hashing.safetensors").read_bytes() for name in "ab")
    assert unbroken == resumed
    assert not (folder / "training").exists()


def test_ctrl_c_says_that_the_run_can_go_on(folder, tmp_path):
    said = ended_in_training(folder, tmp_path / "out", signal.SIGINT)
    assert "interrupted; what was finished is kept, start it again to go on" in said
    assert list((folder / "training").glob("*-seed0.safetensors")) and not (tmp_path / "out").exists()
