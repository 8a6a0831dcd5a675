"""Data directories to train in: the labelled samples, and weights that are worse than any."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attention_core.scorer import Forms, ScorerWeights, save_scorer
from service.settings import EncoderSettings, Settings

DATA = Path(__file__).parents[1] / "data"
ENGLISH, CHINESE = (DATA / name / "questions.jsonl" for name in ("xquad-en", "cmrc-zh"))


def settings_of(folder: Path, **encoder) -> Settings:
    return Settings(data_dir=folder, encoder=EncoderSettings(**({"model": "hashing"} | encoder)))


def wrong_weights(path: Path, encoder: str = "hashing") -> Path:
    """Weights that put the worst sentences first: any training improves them."""
    wrong = Forms(np.full(5, -0.1, np.float32), np.full(4, -0.1, np.float32), -2.0, -2.0)
    save_scorer(ScorerWeights(projection=None, forms=wrong, dense_floor=0.0), path, {"encoder": encoder})
    return path
