"""txtai: an embeddings database with content, and the context and prompt of its RAG pipeline.

txtai indexes texts as they are given to it; its segmentation pipeline cuts them before, here into paragraphs as its
guides do. The pipeline sends 3 texts, joined by blanks, and its default prompt is the question and the context alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Passage, Prompt, SourceDocument, Way, imported
from domain.errors import ConfigurationError
from domain.protocols import Embedder
from domain.search import FloatArray

_QUERY, _PASSAGE = "query: ", "passage: "


class Txtai:
    """One embeddings database.

    cut: options of its segmentation pipeline. titles: put the title in front of each text. keywords: index them for
    BM25 too.
    """

    def __init__(
        self, encoder: Embedder, cut: dict[str, Any] | None = None, titles: bool = False, keywords: bool = False
    ) -> None:
        options = {"paragraphs": True} if cut is None else cut
        if "chunker" in options:
            imported("chonkie", "txtai with a chunker")
        if options.get("sentences"):
            _find_sentence_model()
        self._segments = _load("txtai.pipeline").Segmentation(**options)
        self._database = _load("txtai").Embeddings(
            method="external",
            transform=_transform(encoder),
            instructions={"query": _QUERY, "data": _PASSAGE},  # tells the encoder which of both a text is
            content=True,
            hybrid=keywords,
        )
        self._rag = _load("txtai.pipeline").RAG(self._database, _no_model)
        self._titles, self._keywords = titles, keywords
        self._sources: list[tuple[str, str]] = []  # document, text of each row

    def index(self, documents: Sequence[SourceDocument]) -> int:
        rows: list[tuple[int, str, None]] = []
        for one in documents:
            for text in self._segments(one.text):
                shown = f"{one.title}\n{text}" if self._titles and one.title else text
                rows.append((len(rows), shown, None))
                self._sources.append((one.id, text))
        self._database.index(rows)
        return len(rows)

    def retrieve(self, question: str, way: Way) -> list[Passage]:
        if way.part:
            raise ConfigurationError(f"txtai is not measured with a part {way.part!r}.")
        weights = None if way.hybrid or not self._keywords else 1.0
        found = self._database.search(question, way.k, weights=weights)
        return [self._passage(int(one["id"]), one["text"]) for one in found]

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        context = self._rag.separator.join(one.in_prompt for one in passages)
        return Prompt(context, self._rag.prompts([question], [context])[0])

    def _passage(self, row: int, shown: str) -> Passage:
        document, text = self._sources[row]
        return Passage(document, text, None, shown)


def _transform(encoder: Embedder) -> Any:
    """txtai asks one function for both kinds of text; the prefixes that it was told to set tell them apart."""

    def transform(texts: list[str]) -> FloatArray:
        if texts[0].startswith(_QUERY):
            return np.stack([encoder.embed_query(text.removeprefix(_QUERY)) for text in texts])
        return encoder.embed_documents([text.removeprefix(_PASSAGE) for text in texts])

    return transform


def _find_sentence_model() -> None:
    """Its sentences are those of NLTK, whose model is a download; LlamaIndex ships the same file."""
    shipped = Path(str(imported("llama_index.core", "txtai with sentences").__file__)).parent / "_static" / "nltk_cache"
    paths = imported("nltk.data", "txtai with sentences").path
    if str(shipped) not in paths:
        paths.append(str(shipped))


def _no_model(prompts: list[str]) -> list[str]:
    """Stands in the place of the language model, which is not asked."""
    return prompts


def _load(module: str) -> Any:
    return imported(module, "txtai")
