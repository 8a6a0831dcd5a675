"""What one labelled set gave, question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

from benchmarks.peers.judging import Sent

PRODUCT = "Fovea"


@dataclass(frozen=True, slots=True)
class Indexed:
    """What an index holds and how long it took to make."""

    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SetResult:
    """All that one set gave: by title of the arm, one `Sent` a question and its index.

    defaults: the titles of the arms that are defaults. tokenizer: whose tokens were counted. settings: for each library
    at its best, what was chosen for the two halves of the documents; where these are two indexes, `indexed` has the one
    that took longer.
    """

    name: str
    clusters: tuple[str, ...]
    sent: Mapping[str, Sequence[Sent]]
    indexed: Mapping[str, Indexed]
    defaults: frozenset[str]
    tokenizer: str
    settings: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """`sent` as rows of (tokens, prompt, recall, iou, milliseconds)."""
        return {
            "name": self.name,
            "clusters": list(self.clusters),
            "sent": {title: [astuple(one) for one in column] for title, column in self.sent.items()},
            "indexed": {title: asdict(one) for title, one in self.indexed.items()},
            "defaults": sorted(self.defaults),
            "tokenizer": self.tokenizer,
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SetResult:
        return cls(
            name=data["name"],
            clusters=tuple(data["clusters"]),
            sent={title: [Sent(*row) for row in column] for title, column in data["sent"].items()},
            indexed={title: Indexed(**one) for title, one in data["indexed"].items()},
            defaults=frozenset(data["defaults"]),
            tokenizer=data["tokenizer"],
            settings={title: (names[0], names[1]) for title, names in data["settings"].items()},
        )
