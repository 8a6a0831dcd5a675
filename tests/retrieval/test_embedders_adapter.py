"""Trained top layers: kept in a file, laid over the right encoder and no other, on both backends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertModel

from domain.documents import Passage
from domain.errors import ConfigurationError
from retrieval.embedders.adapter import Adapter, apply_adapter, read_adapter, save_adapter, top_layers
from retrieval.embedders.factory import build_encoder, build_split_encoder
from retrieval.embedders.model_folder import weights_fingerprint
from retrieval.embedders.sentence_transformer import load_model
from retrieval.embedders.split import SplitEncoder
from tests.retrieval.tiny_model import write_tiny_model

TEXTS = ("The tenant pays the deposit.", "Light turns into energy.", "租金在每月一日支付。")
PASSAGES = [Passage(text, lead="Deposit" if at else "") for at, text in enumerate(TEXTS * 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"), TEXTS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def split(folder: Path, layers: int = 1, adapter: Path | None = None) -> SplitEncoder:
    return build_split_encoder(str(folder), folder, layers, adapter)


def trained(folder: Path, path: Path, layers: int = 1) -> Adapter:
    """An adapter whose layers differ from the encoder's."""
    encoder = split(folder, layers)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in encoder.layers.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return save_adapter(path, encoder.layers, encoder.spec.fingerprint, {"seed": 3})


def test_a_saved_adapter_comes_back_with_what_is_known_of_it(folder: Path, tmp_path: Path) -> None:
    adapter = trained(folder, tmp_path / "new" / "a.safetensors")
    assert read_adapter(adapter.path) == adapter
    assert (adapter.layers, adapter.base) == (1, weights_fingerprint(folder))
    assert adapter.digest == adapter.sha256[:8]
    assert json.loads(adapter.path.with_suffix(".json").read_text())["seed"] == 3


def test_applied_layers_are_the_saved_ones_to_half_precision(folder: Path, tmp_path: Path) -> None:
    adapter = trained(folder, tmp_path / "a.safetensors")
    model, plain = load_model(folder), load_model(folder)
    apply_adapter(model, adapter, weights_fingerprint(folder))
    encoder = split(folder, 1, adapter.path)
    encoder.round()
    for name, value in top_layers(model, 1).state_dict().items():
        assert torch.equal(value, encoder.layers.state_dict()[name]), name
    assert not torch.equal(
        top_layers(model, 1).state_dict()["0.output.dense.weight"],
        top_layers(plain, 1).state_dict()["0.output.dense.weight"],
    )
    lower = [layer.state_dict()["output.dense.weight"] for layer in (top_layers(model, 2)[0], top_layers(plain, 2)[0])]
    assert torch.equal(*lower)


def test_an_adapter_of_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = trained(folder, tmp_path / "a.safetensors")
    other = write_tiny_model(tmp_path / "other", TEXTS, seed=1)
    for backend in ("torch", "openvino"):
        with pytest.raises(ConfigurationError, match="trained on the encoder with fingerprint"):
            build_encoder(str(other), tmp_path / "models", backend, adapter=adapter.path)


@pytest.mark.parametrize("damage", ["bytes", "manifest", "no manifest", "no file"])
def test_an_altered_adapter_is_refused(folder: Path, tmp_path: Path, damage: str) -> None:
    path = trained(folder, tmp_path / "a.safetensors").path
    if damage == "bytes":
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    elif damage == "manifest":
        path.with_suffix(".json").write_text('{"layers": 1}')
    else:
        (path if damage == "no file" else path.with_suffix(".json")).unlink()
    with pytest.raises(ConfigurationError, match="reinstall"):
        read_adapter(path)


def test_more_layers_than_there_are_cannot_be_cut_off(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="2 layers; 3"):
        split(folder, 3)


@pytest.mark.parametrize("layers", [1, 2])
def test_lower_and_top_layers_together_are_the_encoder(folder: Path, made: Path, layers: int) -> None:
    """The states between are kept in half the bits, which a cosine of .999 allows for."""
    encoder = split(folder, layers)
    plans = encoder.plan_documents(PASSAGES)
    reference = build_encoder(str(folder), made, "torch").encode_documents(PASSAGES)
    seen = []
    for at, bits in encoder.lower([plan.windows[0].ids for plan in plans]):
        states = torch.from_numpy(bits.copy()).view(torch.bfloat16).float()[None]
        output = encoder.read(states, torch.ones(states.shape[:2], dtype=torch.bool))[0][plans[at].windows[0].take]
        expected = reference[at].tokens
        cosines = (output * expected.vectors).sum(1) / np.linalg.norm(output, axis=1)
        assert (cosines >= 0.999).all()
        np.testing.assert_array_equal(plans[at].ids, expected.ids)
        np.testing.assert_array_equal(plans[at].offsets, expected.offsets)
        seen.append(at)
    assert sorted(seen) == list(range(len(PASSAGES)))


def test_padding_changes_no_state(folder: Path) -> None:
    encoder = split(folder)
    states = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    together = encoder.read(states, mask)
    alone = encoder.read(states[1:, :4], mask[1:, :4])
    np.testing.assert_allclose(together[1, :4], alone[0], atol=0.05)  # bfloat16 sums in another order
    assert np.abs(together[1, :4]).max() > 1


def test_only_the_top_layers_learn_and_they_can_be_set_back(folder: Path) -> None:
    encoder = split(folder)
    before = encoder.snapshot()
    output = encoder.top(torch.randn(1, 3, 32), torch.ones(1, 3, dtype=torch.bool))
    output.square().mean().backward()
    assert all(one.grad is not None for one in encoder.layers.parameters())
    with torch.no_grad():
        for parameter in encoder.layers.parameters():
            parameter.zero_()
    encoder.restore(before)
    assert all(torch.equal(value, before[name]) for name, value in encoder.layers.state_dict().items())


def test_an_adapted_encoder_has_a_model_id_of_its_own_and_agrees_on_both_backends(
    folder: Path, made: Path, tmp_path: Path
) -> None:
    adapter = trained(folder, tmp_path / "a.safetensors")
    plain = build_encoder(str(folder), made, "torch")
    adapted = {
        backend: build_encoder(str(folder), made, backend, adapter=adapter.path) for backend in ("torch", "openvino")
    }
    assert f"-{adapter.digest}/" in adapted["torch"].model_id and f"-{adapter.digest}/" in adapted["openvino"].model_id
    assert adapter.digest not in plain.model_id
    texts = zip(*(one.encode_documents(PASSAGES) for one in (*adapted.values(), plain)), strict=True)
    for expected, found, untrained in texts:
        assert expected.vector @ found.vector >= 0.999
        assert ((expected.tokens.vectors * found.tokens.vectors).sum(axis=1) >= 0.999).all()
        assert (expected.tokens.vectors * untrained.tokens.vectors).sum(axis=1).min() < 0.99


def test_training_goes_on_from_all_layers_of_an_adapter(folder: Path, tmp_path: Path) -> None:
    adapter = trained(folder, tmp_path / "a.safetensors", layers=2)
    encoder = split(folder, 1, adapter.path)
    assert len(list(encoder.layers.children())) == 2
    assert encoder.spec.fingerprint == weights_fingerprint(folder)  # of the encoder as it came: that is what it fits


def test_an_encoder_that_does_not_average_its_tokens_cannot_be_trained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not the mean of its tokens"):
        split(write_tiny_model(tmp_path / "cls", TEXTS, pooling="cls"))


def test_another_architecture_cannot_be_trained(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "distil", TEXTS)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = DistilBertConfig(vocab_size=vocabulary, dim=32, hidden_dim=64, n_layers=2, n_heads=4)
    DistilBertModel(config).save_pretrained(folder)
    with pytest.raises(ConfigurationError, match="BERT family"):
        split(folder)
