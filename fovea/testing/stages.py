"""The promises of the stages that turn one value into the next: loaders, chunkers, embedders, rerankers, generators."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from domain.documents import Document
from domain.errors import LoadError
from domain.protocols import Chunker, DocumentLoader, Embedder, Generator, Reranker
from domain.search import Candidate, Query
from fovea.testing.samples import make_candidate, make_context, make_document, make_query


class LoaderSuite:
    """Inherit and override `make_loader` and `sample`."""

    def make_loader(self) -> DocumentLoader:
        raise NotImplementedError

    def sample(self) -> tuple[bytes, str, str]:
        """Give the bytes of a file, its name, and a sentence that it contains."""
        raise NotImplementedError

    def test_extensions_are_lower_case_with_a_dot(self) -> None:
        extensions = self.make_loader().extensions
        assert extensions
        assert all(re.fullmatch(r"\.[^A-Z.]+(\.[^A-Z.]+)*", extension) for extension in extensions)

    def test_the_text_of_the_file_is_found(self) -> None:
        data, name, sentence = self.sample()
        loaded = self.make_loader().load(data, name)
        assert sentence in loaded.text
        assert loaded.title and loaded.media_type

    def test_blocks_are_disjoint_ascending_and_inside_the_text(self) -> None:
        data, name, sentence = self.sample()
        loaded = self.make_loader().load(data, name)
        edges = [edge for block in loaded.blocks for edge in (block.span.start, block.span.end)]
        assert edges == sorted(edges)
        assert not edges or edges[-1] <= len(loaded.text)
        assert all(block.header is None or block.span.contains(block.header) for block in loaded.blocks)
        assert any(sentence in block.span.of(loaded.text) for block in loaded.blocks)

    def test_pages_count_upwards_inside_the_text(self) -> None:
        data, name, _ = self.sample()
        loaded = self.make_loader().load(data, name)
        numbers = [page.number for page in loaded.pages]
        assert numbers == sorted(set(numbers))
        assert all(page.number >= 1 and page.span.end <= len(loaded.text) for page in loaded.pages)

    def test_the_same_bytes_give_the_same_document(self) -> None:
        data, name, _ = self.sample()
        assert self.make_loader().load(data, name) == self.make_loader().load(data, name)

    def test_an_empty_file_raises_load_error_or_has_no_text(self) -> None:
        """Which of the two is the loader's choice: a document without text is refused later, by the pipeline."""
        _, name, _ = self.sample()
        try:
            loaded = self.make_loader().load(b"", name)
        except LoadError as error:
            assert str(error)
        else:
            assert loaded.text.strip() == ""


class ChunkerSuite:
    """Inherit and override `make_chunker`; override `documents` to try it on your own texts, too."""

    def make_chunker(self) -> Chunker:
        raise NotImplementedError

    def documents(self) -> Sequence[Document]:
        """Give the documents to cut: as they are here, English and Chinese, short and long, and one that repeats."""
        english = "The river rises in spring. It falls in autumn! Does it freeze? Dr. Berg says no."
        chinese = "长江是中国最长的河流。它流经十一个省份!你知道它的长度吗?约六千三百公里。"
        texts = [english, chinese, "One line only", "\n\n".join([english, chinese] * 40), "Again. " * 700]
        return [make_document(text, f"sample-{number}.txt") for number, text in enumerate(texts)]

    def test_a_chunk_is_the_documents_own_text(self) -> None:
        for document in self.documents():
            for chunk in self.make_chunker().split(document):
                assert chunk.text == chunk.span.of(document.text)
                assert chunk.document_id == document.id

    def test_sentences_are_disjoint_ascending_and_hold_all_that_is_not_blank(self) -> None:
        for document in self.documents():
            for chunk in self.make_chunker().split(document):
                edges = [edge for one in chunk.sentences for edge in (one.span.start, one.span.end)]
                assert edges == sorted(edges)
                assert all(chunk.span.contains(one.span) for one in chunk.sentences)
                told = "".join(one.span.of(document.text) for one in chunk.sentences)
                assert "".join(told.split()) == "".join(chunk.text.split())

    def test_ordinals_count_from_zero(self) -> None:
        for document in self.documents():
            chunks = self.make_chunker().split(document)
            assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
            for chunk in chunks:
                assert [one.ordinal for one in chunk.sentences] == list(range(len(chunk.sentences)))

    def test_every_word_of_the_document_is_in_some_chunk(self) -> None:
        for document in self.documents():
            covered = {
                at for chunk in self.make_chunker().split(document) for at in range(chunk.span.start, chunk.span.end)
            }
            missing = [at for at, character in enumerate(document.text) if at not in covered and character.isalnum()]
            assert missing == []

    def test_ids_and_keys_are_unique_and_the_same_every_time(self) -> None:
        for document in self.documents():
            first, again = (self.make_chunker().split(document) for _ in range(2))
            assert first == again
            assert len({chunk.id for chunk in first}) == len({chunk.key for chunk in first}) == len(first)

    def test_a_blank_document_has_no_chunks(self) -> None:
        assert self.make_chunker().split(make_document(" \n\n ")) == ()

    def test_the_recipe_is_named(self) -> None:
        assert self.make_chunker().recipe == self.make_chunker().recipe != ""


class EmbedderSuite:
    """Inherit and override `make_embedder`. `tolerance` allows for the order of summation in a batch."""

    tolerance = 1e-4

    def make_embedder(self) -> Embedder:
        raise NotImplementedError

    def test_vectors_are_float32_rows_of_unit_length(self) -> None:
        embedder = self.make_embedder()
        vectors = embedder.embed_documents(["One text.", "另一段文字。", ""])
        assert vectors.shape == (3, embedder.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)

    def test_a_query_is_one_vector_of_unit_length(self) -> None:
        embedder = self.make_embedder()
        vector = embedder.embed_query("What is it?")
        assert vector.shape == (embedder.dim,)
        assert vector.dtype == np.float32
        assert abs(float(np.linalg.norm(vector)) - 1) < 1e-3

    def test_no_texts_give_no_rows(self) -> None:
        embedder = self.make_embedder()
        assert embedder.embed_documents([]).shape == (0, embedder.dim)

    def test_a_vector_depends_on_its_text_alone(self) -> None:
        embedder, texts = self.make_embedder(), ["short", "a text of a very different length " * 8, "短"]
        together = embedder.embed_documents(texts)
        alone = np.concatenate([embedder.embed_documents([text]) for text in texts])
        np.testing.assert_allclose(together, alone, atol=self.tolerance)
        np.testing.assert_allclose(embedder.embed_documents(texts[::-1]), together[::-1], atol=self.tolerance)

    def test_different_texts_give_different_vectors(self) -> None:
        first, second = self.make_embedder().embed_documents(["the boiling point of water", "a treaty of 1648"])
        assert float(first @ second) < 0.999

    def test_the_model_is_named(self) -> None:
        assert self.make_embedder().model_id == self.make_embedder().model_id != ""


class RerankerSuite:
    """Inherit and override `make_reranker`; override the samples when it needs token vectors."""

    def make_reranker(self) -> Reranker:
        raise NotImplementedError

    def query(self) -> Query:
        return make_query("Which river flows through Vienna?")

    def candidates(self) -> list[Candidate]:
        """Give candidates with different scores, best first."""
        texts = [
            ("The Danube flows through Vienna.", "It is long."),
            ("Graz lies on the Mur.",),
            ("多瑙河流经维也纳。",),
        ]
        scores = [
            {"dense": 0.9, "lexical": 7.0, "fused": 0.03},
            {"dense": 0.7, "fused": 0.02},
            {"dense": 0.6, "fused": 0.01},
        ]
        pairs = enumerate(zip(texts, scores, strict=True))
        return [make_candidate(*text, source=f"{number}.txt", scores=score) for number, (text, score) in pairs]

    def test_every_candidate_comes_back_once_best_first(self) -> None:
        candidates = self.candidates()
        scored = self.make_reranker().rerank(self.query(), candidates)
        assert sorted(one.chunk.id for one in scored) == sorted(one.chunk.id for one in candidates)
        assert [one.score for one in scored] == sorted((one.score for one in scored), reverse=True)

    def test_every_sentence_is_scored_in_order(self) -> None:
        for one in self.make_reranker().rerank(self.query(), self.candidates()):
            assert tuple(item.sentence for item in one.sentences) == one.chunk.sentences

    def test_scores_are_finite(self) -> None:
        for one in self.make_reranker().rerank(self.query(), self.candidates()):
            assert np.isfinite([one.score, *(item.score for item in one.sentences), *one.scores.values()]).all()

    def test_the_retrievers_scores_are_carried_on(self) -> None:
        before = {one.chunk.id: one.scores for one in self.candidates()}
        for one in self.make_reranker().rerank(self.query(), self.candidates()):
            assert before[one.chunk.id].items() <= one.scores.items()

    def test_equal_calls_give_equal_scores(self) -> None:
        reranker = self.make_reranker()
        first, again = (reranker.rerank(self.query(), self.candidates()) for _ in range(2))
        assert [(one.chunk.id, one.score) for one in first] == [(one.chunk.id, one.score) for one in again]

    def test_no_candidates_give_an_empty_list(self) -> None:
        assert self.make_reranker().rerank(self.query(), []) == []

    def test_the_reranker_is_named(self) -> None:
        assert self.make_reranker().name


class GeneratorSuite:
    """Inherit and override `make_generator`. It is asked about one sentence of evidence."""

    question = "Which river flows through Vienna?"
    evidence = ("The Danube flows through Vienna.",)

    def make_generator(self) -> Generator:
        raise NotImplementedError

    def test_the_parts_of_an_answer_are_texts_and_together_not_blank(self) -> None:
        parts = list(self.make_generator().generate(make_context(self.question, self.evidence)))
        assert all(isinstance(part, str) for part in parts)
        assert "".join(parts).strip()

    def test_marks_name_evidence_that_exists(self) -> None:
        text = "".join(self.make_generator().generate(make_context(self.question, self.evidence)))
        assert {int(mark) for mark in re.findall(r"\[(\d+)\]", text)} <= {1}

    def test_a_context_without_evidence_is_answered_without_marks(self) -> None:
        text = "".join(self.make_generator().generate(make_context(self.question)))
        assert re.findall(r"\[\d+\]", text) == []

    def test_tokens_are_counted(self) -> None:
        generator = self.make_generator()
        assert generator.count_tokens("") == 0
        assert 0 < generator.count_tokens("Danube") <= generator.count_tokens("Danube in Vienna, 多瑙河")

    def test_the_limits_are_stated(self) -> None:
        generator = self.make_generator()
        assert generator.model
        assert 0 < generator.max_output_tokens < generator.context_window
