"""Haystack: document splitter, store in memory, embedding retriever, the prompt of its get-started page.

Defaults are chunks of 200 words and 10 chunks. A "word" ends at a blank, so that a Chinese text without blanks is one
chunk. Haystack ships no default prompt; what its first guide has is one document a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.protocol import Passage, Prompt, SourceDocument, Way, imported
from domain.errors import ConfigurationError
from domain.protocols import Embedder

SENTENCE_ENDS = (r"\n\n", r"\n", r"\. ", "! ", r"\? ", "。", "！", "？", "；", " ")  # regular expressions
_BATCH = 32  # texts, as its embedders preset
_DOCUMENTS = "{% for document in documents %}\n    {{ document }}\n{% endfor %}"
_TEMPLATE = (
    f"Given these documents, answer the question.\nDocuments:\n{_DOCUMENTS}\nQuestion: {{{{ question }}}}\nAnswer:"
)
_WORDS = 1024  # of LostInTheMiddleRanker, as in its documentation


class Haystack:
    """One document store. `characters` splits recursively into so many at most; None is the default splitter.

    `titles`: encode each chunk behind its title, as `meta_fields_to_embed` of its embedders does. The store always
    keeps what BM25 needs.
    """

    def __init__(self, encoder: Embedder, characters: int | None = None, titles: bool = False) -> None:
        splitters = _load("haystack.components.preprocessors")
        self._splitter = (
            splitters.DocumentSplitter()
            if characters is None
            else splitters.RecursiveDocumentSplitter(
                split_length=characters, split_unit="char", separators=list(SENTENCE_ENDS)
            )
        )
        self._encoder, self._titles = encoder, titles
        self._store = _load("haystack.document_stores.in_memory").InMemoryDocumentStore()
        retrievers = _load("haystack.components.retrievers.in_memory")
        self._dense = retrievers.InMemoryEmbeddingRetriever(self._store)
        self._keywords = retrievers.InMemoryBM25Retriever(self._store)
        self._joiner = _load("haystack.components.joiners").DocumentJoiner(join_mode="reciprocal_rank_fusion")
        self._ranker = _load("haystack.components.rankers").LostInTheMiddleRanker(word_count_threshold=_WORDS)
        builder = _load("haystack.components.builders").PromptBuilder
        self._context, self._whole = (builder(template, required_variables="*") for template in (_DOCUMENTS, _TEMPLATE))

    def index(self, documents: Sequence[SourceDocument]) -> int:
        make = _load("haystack").Document
        loaded = [make(content=one.text, meta={"document": one.id, "title": one.title}) for one in documents]
        chunks = self._splitter.run(documents=loaded)["documents"]
        for start in range(0, len(chunks), _BATCH):
            batch = chunks[start : start + _BATCH]
            vectors = self._encoder.embed_documents([self._encoded_text(one) for one in batch])
            for chunk, vector in zip(batch, vectors.tolist(), strict=True):
                chunk.embedding = vector
        written: int = self._store.write_documents(chunks)
        return written

    def retrieve(self, question: str, way: Way) -> list[Passage]:
        vector = self._encoder.embed_query(question).tolist()
        found = self._dense.run(query_embedding=vector, top_k=way.k)["documents"]
        if way.hybrid:
            words = self._keywords.run(query=question, top_k=way.k)["documents"]
            found = self._joiner.run(documents=[found, words], top_k=way.k)["documents"]
        if way.part:
            found = self._reordered(found, way.part)
        return [Passage(one.meta["document"], one.content, one.meta.get("split_idx_start")) for one in found]

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        texts = [one.in_prompt for one in passages]
        context = self._context.run(documents=texts)["prompt"]
        return Prompt(context, self._whole.run(documents=texts, question=question)["prompt"])

    def _encoded_text(self, chunk: Any) -> str:
        title = chunk.meta["title"] if self._titles else ""
        return f"{title}\n{chunk.content}" if title else str(chunk.content)

    def _reordered(self, found: list[Any], part: str) -> list[Any]:
        if part != "LostInTheMiddleRanker":
            raise ConfigurationError(f"Haystack is not measured with a part {part!r}.")
        ranked: list[Any] = self._ranker.run(documents=found)["documents"]
        return ranked


def _load(module: str) -> Any:
    return imported(module, "Haystack")
