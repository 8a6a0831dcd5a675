"""The weights of the reranker for one encoder: what was fitted or trained, as one safetensors file and its manifest.

    projection     mean (D,) and matrix (D, d): from the encoder's token vectors to the ones that are stored
    gate           (D,): how much more or less than its IDF a token of the question counts
    forms          the linear forms of `evidence.py`, sentences and chunks
    interaction    the network of `interaction.py`, where one was trained
    dense_floor    the cosine that the encoder gives to unrelated texts
    levels         how high a sentence must score to be sent, for collections that were not calibrated

Weights belong to one encoder and, where they were trained together, to one adapter of it (a file beside them that
`retrieval/embedders/adapter.py` reads). The manifest `<name>.json` says which, where they came from, and holds the
sha256 that is checked at load, so that a damaged or exchanged file is refused instead of turning scores into noise.
The manifest holds numbers that are used too, so it carries a sha256 of its own; an older one has none.
The manifest is written last and whole: without it the other files are not found.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from attention_core.evidence import Forms
from attention_core.interaction import InteractionWeights
from attention_core.projection import Projection
from domain.errors import ConfigurationError
from domain.search import FloatArray
from domain.training import Levels

WEIGHTS = Path(__file__).parent / "weights"
KIND = "scorer"
_INTERACTION = "interaction."
_OWN_DIGEST = "manifest_sha256"


@dataclass(frozen=True, slots=True)
class ScorerWeights:
    """See the module. `adapter` is the encoder's, None for an encoder as it came; `digest` names the file, "" for none.

    `levels` None: those of `SelectionPolicy` suit these scores, unless they are not `scaled`, which means that only
    their order is to be believed. `about` is the manifest.
    """

    projection: Projection | None
    gate: FloatArray | None = None
    forms: Forms = field(default_factory=Forms)
    interaction: InteractionWeights | None = None
    dense_floor: float | None = None
    levels: Levels | None = None
    scaled: bool = True
    adapter: Path | None = None
    digest: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


def save_scorer(weights: ScorerWeights, path: Path, about: Mapping[str, Any]) -> ScorerWeights:
    """Write `path` (.safetensors) and its manifest, `about` with the file's sha256; returns them as loaded."""
    tensors = {
        "gate": weights.gate,
        "sentence_form": weights.forms.sentence,
        "chunk_form": weights.forms.chunk,
        "biases": np.array([weights.forms.sentence_bias, weights.forms.chunk_bias], dtype=np.float32),
    }
    if weights.interaction is not None:
        tensors |= {_INTERACTION + name: value for name, value in weights.interaction.tensors().items()}
    if weights.projection is not None:
        tensors |= {"mean": weights.projection.mean, "matrix": weights.projection.matrix}
    data = save({name: _stored(name, value) for name, value in tensors.items() if value is not None})
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = weights.levels.to_dict() if weights.levels else None
    known = {
        "dense_floor": weights.dense_floor,
        "scaled": weights.scaled,
        "levels": levels,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    _write_whole(path, data)
    manifest: dict[str, Any] = json.loads(json.dumps({"kind": KIND, **about, **known}))  # as it will be read
    manifest[_OWN_DIGEST] = _manifest_digest(manifest)
    _write_whole(path.with_suffix(".json"), (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
    return load_scorer(path)


def load_scorer(path: Path) -> ScorerWeights:
    """Read what `save_scorer` wrote. Raises ConfigurationError when a file is missing or not the one described."""
    try:
        manifest = _manifest(path.with_suffix(".json"))
        data = path.read_bytes()
        expected = manifest["sha256"]
    except (OSError, KeyError) as error:
        raise ConfigurationError(f"Cannot read the weights {path} and their manifest ({error}); reinstall.") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise ConfigurationError(f"The weights {path} are not the file their manifest describes; reinstall.")
    try:
        tensors = {name: value.astype(np.float32) for name, value in load(data).items()}
        projection = Projection(tensors["mean"], tensors["matrix"]) if "mean" in tensors else None
        biases = tensors["biases"]
        inside = {name.removeprefix(_INTERACTION): tensors[name] for name in tensors if name.startswith(_INTERACTION)}
        interaction = InteractionWeights.of(inside) if inside else None
        forms = Forms(tensors["sentence_form"], tensors["chunk_form"], float(biases[0]), float(biases[1]))
    except (SafetensorError, KeyError, IndexError) as error:
        raise ConfigurationError(f"The weights {path} lack a part ({error}); reinstall.") from error
    try:
        levels = Levels.from_dict(manifest["levels"]) if manifest.get("levels") else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"The levels in the manifest of {path} are not usable ({error!r}).") from error
    floor = manifest.get("dense_floor")
    adapter = manifest.get("adapter")
    return ScorerWeights(
        projection=projection,
        gate=tensors.get("gate"),
        forms=forms,
        interaction=interaction,
        dense_floor=None if floor is None else float(floor),
        levels=levels,
        scaled=bool(manifest.get("scaled", True)),
        adapter=path.with_name(adapter) if adapter else None,
        digest=expected[:8],
        about=manifest,
    )


def find_scorer(encoder: str, folder: Path = WEIGHTS, *, trained: bool = True) -> ScorerWeights | None:
    """The weights in `folder` for an encoder, or None: the trained ones, the newest first, where `trained` allows them.

    `encoder` is a name, the end of a path, or a model id "name/details": one of its parts between "/" must be the name.
    """
    parts = encoder.split("/")
    found = []
    for path in sorted(folder.glob("*.json")):
        manifest = _manifest(path)
        if manifest.get("kind") == KIND and manifest.get("encoder") in parts:
            known = bool(manifest.get("trained")), str(manifest.get("trained_at", "")), path.with_suffix(".safetensors")
            found.append(known)
    usable = [path for is_trained, _, path in sorted(found, reverse=True) if trained or not is_trained]
    return load_scorer(usable[0]) if usable else None


def _manifest(path: Path) -> dict[str, Any]:
    """A manifest of any kind; raises ConfigurationError for one that cannot be read or was altered."""
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        own = _manifest_digest(manifest)
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"Cannot read the manifest {path} ({error}); remove it, or reinstall.") from error
    if manifest.get(_OWN_DIGEST, own) != own:
        raise ConfigurationError(f"The manifest {path} is not as it was written; remove it, or reinstall.")
    return manifest


def _manifest_digest(manifest: Mapping[str, Any]) -> str:
    """The sha256 of all that a manifest says but this; the layout of the file does not count."""
    said = {name: value for name, value in manifest.items() if name != _OWN_DIGEST}
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _write_whole(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.draft")
    draft.write_bytes(data)
    os.replace(draft, path)


def rounded(weights: ScorerWeights) -> ScorerWeights:
    """The weights with the digits that a file keeps of them, so that what is measured is what is saved."""
    projection = weights.projection
    if projection is None:
        return weights
    mean, matrix = (value.astype(np.float16).astype(np.float32) for value in (projection.mean, projection.matrix))
    return replace(weights, projection=Projection(mean, matrix))


def _stored(name: str, value: FloatArray) -> Any:
    """Half precision for what is wide, full for the few numbers of the forms."""
    return value.astype(np.float16) if name in ("mean", "matrix") else value.astype(np.float32)
