"""What is measured: the indexes, and the ways in which each is asked.

Where a library's classes and its guides differ, both are here, and the guides' setting is the leaner one. Of the grid
(`SEARCHES`), every index is asked by vectors, and by vectors and keywords together where it holds both; the number of
chunks is chosen afterwards. Cross-encoders and language models as compressors are no part of it: the encoder is the
same for all, and no model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from benchmarks.peers import langchain
from benchmarks.peers.haystack import Haystack
from benchmarks.peers.langchain import LangChain
from benchmarks.peers.llama_index import LlamaIndex
from benchmarks.peers.protocol import Peer, Way
from benchmarks.peers.txtai import Txtai
from domain.errors import ConfigurationError
from domain.protocols import Embedder

DEPTHS = (1, 2, 3, 4, 6, 10)  # numbers of chunks that the grid tries
FINE = {"en": 300, "zh": 100}  # characters of fine chunks, by language: about 70 tokens
LIBRARIES: Mapping[str, tuple[str, ...]] = {  # with the distributions whose versions say what was measured
    "LangChain": (
        "langchain-core",
        "langchain-classic",
        "langchain-community",
        "langchain-text-splitters",
        "rank-bm25",
    ),
    "LlamaIndex": ("llama-index-core", "llama-index-retrievers-bm25", "bm25s"),
    "Haystack": ("haystack-ai", "nltk"),
    "txtai": ("txtai", "chonkie", "nltk", "llama-index-core"),  # the last one ships what NLTK would download
}
Kind = Literal["defaults", "part"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One line of the table: an index, asked in one way."""

    library: str
    name: str
    index: str
    way: Way
    kind: Kind = "defaults"

    @property
    def title(self) -> str:
        return f"{self.library}, {self.name}"


@dataclass(frozen=True, slots=True)
class Search:
    """One ranking of the grid; each of `DEPTHS` is a setting of its own."""

    library: str
    index: str
    hybrid: bool = False

    @property
    def way(self) -> Way:
        return Way(max(DEPTHS), self.hybrid)

    def setting(self, k: int) -> str:
        return f"{self.index}, {'vectors and keywords' if self.hybrid else 'vectors'}, {k}"


MakePeer = Callable[[Embedder, int], Peer]  # by the encoder and the size of fine chunks in characters

INDEXES: Mapping[str, MakePeer] = {
    "LangChain 1000/200 characters": lambda encoder, fine: LangChain(encoder, 1000, 200),
    "LangChain 4000/200 characters": lambda encoder, fine: LangChain(encoder),
    "LangChain fine chunks": lambda encoder, fine: LangChain(
        encoder, fine, 0, langchain.SENTENCE_ENDS, titles=True, keywords=True
    ),
    "LlamaIndex 1024/200 tokens": lambda encoder, fine: LlamaIndex(encoder),
    "LlamaIndex sentence window 3": lambda encoder, fine: LlamaIndex(encoder, window=3),
    "LlamaIndex 128 tokens": lambda encoder, fine: LlamaIndex(encoder, 128, 0, keywords=True),
    "Haystack 200 words": lambda encoder, fine: Haystack(encoder),
    "Haystack fine chunks": lambda encoder, fine: Haystack(encoder, fine, titles=True),
    "txtai paragraphs": lambda encoder, fine: Txtai(encoder),
    "txtai sentences": lambda encoder, fine: Txtai(encoder, {"sentences": True}, titles=True, keywords=True),
    "txtai fine chunks": lambda encoder, fine: Txtai(
        encoder, {"chunker": "recursive", "chunk_size": fine}, titles=True, keywords=True
    ),
}


def _part(library: str, name: str, index: str, k: int) -> Arm:
    """An arm that asks as the defaults do, with the library's class of that name behind."""
    return Arm(library, name, index, Way(k, part=name), "part")


ARMS = (
    Arm("LangChain", "its guides", "LangChain 1000/200 characters", Way(4)),
    Arm("LangChain", "its classes", "LangChain 4000/200 characters", Way(4)),
    Arm("LlamaIndex", "defaults", "LlamaIndex 1024/200 tokens", Way(2)),
    Arm("Haystack", "defaults", "Haystack 200 words", Way(10)),
    Arm("txtai", "defaults", "txtai paragraphs", Way(3)),
    _part("LangChain", "EmbeddingsFilter", "LangChain 1000/200 characters", 4),
    _part("LangChain", "EmbeddingsRedundantFilter", "LangChain 1000/200 characters", 4),
    _part("LangChain", "DocumentCompressorPipeline", "LangChain 1000/200 characters", 4),
    _part("LangChain", "LongContextReorder", "LangChain 1000/200 characters", 4),
    _part("LlamaIndex", "SentenceEmbeddingOptimizer", "LlamaIndex 1024/200 tokens", 2),
    Arm("LlamaIndex", "SentenceWindow", "LlamaIndex sentence window 3", Way(2), "part"),
    _part("Haystack", "LostInTheMiddleRanker", "Haystack 200 words", 10),
)

_HYBRID = frozenset(
    ("LangChain fine chunks", "LlamaIndex 128 tokens", "Haystack 200 words", "Haystack fine chunks",
     "txtai sentences", "txtai fine chunks")
)  # fmt: skip
_ONLY_DEFAULT = frozenset(("LangChain 4000/200 characters",))  # the fattest one can be no library's best

SEARCHES = tuple(
    Search(index.split()[0], index, hybrid)
    for index in INDEXES
    if index not in _ONLY_DEFAULT
    for hybrid in ((False, True) if index in _HYBRID else (False,))
)


def versions(libraries: Collection[str]) -> dict[str, str]:
    """What is installed of these libraries, by distribution. Raises ConfigurationError with the install lines."""
    found: dict[str, str] = {}
    missing = []
    for name in dict.fromkeys(package for library in libraries for package in LIBRARIES[library]):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        raise ConfigurationError(
            f"{', '.join(missing)} must be installed to measure {', '.join(libraries)}. Run: pip install "
            "'fovea-rag[peers]' && pip install --no-deps llama-index-retrievers-bm25 (its pin of PyStemmer is older "
            "than ours, its code is not), or name fewer libraries with --peers."
        )
    return found


@dataclass(frozen=True, slots=True)
class Lineup:
    """What one run measures. `indexes`: how to make each index that an arm or a search may ask."""

    indexes: Mapping[str, MakePeer]
    arms: tuple[Arm, ...]
    searches: tuple[Search, ...]

    @classmethod
    def of(cls, libraries: Collection[str]) -> Lineup:
        """All that is measured of these libraries."""
        return cls(
            INDEXES,
            tuple(arm for arm in ARMS if arm.library in libraries),
            tuple(search for search in SEARCHES if search.library in libraries),
        )

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of the indexes that are asked, each once."""
        return tuple(dict.fromkeys((*(arm.index for arm in self.arms), *(one.index for one in self.searches))))
