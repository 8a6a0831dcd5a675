"""LlamaIndex: sentence splitter, `VectorStoreIndex`, its question-answering prompt.

Defaults are chunks of 1,024 tokens with an overlap of 200, and 2 chunks. Metadata (here the title) is encoded with the
chunk and shown above it. Its tokenizer and its sentence splitter read files that the package ships, so that nothing is
fetched. `window` splits into sentences instead and sends each with so many neighbours on either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from benchmarks.peers.protocol import Passage, Prompt, SourceDocument, Way, imported
from domain.errors import ConfigurationError
from domain.protocols import Embedder

_KEPT = 0.5  # share of the sentences, as in the docstring of SentenceEmbeddingOptimizer
_HIDDEN = "document"  # metadata that neither encoder nor model sees


class LlamaIndex:
    """One vector store index; `keywords` builds a BM25 retriever beside it."""

    def __init__(
        self,
        encoder: Embedder,
        tokens: int | None = None,
        overlap: int | None = None,
        window: int | None = None,
        keywords: bool = False,
    ) -> None:
        core, parsers = _load("llama_index.core"), _load("llama_index.core.node_parser")
        sizes = {"chunk_size": tokens, "chunk_overlap": overlap}
        self._parser = (
            parsers.SentenceSplitter(**{name: value for name, value in sizes.items() if value is not None})
            if window is None
            else parsers.SentenceWindowNodeParser.from_defaults(window_size=window)
        )
        self._embeddings = _adapter(_load("llama_index.core.base.embeddings.base").BaseEmbedding, encoder)
        self._template = _load("llama_index.core.prompts.default_prompts").DEFAULT_TEXT_QA_PROMPT
        self._modes = core.schema.MetadataMode
        self._windowed, self._keywords = window is not None, keywords
        self._index: Any = None
        self._bm25: Any = None

    def index(self, documents: Sequence[SourceDocument]) -> int:
        core = _load("llama_index.core")
        hidden = {"excluded_embed_metadata_keys": [_HIDDEN], "excluded_llm_metadata_keys": [_HIDDEN]}
        loaded = [
            core.Document(
                text=one.text, metadata={_HIDDEN: one.id, **({"title": one.title} if one.title else {})}, **hidden
            )
            for one in documents
        ]
        nodes = self._parser.get_nodes_from_documents(loaded)
        self._index = core.VectorStoreIndex(nodes, embed_model=self._embeddings)
        if self._keywords:
            retriever = _load("llama_index.retrievers.bm25").BM25Retriever
            self._bm25 = retriever.from_defaults(nodes=nodes, similarity_top_k=min(10, len(nodes)))
        return len(nodes)

    def retrieve(self, question: str, way: Way) -> list[Passage]:
        query = _load("llama_index.core.schema").QueryBundle(question)
        found = self._retriever(way).retrieve(query)[: way.k]
        for part in self._parts(way):
            # These parts overwrite the text of the nodes they are given, which are the index's own.
            found = part.postprocess_nodes(deepcopy(found), query_bundle=query)
        return [self._passage(one.node) for one in found]

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        context = "\n\n".join(one.in_prompt for one in passages)
        return Prompt(context, self._template.format(context_str=context, query_str=question))

    def _retriever(self, way: Way) -> Any:
        dense = self._index.as_retriever(similarity_top_k=way.k)
        if not way.hybrid:
            return dense
        fusion = _load("llama_index.core.retrievers").QueryFusionRetriever
        model = _load("llama_index.core.llms").MockLLM()  # one query is asked, so that none is made up by a model
        return fusion(
            [dense, self._bm25], llm=model, mode="reciprocal_rerank", similarity_top_k=way.k, num_queries=1,
            use_async=False,
        )  # fmt: skip

    def _parts(self, way: Way) -> list[Any]:
        processors = _load("llama_index.core.postprocessor")
        own = [processors.MetadataReplacementPostProcessor(target_metadata_key="window")] if self._windowed else []
        if not way.part:
            return own
        if way.part != "SentenceEmbeddingOptimizer":
            raise ConfigurationError(f"LlamaIndex is not measured with a part {way.part!r}.")
        return [*own, processors.SentenceEmbeddingOptimizer(embed_model=self._embeddings, percentile_cutoff=_KEPT)]

    def _passage(self, node: Any) -> Passage:
        text = node.get_content(metadata_mode=self._modes.NONE)
        shown = node.get_content(metadata_mode=self._modes.LLM)
        return Passage(node.metadata[_HIDDEN], text, node.start_char_idx, shown)


def _adapter(base: Any, encoder: Embedder) -> Any:
    class Adapter(base):  # type: ignore[misc]
        def _get_query_embedding(self, query: str) -> list[float]:
            row: list[float] = encoder.embed_query(query).tolist()
            return row

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_text_embeddings([text])[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            rows: list[list[float]] = encoder.embed_documents(texts).tolist()
            return rows

    return Adapter(model_name="the product's own")


def _load(module: str) -> Any:
    return imported(module, "LlamaIndex")
