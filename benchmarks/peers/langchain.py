"""LangChain: recursive character splitter, vector store in memory, `as_retriever`, the "stuff" prompt.

Class defaults are chunks of 4,000 characters with an overlap of 200; its guides use 1,000 and 200, which is the leaner.
Retrievers give 4 chunks. Contexts are the bare texts, joined by blank lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.peers.protocol import Passage, Prompt, SourceDocument, Way, imported
from domain.protocols import Embedder

SENTENCE_ENDS = ("\n\n", "\n", ". ", "! ", "? ", "。", "！", "？", "；", " ", "")
_FILTER_FROM, _PIECE = 0.76, 300  # cosine and characters, as in the guide to contextual compression
_PROMPTS = "langchain_classic.chains.question_answering.stuff_prompt"
_COMPRESSORS = "langchain_classic.retrievers.document_compressors"
_TRANSFORMERS = "langchain_community.document_transformers"


class LangChain:
    """One vector store. `titles` puts the title in front of each chunk; `keywords` builds a BM25 retriever beside."""

    def __init__(
        self,
        encoder: Embedder,
        characters: int | None = None,
        overlap: int | None = None,
        separators: Sequence[str] | None = None,
        titles: bool = False,
        keywords: bool = False,
    ) -> None:
        sizes = {"chunk_size": characters, "chunk_overlap": overlap}
        self._splitter = _load("langchain_text_splitters").RecursiveCharacterTextSplitter(
            separators=list(separators) if separators else None,
            keep_separator="end" if separators else True,  # a full stop belongs to the sentence before it
            add_start_index=True,
            **{name: value for name, value in sizes.items() if value is not None},
        )
        self._embeddings = _adapter(_load("langchain_core.embeddings").Embeddings, encoder)
        self._store = _load("langchain_core.vectorstores").InMemoryVectorStore(self._embeddings)
        self._template = _load(_PROMPTS).CHAT_PROMPT
        self._titles, self._keywords = titles, keywords
        self._bm25: Any = None
        self._parts: dict[str, Callable[[list[Any], str], Sequence[Any]]] = {}

    def index(self, documents: Sequence[SourceDocument]) -> int:
        make = _load("langchain_core.documents").Document
        metadata = [{"document": one.id, "title": one.title} for one in documents]
        chunks = self._splitter.split_documents(
            [make(one.text, metadata=own) for one, own in zip(documents, metadata, strict=True)]
        )
        for chunk in chunks:
            chunk.metadata["text"] = chunk.page_content
            if self._titles and chunk.metadata["title"]:
                chunk.page_content = f"{chunk.metadata['title']}\n{chunk.page_content}"
        self._store.add_documents(chunks)
        if self._keywords:
            self._bm25 = _load("langchain_community.retrievers").BM25Retriever.from_documents(chunks)
        return len(chunks)

    def retrieve(self, question: str, way: Way) -> list[Passage]:
        found = self._retriever(way).invoke(question)[: way.k]
        if way.part:
            found = self._part(way.part)(found, question)
        return [_passage(one, bool(way.part)) for one in found]

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        context = "\n\n".join(one.in_prompt for one in passages)
        messages = self._template.format_messages(context=context, question=question)
        return Prompt(context, "\n\n".join(message.content for message in messages))

    def _retriever(self, way: Way) -> Any:
        dense = self._store.as_retriever(search_kwargs={"k": way.k})
        if not way.hybrid:
            return dense
        self._bm25.k = way.k
        ensemble = _load("langchain_classic.retrievers").EnsembleRetriever
        return ensemble(retrievers=[dense, self._bm25], weights=[0.5, 0.5])

    def _part(self, name: str) -> Callable[[list[Any], str], Sequence[Any]]:
        if name not in self._parts:
            self._parts[name] = self._made(name)
        return self._parts[name]

    def _made(self, name: str) -> Callable[[list[Any], str], Sequence[Any]]:
        """A reordering, one of two filters, or the pipeline of splitter and both filters that its guide has."""
        compressors, transformers = _load(_COMPRESSORS), _load(_TRANSFORMERS)
        if name == "LongContextReorder":
            reorder = transformers.LongContextReorder()
            return lambda found, question: reorder.transform_documents(found)
        redundant = transformers.EmbeddingsRedundantFilter(embeddings=self._embeddings)
        if name == "EmbeddingsRedundantFilter":
            return lambda found, question: redundant.transform_documents(found)
        relevant = compressors.EmbeddingsFilter(embeddings=self._embeddings, similarity_threshold=_FILTER_FROM)
        if name == "EmbeddingsFilter":
            return lambda found, question: relevant.compress_documents(found, question)
        splitter = _load("langchain_text_splitters").CharacterTextSplitter(
            chunk_size=_PIECE, chunk_overlap=0, separator=". "
        )
        pipeline = compressors.DocumentCompressorPipeline(transformers=[splitter, redundant, relevant])
        return lambda found, question: pipeline.compress_documents(found, question)


def _passage(found: Any, altered: bool) -> Passage:
    """A part may have cut the chunk: then its own text is sent, and `start` is still that of the whole chunk."""
    own, known = found.page_content, found.metadata
    text = own if altered else known["text"]
    return Passage(known["document"], text, known.get("start_index"), own)


def _adapter(base: Any, encoder: Embedder) -> Any:
    class Adapter(base):  # type: ignore[misc]
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            rows: list[list[float]] = encoder.embed_documents(texts).tolist()
            return rows

        def embed_query(self, text: str) -> list[float]:
            row: list[float] = encoder.embed_query(text).tolist()
            return row

    return Adapter()


def _load(module: str) -> Any:
    return imported(module, "LangChain")
