"""A random BERT of two small layers in a sentence-transformers folder, with a word-level vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

_MODULE = "sentence_transformers.models."
_PIECES = Regex(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]")  # a Chinese character, a word, a mark


def write_tiny_model(folder: Path, texts: Iterable[str], *, seed: int = 0, pooling: str = "mean") -> Path:
    """Write the model; its vocabulary are the words of `texts`, lower case."""
    tokenizer = Tokenizer(models.WordLevel({}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_PIECES, "removed", invert=True)
    words = {word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text.lower())}
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)])}
    tokenizer.model = models.WordLevel(vocabulary, unk_token="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **special)
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    BertModel(config).save_pretrained(folder)
    _write_modules(folder, pooling)
    return folder


def _write_modules(folder: Path, pooling: str) -> None:
    (folder / "1_Pooling").mkdir()
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    (folder / "2_Normalize").mkdir()
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": at, "name": str(at), "path": path, "type": _MODULE + kind} for at, (path, kind) in enumerate(kinds)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": 32,
            "pooling_mode_cls_token": pooling == "cls",
            "pooling_mode_mean_tokens": pooling == "mean",
        },
        "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
