"""An encoder cut in two for training: lower layers whose states are computed once, and top layers that learn.

    ids ── embeddings ── lower layers ── states (kept, 2 bytes a number) ── top layers ── token states ── vectors

With the lower nine of twelve layers frozen, a training step pays for three. The states of a chunk of 200 tokens take
150 KB, so ten thousand chunks fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from domain.documents import Passage
from domain.errors import ConfigurationError
from domain.search import FloatArray
from retrieval.embedders.adapter import top_layers, transformer, transformer_layers
from retrieval.embedders.encoder import EncoderSpec
from retrieval.embedders.windows import Plan, WindowPlanner

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from torch import nn

_TOKENS = 8192  # padded tokens of one pass


class SplitEncoder:
    """An encoder as a trainer sees it. `spec` is that of the encoder without an adapter.

    `top` takes states through the last `count` layers, which are `layers` and learn; `lower` gives the states below.
    Raises ConfigurationError for an architecture that cannot be cut, or that does not average its tokens.
    """

    def __init__(self, model: SentenceTransformer, spec: EncoderSpec, tokenizer: Tokenizer, count: int) -> None:
        from torch import nn

        _check_pooling(model)
        self.spec = spec
        self.layers = top_layers(model, count)
        self.width = int(transformer(model).config.hidden_size)
        self._planner = WindowPlanner(tokenizer, spec.max_length)
        self._transformer = transformer(model)
        self._lower = nn.ModuleList(list(transformer_layers(model))[:-count])
        model.requires_grad_(False)
        self.layers.requires_grad_(True)
        _keep_attention_whole(self.layers)

    def plan_documents(self, passages: Sequence[Passage]) -> list[Plan]:
        """What `encode_documents` would read."""
        return self._planner.plan(passages, self.spec.document_prompt)

    def plan_queries(self, texts: Sequence[str]) -> list[Plan]:
        """What `encode_query` would read."""
        return self._planner.plan([Passage(text) for text in texts], self.spec.query_prompt)

    def top(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Token states (B, T, H), float32, from the lower states (B, T, H); `mask` (B, T) is True for real tokens."""
        import torch

        with torch.autocast("cpu", torch.bfloat16):
            return _run(self.layers, states, mask).float()

    def read(self, states: torch.Tensor, mask: torch.Tensor) -> FloatArray:
        """What `top` gives, for use and not for learning."""
        import torch

        with torch.inference_mode():
            output: FloatArray = self.top(states, mask).numpy()
        return output

    def round(self) -> None:
        """Give the layers that learn the digits that an adapter file keeps of them."""
        import torch

        with torch.no_grad():
            for parameter in self.layers.parameters():
                parameter.copy_(parameter.half())

    def snapshot(self) -> dict[str, torch.Tensor]:
        """The layers that learn as they are now, for `restore`."""
        return {name: value.detach().clone() for name, value in self.layers.state_dict().items()}

    def restore(self, snapshot: Mapping[str, torch.Tensor]) -> None:
        """Set the layers back to what they were."""
        self.layers.load_state_dict(snapshot)

    def lower(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, NDArray[np.uint16]]]:
        """(row number, states (T, H) as bfloat16 bit patterns) of each row of token ids, short rows first."""
        import torch

        for batch in _batches([len(row) for row in rows]):
            width = max(len(rows[at]) for at in batch)
            ids = torch.full((len(batch), width), self.spec.pad_id)
            mask = torch.zeros(len(batch), width, dtype=torch.bool)
            for place, at in enumerate(batch):
                ids[place, : len(rows[at])] = torch.from_numpy(rows[at])
                mask[place, : len(rows[at])] = True
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                states = _run(self._lower, self._transformer.embeddings(input_ids=ids), mask)
            bits = states.to(torch.bfloat16).view(torch.uint16).numpy()
            for place, at in enumerate(batch):
                yield at, bits[place, : len(rows[at])]


def _check_pooling(model: SentenceTransformer) -> None:
    """Training holds the mean of the token states in place, so that must be what the sentence vector is."""
    kinds = [type(module).__name__ for module in model]
    pooling: Any = model[1] if kinds[1:2] == ["Pooling"] else None
    mode = pooling.get_config_dict().get("pooling_mode") if pooling is not None else None
    if mode != "mean" or set(kinds[2:]) - {"Normalize"}:
        raise ConfigurationError(
            f"The encoder's layers cannot be trained: its sentence vector is not the mean of its tokens "
            f"({', '.join(kinds)}; pooling {mode}). Train without --adapt."
        )


def _keep_attention_whole(layers: nn.ModuleList) -> None:
    """Learning layers drop states as they were pretrained to, but no attention weights: a fused kernel cannot."""
    for module in layers.modules():
        if hasattr(module, "num_attention_heads") and hasattr(module, "dropout"):
            cast(Any, module).dropout.p = 0.0


def _run(layers: nn.ModuleList, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    import torch

    hidden = torch.finfo(states.dtype).min
    bias = torch.zeros(mask.shape, dtype=states.dtype).masked_fill(~mask, hidden)[:, None, None, :]
    for layer in layers:
        output: Any = layer(states, attention_mask=bias)
        states = output[0] if isinstance(output, tuple) else output  # its type depends on the library's version
    return states


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers, shortest rows first, in groups of at most _TOKENS padded tokens."""
    batch: list[int] = []
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[at] > _TOKENS:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
