"""The cross-encoder in torch: the encoder's layers, the upper half of which learn, and two linear heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from attention_core.examples import States
from benchmarks.cross_encoder.pairs import Pair, segments
from retrieval.embedders.adapter import transformer_layers
from retrieval.embedders.sentence_transformer import load_model, model_spec, model_tokenizer
from retrieval.embedders.split import SplitEncoder


class Heads(nn.Module):
    """Stands where a sentence-transformers model has its pooling.

    A linear head on the mean of a sentence's tokens is the mean of that head on each of them, so it gives every token
    a number and leaves the mean to the reader.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.chunk = nn.Linear(width, 1)
        self.sentence = nn.Linear(width, 1)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """From states (B, T, H) to token logits (B, T, 1) and chunk logits (B, 1), under the names of these modules."""
        states = features["token_embeddings"]
        return {"token_embeddings": self.sentence(states), "sentence_embedding": self.chunk(states[:, 0])}


class CrossNetwork:
    """A model folder with heads. `learning` are the modules that learn: the upper half of the layers, and the heads."""

    def __init__(self, folder: Path, seed: int) -> None:
        """`seed` draws the heads. Raises ConfigurationError for a folder that is no BERT-like mean-pooling encoder."""
        self.model = load_model(folder)
        self.tokenizer = model_tokenizer(self.model)
        layers = len(transformer_layers(self.model))
        spec = model_spec(self.model, folder, folder.name)
        self.encoder = SplitEncoder(self.model, spec, self.tokenizer, layers - layers // 2)
        torch.manual_seed(seed)
        self.heads = Heads(self.encoder.width)
        self.learning = nn.ModuleDict({"layers": self.encoder.layers, "heads": self.heads})

    def scores(self, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the chunks (C,) and of their sentences (S,), one chunk's after the other's.

        A sentence that was cut off has 0: the heads' bias says what having read one is worth.
        """
        read = self.heads({"token_embeddings": self.encoder.top(*self._lower(pairs))})
        tokens = torch.cat([read["token_embeddings"][at, pair.take, 0] for at, pair in enumerate(pairs)])
        owner, counts = segments(pairs)
        sums = torch.zeros(len(counts)).index_add(0, torch.from_numpy(owner), tokens)
        return read["sentence_embedding"][:, 0], sums / torch.from_numpy(counts).clamp_min(1)

    def _lower(self, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        """What the frozen half makes of the rows, and the mask of their tokens."""
        found = dict(self.encoder.lower([pair.ids for pair in pairs]))
        bounds = np.concatenate(([0], np.cumsum([len(pair.ids) for pair in pairs])))
        states = States(np.concatenate([found[at] for at in range(len(pairs))]), bounds)
        return states.padded(range(len(pairs)))
