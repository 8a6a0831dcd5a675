"""The seams of the stages: what a part must do to take a built-in's place.

A new part is one file. Name it as "module:attribute" in the settings, register it as an entry point, or hand it
to `open_engine(...)`; prove it by inheriting the matching suite of `fovea.testing`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from domain.asking import AskOptions
from domain.context import Context
from domain.documents import Chunk, Document, LoadedDocument, Passage
from domain.search import Candidate, Encoding, FloatArray, Hit, Query, QueryTerm, ScoredChunk, TokenVectors


class DocumentLoader(Protocol):
    """Turns the bytes of one format into text and blocks."""

    extensions: tuple[str, ...]  # lower case, with the dot
    media_types: tuple[str, ...]

    def load(self, data: bytes, name: str) -> LoadedDocument:
        """Read `data`; `name` is the file's name, for the title and for hints. Raises LoadError."""
        ...


class Chunker(Protocol):
    """Cuts a document into chunks on sentence ends. `recipe` changes whenever the cut would."""

    @property
    def recipe(self) -> str: ...

    def split(self, document: Document) -> tuple[Chunk, ...]: ...


class TokenCounter(Protocol):
    """Counts tokens the way one model does. `name` goes on the bill."""

    @property
    def name(self) -> str: ...

    def count(self, text: str) -> int: ...


class BatchTokenCounter(TokenCounter, Protocol):
    """Counts many texts at once, as cutting a document needs it."""

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Sentence vectors. All rows are float32 of unit length; equal texts give equal vectors."""

    @property
    def model_id(self) -> str:
        """Model, backend and precision: vectors of two model_ids are never mixed."""
        ...

    @property
    def dim(self) -> int: ...

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Shape (N, D) for N texts; (0, D) for none."""
        ...

    def embed_query(self, text: str) -> FloatArray:
        """Shape (D,)."""
        ...


@runtime_checkable
class TokenEncoder(Embedder, Protocol):
    """An embedder that also gives the token vectors of the same forward pass."""

    def encode_documents(self, passages: Sequence[Passage]) -> list[Encoding]:
        """One Encoding a passage, in order. Token offsets count from the start of `passage.text`; the lead's tokens
        are left out.
        """
        ...

    def encode_query(self, text: str) -> Encoding: ...


class TokenCodec(Protocol):
    """Token vectors to compact bytes and back. `codec_id` names the format; bytes of another format are refused."""

    @property
    def codec_id(self) -> str: ...

    def encode(self, tokens: TokenVectors) -> bytes: ...

    def decode(self, blob: bytes) -> TokenVectors: ...


class VectorIndex(Protocol):
    """Nearest neighbours by inner product. One writer, many readers: a search sees the state before or after a write,
    never between.
    """

    @property
    def dim(self) -> int: ...

    def __len__(self) -> int: ...

    def add(self, keys: Sequence[int], vectors: FloatArray) -> None:
        """Add rows, shape (N, D). A key that is there already is replaced."""
        ...

    def remove(self, keys: Collection[int]) -> None:
        """Remove rows; unknown keys are ignored."""
        ...

    def search(self, vector: FloatArray, k: int, allowed: Collection[int] | None = None) -> list[Hit]:
        """At most `k` hits, best first, ties by ascending key; only keys in `allowed` where it is given."""
        ...

    def save(self, path: Path) -> None:
        """Write one self-contained file."""
        ...

    def load(self, path: Path) -> None:
        """Replace the content by that of a file which `save` wrote. Raises ValueError when it cannot be read."""
        ...


class LexicalIndex(Protocol):
    """BM25 over text, with the same verbs and the same guarantees as VectorIndex."""

    def __len__(self) -> int: ...

    def add(self, keys: Sequence[int], texts: Sequence[str]) -> None: ...

    def remove(self, keys: Collection[int]) -> None: ...

    def search(self, text: str, k: int, allowed: Collection[int] | None = None) -> list[Hit]: ...

    def terms(self, text: str) -> tuple[QueryTerm, ...]:
        """The terms of a question with their IDF in this index: log(1 + (N - df + .5) / (df + .5))."""
        ...

    def save(self, path: Path) -> None: ...

    def load(self, path: Path) -> None: ...


class IndexReader(Protocol):
    """What the retriever sees of a collection: both indexes at one moment."""

    @property
    def vector(self) -> VectorIndex: ...

    @property
    def lexical(self) -> LexicalIndex: ...


class Reranker(Protocol):
    """Scores chunks and their sentences against the question in one pass."""

    @property
    def name(self) -> str: ...

    def rerank(self, query: Query, candidates: Sequence[Candidate]) -> list[ScoredChunk]:
        """All candidates, best first; ties keep the order of `candidates`."""
        ...


class Generator(Protocol):
    """Turns a context into text."""

    @property
    def model(self) -> str: ...

    @property
    def context_window(self) -> int:
        """Tokens, prompt and answer together."""
        ...

    @property
    def max_output_tokens(self) -> int: ...

    def generate(self, context: Context) -> Iterator[str]:
        """Yield the answer's text in parts. Raises GenerationError; after the first part nothing is retried."""
        ...

    def count_tokens(self, text: str) -> int: ...


class ContextBuilder(Protocol):
    def build(self, query: Query, scored: Sequence[ScoredChunk], options: AskOptions) -> Context: ...
