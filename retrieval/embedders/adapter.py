"""An adapter: trained weights for the top layers of an encoder, in place of those it came with.

Token vectors of a general encoder are a by-product of its sentence vectors. Training its last few layers on questions
and their evidence (`attention_core/training.py`) makes token vectors that attention can use, while a term of the loss
holds the sentence vectors where they were. So one forward pass still serves both, and ingestion costs what it did.

An adapter is one safetensors file in half precision (three layers of multilingual-e5-small: 10.6 MB) beside a manifest
`<name>.json` with the fingerprint of the weights it was trained on, its sha256, and where it came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter file. `base` is the fingerprint of the encoder it fits, `layers` how many it replaces."""

    path: Path
    base: str
    layers: int
    sha256: str

    @property
    def digest(self) -> str:
        """Eight hex digits that name the adapter in model ids and folder names."""
        return self.sha256[:8]


def read_adapter(path: Path) -> Adapter:
    """The adapter at `path` with its manifest; raises ConfigurationError where either is missing or was altered."""
    try:
        manifest = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        adapter = Adapter(path, str(manifest["base"]), int(manifest["layers"]), str(manifest["sha256"]))
        data = path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"Cannot read the adapter {path} and its manifest ({error}); reinstall it.") from error
    if hashlib.sha256(data).hexdigest() != adapter.sha256:
        raise ConfigurationError(f"The adapter {path} is not the file that its manifest describes; reinstall it.")
    return adapter


def save_adapter(path: Path, top: nn.Module, base: str, about: Mapping[str, Any]) -> Adapter:
    """Write the layers `top` (a ModuleList) for the encoder with fingerprint `base`; `about` goes into the manifest."""
    import torch
    from safetensors.torch import save

    layers = len(list(top.children()))
    data = save({name: value.detach().to(torch.float16).contiguous() for name, value in top.state_dict().items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    manifest = {"base": base, "layers": layers, **about, "sha256": hashlib.sha256(data).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return read_adapter(path)


def check_base(adapter: Adapter, fingerprint: str) -> None:
    """Raise ConfigurationError where the adapter was trained on other weights than those with `fingerprint`."""
    if fingerprint != adapter.base:
        raise ConfigurationError(
            f"The adapter {adapter.path} was trained on the encoder with fingerprint {adapter.base}, this one has "
            f"{fingerprint}; set encoder.weights to 'untrained', or train one with `fovea train --adapt`."
        )


def apply_adapter(model: SentenceTransformer, adapter: Adapter, fingerprint: str) -> None:
    """Load an adapter's weights into a model whose weights have `fingerprint`.

    Raises ConfigurationError where it was trained on other weights.
    """
    from safetensors.torch import load

    check_base(adapter, fingerprint)
    tensors = load(adapter.path.read_bytes())
    top = top_layers(model, adapter.layers)
    try:
        top.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise ConfigurationError(f"The adapter {adapter.path} does not fit the encoder: {error}") from error


def transformer_layers(model: SentenceTransformer) -> nn.ModuleList:
    """The layers of a BERT-like model, lowest first. Raises ConfigurationError for another architecture."""
    from torch import nn

    layers = getattr(getattr(transformer(model), "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList):
        raise ConfigurationError("Only encoders of the BERT family can be adapted; train without --adapt.")
    return layers


def transformer(model: SentenceTransformer) -> Any:
    """The Hugging Face model inside."""
    first: Any = model[0]
    return getattr(first, "auto_model", None) or first.model


def top_layers(model: SentenceTransformer, count: int) -> nn.ModuleList:
    """The last `count` layers, themselves, not copies."""
    from torch import nn

    layers = transformer_layers(model)
    if not 1 <= count <= len(layers):
        raise ConfigurationError(f"The encoder has {len(layers)} layers; {count} of them cannot be replaced.")
    return nn.ModuleList(list(layers)[-count:])
