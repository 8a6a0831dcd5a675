"""Where training keeps things: what a killed run goes on from, and the weights that come out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from attention_core.scorer import ScorerWeights, save_scorer
from domain.training import TrainingReport
from service.parts import Parts
from service.training.data import Labelled
from service.training.setup import TrainingRequest, TrainingSetup

if TYPE_CHECKING:
    from retrieval.embedders.split import SplitEncoder


def states_key(name: str, setup: TrainingSetup, request: TrainingRequest) -> str:
    """A folder name for the states of one training set: those of other layers are never taken for them."""
    adapter = setup.weights.adapter if setup.weights else None
    depth = f"{request.layers}/{adapter}" if request.adapt else "stored"
    return f"states-{_digest(name, setup.encoder, depth)}"


def run_key(parts: Parts, sets: Sequence[Labelled], start: ScorerWeights, request: TrainingRequest) -> str:
    """Names a run by what decides it: questions, the state of their collections, the start and what learns."""
    content = [
        (one.name, parts.store.generation(one.collection), [repr(question) for question in one.questions])
        for one in sets
    ]
    return _digest(repr(content), start.digest, repr(start.dense_floor), f"{request.adapt}/{request.layers}")


def save(
    weights: ScorerWeights,
    setup: TrainingSetup,
    request: TrainingRequest,
    encoder: SplitEncoder | None,
    sets: Sequence[Labelled],
    report: TrainingReport,
) -> tuple[Path, Path | None]:
    """Write the weights, and the adapter that belongs to them; the paths of both, None where no layer differs.

    They go to the output folder of the request under the encoder's name, else to the data directory under the
    encoder's name and the time, beside older ones: the newest are found.
    """
    now = datetime.now(UTC)
    folder = request.output or setup.data_dir / "weights"
    stem = setup.encoder if request.output else f"{setup.encoder}-{now:%Y%m%dT%H%M%SZ}"
    about = _about(setup, request, sets, report, now)
    adapter = _save_adapter(folder / f"{stem}-adapter.safetensors", weights, encoder, about)
    path = folder / f"{stem}.safetensors"
    save_scorer(weights, path, {**about, "adapter": adapter.name if adapter else None})
    return path, adapter


def _save_adapter(
    path: Path, weights: ScorerWeights, encoder: SplitEncoder | None, about: dict[str, Any]
) -> Path | None:
    if encoder is not None:
        from retrieval.embedders.adapter import save_adapter

        return save_adapter(path, encoder.layers, encoder.spec.fingerprint, about).path
    if weights.adapter is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)  # the weights learned over this adapter and stay beside it
    if weights.adapter != path:
        shutil.copyfile(weights.adapter, path)
        shutil.copyfile(weights.adapter.with_suffix(".json"), path.with_suffix(".json"))
    return path


def _about(
    setup: TrainingSetup,
    request: TrainingRequest,
    sets: Sequence[Labelled],
    report: TrainingReport,
    now: datetime,
) -> dict[str, Any]:
    figures = report.to_dict()
    kept = ("before", "after", "gain", "collections", "seeds", "questions")
    return {
        "encoder": setup.encoder,
        "trained": True,
        "trained_at": now.isoformat(timespec="seconds"),
        "data": [
            {"collection": one.collection, "questions": len(one.questions), "self_supervised": one.self_made}
            for one in sets
        ],
        "command": request.command,
        "seed": report.best_seed,
        "metrics": {name: figures[name] for name in kept},
    }


def _digest(*parts: str) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]
