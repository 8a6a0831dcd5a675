"""`interaction.py` as a torch module that learns; a test holds the two together."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from attention_core.interaction import SCALE, WIDTH, InteractionWeights
from domain.search import FloatArray

NUMBERS = 8  # of `interaction.sentence_numbers`
_LEAST = 1e-6
_DROPOUT = 0.2  # with some ten thousand questions the network would learn them by heart


class Interaction(nn.Module):
    """Adds to the log-odds of sentences; starts by adding nothing."""

    def __init__(self, width: int, hidden: int = 48, pooled: int = 32) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor([10.0]))
        self.read = nn.Linear(3 * width + 2, hidden)
        self.around = nn.Conv1d(hidden, hidden, WIDTH, padding=WIDTH // 2)
        self.middle = nn.Linear(hidden, hidden)
        self.pooled = nn.Linear(2 * hidden + NUMBERS, pooled)
        self.out = nn.Linear(pooled, 1, bias=False)
        self.chunk = nn.Parameter(torch.tensor([0.3]))
        self.dropout = nn.Dropout(_DROPOUT)
        self._width = width
        nn.init.zeros_(self.out.weight)

    def forward(
        self,
        tokens: torch.Tensor,
        question: torch.Tensor,
        weights: torch.Tensor,
        numbers: torch.Tensor,
        sizes: list[int],
        sentence: torch.Tensor,
        sentence_chunk: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(S,) and (C,) for one question.

        tokens: (N, d), of C chunks with `sizes` tokens, `sentence` (N,) of each. question: (Tq, d). numbers: (S, 8).
        """
        similarity = tokens @ question.T
        looks = torch.softmax(self.beta * similarity + torch.log(weights.clamp_min(_LEAST)), dim=1)
        message = looks @ question
        said = torch.stack((similarity.amax(1), SCALE * (looks @ weights)), dim=1)
        states = self.read(self.dropout(torch.cat((tokens, message, SCALE * tokens * message, said), dim=1)))
        states = functional.relu(states)
        states = self.dropout(states + functional.relu(self._neighbours(states, sizes)))
        states = states + functional.relu(self.middle(states))
        count = len(sentence_chunk)
        index = sentence[:, None].expand_as(states)
        empty = states.new_zeros(count, states.shape[1])
        largest = empty.scatter_reduce(0, index, states, "amax", include_self=False)
        mean = empty.scatter_reduce(0, index, states, "mean", include_self=False)
        joined = functional.relu(self.pooled(torch.cat((largest, mean, numbers), dim=1)))
        added = self.out(self.dropout(joined))[:, 0]
        best = added.new_zeros(len(sizes)).scatter_reduce(0, sentence_chunk, added, "amax", include_self=False)
        return added, self.chunk * best

    def weights(self) -> InteractionWeights:
        """What was learned, for `interaction.py`."""
        first, width = self.read.weight.T, self._width
        return InteractionWeights(
            beta=_copied(self.beta),
            key=_copied(first[:width]),
            message=_copied(first[width : 2 * width]),
            product=_copied(first[2 * width : 3 * width]),
            numbers=_copied(first[3 * width :]),
            first_bias=_copied(self.read.bias),
            around=_copied(self.around.weight.permute(2, 1, 0)),
            around_bias=_copied(self.around.bias),
            middle=_copied(self.middle.weight.T),
            middle_bias=_copied(self.middle.bias),
            pooled=_copied(self.pooled.weight.T),
            pooled_bias=_copied(self.pooled.bias),
            out=_copied(self.out.weight[0]),
            chunk=_copied(self.chunk),
        )

    def start_from(self, weights: InteractionWeights) -> None:
        """Take over what an earlier training learned."""
        first = (weights.key, weights.message, weights.product, weights.numbers)
        given = {
            self.beta: torch.tensor(weights.beta),
            self.read.weight: torch.cat([torch.tensor(part) for part in first]).T,
            self.read.bias: torch.tensor(weights.first_bias),
            self.around.weight: torch.tensor(weights.around).permute(2, 1, 0),
            self.around.bias: torch.tensor(weights.around_bias),
            self.middle.weight: torch.tensor(weights.middle).T,
            self.middle.bias: torch.tensor(weights.middle_bias),
            self.pooled.weight: torch.tensor(weights.pooled).T,
            self.pooled.bias: torch.tensor(weights.pooled_bias),
            self.out.weight: torch.tensor(weights.out)[None],
            self.chunk: torch.tensor(weights.chunk),
        }
        with torch.no_grad():
            for parameter, value in given.items():
                if parameter is not None:
                    parameter.copy_(value)

    def _neighbours(self, states: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        """The convolution inside each chunk: zeros lie between chunks."""
        reach = WIDTH // 2
        chunk = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        place = torch.arange(len(states)) + 2 * reach * chunk
        padded = states.new_zeros(len(states) + 2 * reach * len(sizes), states.shape[1])
        seen: torch.Tensor = self.around(padded.index_copy(0, place, states).T[None])[0].T[place]
        return seen


def _copied(tensor: torch.Tensor | None) -> FloatArray:
    assert tensor is not None  # every layer but `out` has a bias
    values: FloatArray = tensor.detach().contiguous().numpy().copy()
    return values
