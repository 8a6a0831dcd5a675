"""The reference encoder: any sentence-transformers model, run by torch in float32.

The modules of the model (transformer, pooling, perhaps dense and normalise) are called one after the other on batches
that the product tokenises itself, because `SentenceTransformer.encode` gives no character offsets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.errors import ConfigurationError
from domain.search import FloatArray
from retrieval.embedders.adapter import Adapter, apply_adapter
from retrieval.embedders.encoder import PAD_TO, EncoderSpec
from retrieval.embedders.foreign_folder import check_foreign_folder
from retrieval.embedders.model_folder import weights_fingerprint

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

_DOWNLOADED = ("*.json", "*.txt", "*.model", "*.safetensors")  # nothing that runs code when it is read
_NOT_NEEDED = ("onnx/*", "openvino/*")


def resolve_folder(name: str) -> Path:
    """The local folder of a model: a path as it is, else a name on the Hugging Face hub, from its cache or downloaded.

    The hub's library honours `HF_HUB_OFFLINE`. Raises ConfigurationError when there is neither.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hub_name = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(snapshot_download(hub_name, allow_patterns=list(_DOWNLOADED), ignore_patterns=list(_NOT_NEEDED)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ConfigurationError(
            f"The encoder {name!r} is neither a folder on this machine nor a model that the Hugging Face hub gives "
            f"out ({type(error).__name__}). Check the name and the network, or give the path of a folder."
        ) from error


def load_model(folder: Path, device: str = "cpu", adapter: Adapter | None = None) -> SentenceTransformer:
    """Load a folder, and the layers of `adapter` into it, without network, foreign code or pickle.

    Raises ConfigurationError when one of them cannot be used.
    """
    check_foreign_folder(folder)
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        with quiet():
            model = SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        raise ConfigurationError(f"The model in {folder} cannot be loaded: {error}") from error
    if any(getattr(module, "include_prompt", True) is False for module in model):
        raise ConfigurationError(f"The model in {folder} leaves its prompt out of the pooling, which is not supported.")
    if adapter is not None:
        apply_adapter(model, adapter, weights_fingerprint(folder))
    return model.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the loader: it draws a progress bar and reports a pooler without weights, which no model here uses."""
    from transformers.utils import logging as library_log

    logging: Any = library_log  # it has no annotations

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def model_tokenizer(model: SentenceTransformer) -> Tokenizer:
    """The model's own fast tokenizer, without truncation and padding."""
    from tokenizers import Tokenizer

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigurationError("The model has no fast tokenizer (tokenizer.json); token offsets need one.")
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def adapted_fingerprint(folder: Path, adapter: Adapter | None) -> str:
    """What names the weights of a folder together with those of an adapter."""
    fingerprint = weights_fingerprint(folder)
    return f"{fingerprint}-{adapter.digest}" if adapter else fingerprint


def model_spec(model: SentenceTransformer, folder: Path, name: str, adapter: Adapter | None = None) -> EncoderSpec:
    """What the encoder must know of a loaded model. Prompts are the model's own, else those every E5 model needs."""
    prompts = {key: value for key, value in (model.prompts or {}).items() if value}
    known = {"query": "query: ", "document": "passage: "} if re.search(r"(^|[-_/])e5[-_]", name.lower()) else {}
    found = known | prompts
    longest = int(model.get_max_seq_length() or 512)
    probe = TorchForward(model)(np.full((1, PAD_TO), 5, dtype=np.int64), np.ones((1, PAD_TO), dtype=np.int64))
    return EncoderSpec(
        name=name,
        fingerprint=adapted_fingerprint(folder, adapter),
        dim=int(probe[1].shape[1]),
        max_length=max(PAD_TO, longest // PAD_TO * PAD_TO),
        pad_id=int(getattr(model.tokenizer, "pad_token_id", 0) or 0),
        query_prompt=found.get("query", ""),
        document_prompt=found.get("document", found.get("passage", "")),
    )


def run_modules(modules: Iterable[Any], ids: Any, mask: Any) -> tuple[Any, Any]:
    """Token states (B, T, H) and sentence vectors (B, D) as torch tensors, for tensors ids and mask of shape (B, T)."""
    features = {"input_ids": ids, "attention_mask": mask}
    for module in modules:
        features = module(features)
    return features["token_embeddings"], features["sentence_embedding"]


class TorchForward:
    """A forward pass in torch. `threads` sets torch's number of threads, which is one for the whole process."""

    family = "torch-f32"

    def __init__(self, model: SentenceTransformer, threads: int | None = None) -> None:
        import torch

        self._torch, self._model = torch, model
        if threads is not None:
            torch.set_num_threads(threads)

    def __call__(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        device = self._model.device
        with self._torch.inference_mode():
            states, pooled = run_modules(
                self._model, self._torch.from_numpy(ids).to(device), self._torch.from_numpy(mask).to(device)
            )
        return states.float().cpu().numpy(), pooled.float().cpu().numpy()
