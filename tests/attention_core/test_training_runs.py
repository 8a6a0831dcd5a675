"""Training runs: the loss falls, the best state wins, and a run that was killed ends where it would have ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attention_core.scorer import ScorerWeights
from attention_core.training import Progress, TrainingOptions, TrainingResult, train
from domain.errors import DomainError, UsageError
from tests.attention_core.training_examples import Top, start_weights, training_set

OPTIONS = TrainingOptions(steps=24, questions=4, negatives=2, rate=3e-3, check_every=8)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of the run may react to it."""


def killed_at(step: int) -> Callable[[Progress], None]:
    def follow(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return follow


def run(path: Path, layers: Top | None, start: ScorerWeights, follow=lambda step: None, **options) -> TrainingResult:
    return train([training_set(10)], start, layers, layers, replace(OPTIONS, **options), path, follow)


def everything(result: TrainingResult, layers: Top | None) -> list[np.ndarray]:
    weights = result.weights
    parts = [weights.gate, weights.forms.sentence, weights.forms.chunk]
    if weights.projection is not None:
        parts += [weights.projection.mean, weights.projection.matrix]
    if layers is not None:
        parts += [value.numpy() for value in layers.state_dict().values()]
    return [np.asarray(part).copy() for part in parts]


@pytest.mark.parametrize("learns", [True, False])
def test_the_loss_on_held_out_documents_falls(tmp_path: Path, learns: bool) -> None:
    result = run(tmp_path / "run.safetensors", Top() if learns else None, start_weights(learns))
    assert result.after < result.before - 0.01
    assert result.best_step in (8, 16, 24)


def test_without_layers_the_projection_stays_and_only_gate_and_forms_learn(tmp_path: Path) -> None:
    start, top = start_weights(), Top()
    result = train([training_set(10)], start, None, top, OPTIONS, tmp_path / "run.safetensors")
    assert result.weights.projection is not None and start.projection is not None
    np.testing.assert_array_equal(result.weights.projection.matrix, start.projection.matrix)
    np.testing.assert_array_equal(result.weights.projection.mean, start.projection.mean)
    assert torch.equal(top.linear.weight.detach(), torch.eye(len(top.linear.weight)))
    assert result.weights.gate is not None and np.abs(result.weights.gate).max() > 0
    assert not np.array_equal(result.weights.forms.sentence, start.forms.sentence)


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize(("at", "saved"), [(9, 8), (22, 20), (24, 24)])
def test_a_killed_run_that_is_started_again_gives_the_same_bits(
    tmp_path: Path, learns: bool, at: int, saved: int
) -> None:
    """Killed behind a check, behind a checkpoint between two checks, and behind the last step."""
    layers = Top() if learns else None
    whole = everything(run(tmp_path / "whole.safetensors", layers, start_weights(learns)), layers)
    broken = Top() if learns else None
    with pytest.raises(Killed):
        run(tmp_path / "broken.safetensors", broken, start_weights(learns), killed_at(at))
    again = Top() if learns else None
    steps: list[int] = []
    result = run(tmp_path / "broken.safetensors", again, start_weights(learns), lambda one: steps.append(one.step))
    assert steps == list(range(saved + 1, 25))
    for one, other in zip(whole, everything(result, again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_that_has_ended_ends_again_at_once_with_the_same_result(tmp_path: Path) -> None:
    first = run(tmp_path / "run.safetensors", None, start_weights(False))
    steps: list[int] = []
    second = run(tmp_path / "run.safetensors", None, start_weights(False), lambda one: steps.append(one.step))
    assert steps == [] and (second.before, second.after, second.best_step) == (
        first.before,
        first.after,
        first.best_step,
    )
    np.testing.assert_array_equal(first.weights.gate, second.weights.gate)


def test_the_checkpoint_of_another_run_is_not_continued(tmp_path: Path) -> None:
    run(tmp_path / "run.safetensors", None, start_weights(False))
    steps: list[int] = []
    run(tmp_path / "run.safetensors", None, start_weights(False), lambda one: steps.append(one.step), seed=1)
    assert steps[0] == 1


@pytest.mark.parametrize("damage", [b"", b"\x00" * 100])
def test_a_damaged_checkpoint_means_a_new_start(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "run.safetensors").write_bytes(damage)
    steps: list[int] = []
    run(tmp_path / "run.safetensors", None, start_weights(False), lambda one: steps.append(one.step))
    assert steps[0] == 1


def test_a_run_that_only_gets_worse_stops_early_and_returns_what_it_started_from(tmp_path: Path) -> None:
    start, steps = start_weights(), list[int]()
    harmful = replace(OPTIONS, rate=30.0, check_every=5, patience=1, steps=1000)
    source, top = training_set(noise=0.05), Top()  # nearly solved at the start, so that noise can only harm
    path = tmp_path / "run.safetensors"
    result = train([source], start, top, top, harmful, path, lambda one: steps.append(one.step))
    assert steps[-1] == 10  # the second check without improvement
    assert result.best_step == 0 and result.after == result.before
    assert result.weights.projection is not None and start.projection is not None
    np.testing.assert_array_equal(result.weights.projection.matrix, start.projection.matrix)
    np.testing.assert_array_equal(result.weights.gate, np.zeros(len(start.projection.mean), np.float32))


def test_seeds_lead_to_different_weights(tmp_path: Path) -> None:
    first, second = (run(tmp_path / f"{seed}.safetensors", None, start_weights(False), seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.weights.gate, second.weights.gate)


def test_no_step_changes_nothing(tmp_path: Path) -> None:
    start = start_weights(False)
    result = run(tmp_path / "run.safetensors", None, start, steps=0)
    np.testing.assert_array_equal(result.weights.forms.sentence, start.forms.sentence)
    assert result.before == result.after


def test_sets_without_questions_to_learn_from_or_to_hold_out_are_refused(tmp_path: Path) -> None:
    full = training_set()
    for source in (replace(full, examples=[]), replace(full, held_out=[])):
        with pytest.raises(UsageError, match="too few"):
            train([source], start_weights(), None, None, OPTIONS, tmp_path / "run.safetensors")


def test_layers_do_not_learn_without_a_projection(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="projection"):
        run(tmp_path / "run.safetensors", Top(), start_weights(False))
