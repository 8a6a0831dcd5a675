"""The files that the reranker's weights are kept in: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attention_core.projection import fit_projection
from attention_core.scorer import WEIGHTS, Forms, ScorerWeights, find_scorer, load_scorer, rounded, save_scorer
from domain.calibration import ScoreMap, Thresholds
from domain.errors import ConfigurationError
from domain.training import Levels

LEVELS = Levels(
    {"en": ScoreMap(1.5, -0.25, 0.5, ((0.1, 0.2), (0.8, 0.9)))},
    {"en": Thresholds(0.1, 0.25), "zh": Thresholds(0.2, 0.3)},
    {"en": 0.05, "zh": 0.1},
    40,
)


def weights() -> ScorerWeights:
    rows = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    forms = Forms(np.arange(5, dtype=np.float32), np.arange(4, dtype=np.float32) + 0.5, -3.25, -2.5)
    gate = rows[0]
    return ScorerWeights(fit_projection(rows, 2), gate, forms, dense_floor=0.7, levels=LEVELS, scaled=True)


def test_what_is_saved_comes_back_and_is_named_by_its_content(tmp_path: Path) -> None:
    given = weights()
    back = save_scorer(given, tmp_path / "new" / "toy.safetensors", {"encoder": "toy", "trained": True})
    assert back.projection is not None and given.projection is not None
    np.testing.assert_allclose(back.projection.matrix, given.projection.matrix, atol=1e-3)
    np.testing.assert_array_equal(back.gate, given.gate)
    np.testing.assert_array_equal(back.forms.sentence, given.forms.sentence)
    assert (back.forms.sentence_bias, back.forms.chunk_bias) == (-3.25, -2.5)
    assert (back.dense_floor, back.levels, back.adapter) == (0.7, LEVELS, None)
    assert back.about["trained"] is True and back.about["sha256"].startswith(back.digest) and len(back.digest) == 8
    other = save_scorer(replace(given, gate=None), tmp_path / "other.safetensors", {"encoder": "toy"})
    assert other.gate is None and other.digest != back.digest


def test_rounded_weights_are_those_that_a_file_gives_back(tmp_path: Path) -> None:
    given = rounded(weights())
    back = save_scorer(given, tmp_path / "toy.safetensors", {"encoder": "toy"})
    assert given.projection is not None and back.projection is not None
    assert given.projection.digest == back.projection.digest


def test_weights_without_a_projection_and_without_a_scale(tmp_path: Path) -> None:
    bare = ScorerWeights(projection=None, dense_floor=0.5, scaled=False)
    back = save_scorer(bare, tmp_path / "toy.safetensors", {"encoder": "toy"})
    assert back.projection is None and back.levels is None and back.scaled is False


def test_the_adapter_lies_beside_the_weights(tmp_path: Path) -> None:
    about = {"encoder": "toy", "adapter": "toy-adapter.safetensors"}
    back = save_scorer(weights(), tmp_path / "toy.safetensors", about)
    assert back.adapter == tmp_path / "toy-adapter.safetensors"


@pytest.mark.parametrize("damage", ["weights", "manifest", "missing", "levels", "half"])
def test_damaged_weights_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "toy.safetensors"
    save_scorer(weights(), path, {"encoder": "toy"})
    manifest = path.with_suffix(".json")
    if damage == "weights":
        path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    elif damage == "manifest":
        manifest.write_text("{}")
    elif damage == "levels":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"levels": {"maps": {}}}))
    elif damage == "half":
        manifest.write_text(manifest.read_text()[:40])
    else:
        path.unlink()
    with pytest.raises(ConfigurationError, match="toy"):
        load_scorer(path)


def test_levels_of_one_pair_of_thresholds_hold_for_both_languages() -> None:
    data = LEVELS.to_dict() | {"thresholds": {"mass_per_token": 0.1, "abstain_below": 0.25}, "target": 0.05}
    del data["targets"]
    levels = Levels.from_dict(data)
    assert levels.targets == {"en": 0.05, "zh": 0.05}
    assert levels.thresholds == {"en": Thresholds(0.1, 0.25), "zh": Thresholds(0.1, 0.25)}
    assert Levels.from_dict(LEVELS.to_dict()) == LEVELS


def save(folder: Path, stem: str, encoder: str, **about: object) -> None:
    save_scorer(weights(), folder / f"{stem}.safetensors", {"encoder": encoder, "stem": stem, **about})


def found(encoder: str, folder: Path, **options: bool) -> str | None:
    weights_found = find_scorer(encoder, folder, **options)
    return weights_found and weights_found.about["stem"]


def test_the_newest_trained_weights_of_an_encoder_are_found(tmp_path: Path) -> None:
    save(tmp_path, "a", "toy")
    save(tmp_path, "z", "toy", trained=True, trained_at="2026-01-01T00:00:00+00:00")
    save(tmp_path, "b", "toy", trained=True, trained_at="2026-03-01T00:00:00+00:00")
    save(tmp_path, "other", "toy-large", trained=True)
    (tmp_path / "b-adapter.json").write_text('{"base": "abc", "layers": 3}')  # the manifest of an adapter is none
    assert found("toy", tmp_path) == found("hub/toy", tmp_path) == found("toy/abc/torch", tmp_path) == "b"
    assert found("toy", tmp_path, trained=False) == "a"
    assert found("toy-large", tmp_path) == "other" and found("toy-large", tmp_path, trained=False) is None
    assert found("small-toy", tmp_path) is None and find_scorer("toy", tmp_path / "nowhere") is None


def test_files_without_a_manifest_are_not_found(tmp_path: Path) -> None:
    """A kill between both files leaves the older weights in use."""
    save(tmp_path, "a", "toy", trained=True, trained_at="2026-01-01")
    save(tmp_path, "b", "toy", trained=True, trained_at="2026-02-01")
    (tmp_path / "b.json").rename(tmp_path / "b.json.draft")
    assert found("toy", tmp_path) == "a"


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_text('{"kind": "sco')
    with pytest.raises(ConfigurationError, match=r"toy\.json"):
        find_scorer("toy", tmp_path)


def test_all_shipped_weights_match_their_manifests() -> None:
    files = sorted(WEIGHTS.glob("*.json"))
    scorers = [path for path in files if json.loads(path.read_text(encoding="utf-8")).get("kind") == "scorer"]
    assert scorers
    for path in scorers:
        shipped = load_scorer(path.with_suffix(".safetensors"))
        assert shipped.projection is not None and shipped.dense_floor is not None
        assert shipped.adapter is None or shipped.adapter.is_file()
    untrained = find_scorer("multilingual-e5-small", trained=False)
    assert untrained is not None and untrained.projection is not None and untrained.dense_floor == 0.75
    matrix = untrained.projection.matrix
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(untrained.projection.dim), atol=2e-3)
