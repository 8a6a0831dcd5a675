"""Where the attention goes: weights that are known in advance, and what must hold for any weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch

from attention_core.codec import codec_for
from attention_core.interaction_module import Interaction
from attention_core.reranker import AttentionReranker
from attention_core.scorer import ScorerWeights
from domain.calibration import Calibration, ScoreMap, ScoringQuality, Thresholds
from domain.errors import IndexModelMismatch, NotFound, UsageError
from domain.explanation import Explanation
from domain.search import AttentionWeights
from fovea import open_engine
from fovea.testing import PassThroughReranker
from retrieval.embedders.hashing import HashingEncoder
from service.bootstrap import build_parts
from service.engine import Engine
from service.settings import EncoderSettings, RetrievalSettings, Settings

LAMP = "The lamp of the lighthouse is serviced twice a year. Amara Okafor does it."
JETTY = "The jetty of the harbour is closed in winter."
QUESTION = "How often is the lamp serviced?"
SAMPLES = Path(__file__).parents[2] / "samples"
QUESTIONS = {
    "lighthouse-lease.txt": "Who signs the lease for the Trust?",
    "northwind-handbook.md": "What is the daily allowance in China?",
    "北辰空气净化器使用手册.md": "复合滤网多久更换一次？",
}


def settings_of(data_dir, **sections):
    return Settings(data_dir=data_dir, encoder=EncoderSettings(model="hashing"), **sections)


class Even(PassThroughReranker):
    """Two heads: one looks at every token of all candidates and at a null key alike, the other at nothing."""

    name = "even"
    heads = 2

    def explain(self, query, candidates):
        codec = codec_for(None)
        tokens = [codec.decode(one.stored.token_blob) for one in candidates]
        each = 1 / (sum(map(len, tokens)) + 1)
        shown = []
        for scored, own in zip(self.rerank(query, candidates), tokens, strict=True):
            weights = np.zeros((self.heads, len(query.tokens), len(own)), dtype=np.float32)
            weights[0] = each
            attention = AttentionWeights(weights, query.tokens.offsets, own.offsets)
            shown.append(replace(scored, attention=attention))
        return shown


class Named(Even):
    head_names = ("even", "blind")


class ManyHeads(Even):
    heads = 25_000


class SentenceVectorsOnly:
    """The hashing encoder, under its own name, without its token vectors."""

    def __init__(self):
        encoder = HashingEncoder()
        self.model_id, self.dim = encoder.model_id, encoder.dim
        self.embed_documents, self.embed_query = encoder.embed_documents, encoder.embed_query


@pytest.fixture
def opened(tmp_path):
    """Open engines over a directory that holds two notes, with parts of the test's own; each closes the one before."""
    with open_engine(settings=settings_of(tmp_path / "data")) as engine:
        engine.ingest_text(LAMP, title="Lamp", source="lamp")
        engine.ingest_text(JETTY, title="Jetty", source="jetty")
    current = engine

    def open_one(sections=None, **parts):
        nonlocal current
        current.close()
        current = open_engine(settings=settings_of(tmp_path / "data", **(sections or {})), **parts)
        return current

    yield open_one
    current.close()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The samples, each of several chunks, with the attention that the product has."""
    with open_engine(settings=settings_of(tmp_path_factory.mktemp("explained") / "data")) as engine:
        assert not engine.ingest([SAMPLES]).failed
        yield engine


# -- known weights -----------------------------------------------------------------------------------------------------


def test_weights_are_summed_by_token_by_sentence_and_by_chunk(opened):
    explanation = opened(reranker=Even()).explain(QUESTION, document="lamp")
    # 14 tokens of the lamp, 9 of the jetty, the null key: each has 1/24. The question has 6 tokens.
    assert explanation.heads == ("head 1", "head 2")
    assert [token.coverage for token in explanation.question_tokens] == [(round(14 / 24, 4), 0.0)] * 6
    (chunk,) = explanation.chunks
    assert [token.weights for token in chunk.tokens] == [(0.25, 0.0)] * 14
    assert [(item.text, item.weights) for item in chunk.sentences] == [
        ("The lamp of the lighthouse is serviced twice a year.", (2.5, 0.0)),
        ("Amara Okafor does it.", (1.0, 0.0)),
    ]
    assert chunk.weights == (3.5, 0.0)
    assert chunk.matrix is None
    assert (explanation.source, explanation.title, explanation.reranker) == ("lamp", "Lamp", "even")
    assert explanation.attended_chunks == 1


def test_the_matrix_is_there_when_it_is_asked_for(opened):
    explanation = opened(reranker=Even()).explain(QUESTION, document="lamp", full=True)
    even, blind = explanation.chunks[0].matrix
    assert even == ((round(1 / 24, 4),) * 14,) * 6
    assert blind == ((0.0,) * 14,) * 6


def test_a_reranker_may_name_its_heads(opened):
    assert opened(reranker=Named()).explain(QUESTION, document="lamp").heads == ("even", "blind")


def test_names_that_are_not_one_a_head_are_not_used(opened):
    class Misnamed(Even):
        head_names = ("only one",)

    assert opened(reranker=Misnamed()).explain(QUESTION, document="lamp").heads == ("head 1", "head 2")


def test_a_document_that_no_search_would_find_is_explained_beside_what_is_found(opened):
    engine = opened({"retrieval": RetrievalSettings(candidates=1)}, reranker=Even())
    explanation = engine.explain(QUESTION, document="jetty")
    assert {item.source for item in engine.search(QUESTION).evidence} == {"lamp"}
    assert explanation.chunks[0].sentences[0].text == JETTY
    assert {token.coverage[0] for token in explanation.question_tokens} == {round(9 / 24, 4)}


def test_a_reranker_that_names_no_parts_leaves_them_empty(opened):
    (chunk,) = opened(reranker=Even()).explain(QUESTION, document="lamp").chunks
    assert [(sentence.parts, sentence.raw_score) for sentence in chunk.sentences] == [({}, None)] * 2


def test_what_a_network_did_is_a_head_and_a_part(opened):
    torch.manual_seed(0)
    network = Interaction(HashingEncoder().dim)
    torch.nn.init.normal_(network.out.weight)
    weights = ScorerWeights(projection=None, interaction=network.weights())
    explanation = opened(reranker=AttentionReranker(codec_for(None), weights)).explain(QUESTION, document="lamp")
    assert explanation.heads == ("meaning", "same token", "network")
    (chunk,) = explanation.chunks
    assert len(chunk.weights) == 3 and 0 < chunk.weights[2] <= len(explanation.question_tokens)
    added = [sentence.parts["network"] for sentence in chunk.sentences]
    assert min(map(abs, added)) > 0
    for sentence in chunk.sentences:
        assert 1 / (1 + math.exp(-sum(sentence.parts.values()))) == pytest.approx(sentence.score, abs=5e-4)


# -- any weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_offset_counts_in_the_document(samples, name):
    explanation = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), chunks=9)
    text = samples.document(explanation.document_id).text
    assert len(explanation.chunks) == explanation.attended_chunks > 1
    for chunk in explanation.chunks:
        assert chunk.tokens and chunk.sentences
        for item in (*chunk.sentences, *chunk.tokens):
            assert item.span.of(text) == item.text
            assert chunk.span.contains(item.span)
    for token in explanation.question_tokens:
        assert token.span.of(explanation.question) == token.text


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_token_of_the_question_gives_a_head_more_than_one(samples, name):
    explanation = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), chunks=99, full=True)
    matrix = np.concatenate([np.array(chunk.matrix) for chunk in explanation.chunks], axis=2)  # (H, Tq, T)
    placed = matrix.sum(axis=2)
    coverage = np.array([token.coverage for token in explanation.question_tokens]).T
    assert matrix.min() >= 0
    assert 0 < coverage.max() <= 1
    np.testing.assert_allclose(placed, coverage, atol=1e-4 * matrix.shape[2])  # each weight is rounded by itself


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_grains_agree(samples, name):
    explanation = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), chunks=99, full=True)
    for chunk in explanation.chunks:
        by_token = np.array([token.weights for token in chunk.tokens])  # (Td, H)
        np.testing.assert_allclose(np.array(chunk.matrix).sum(axis=1).T, by_token, atol=1e-3)
        by_sentence = np.array([sentence.weights for sentence in chunk.sentences])
        np.testing.assert_allclose(by_sentence.sum(axis=0), chunk.weights, atol=1e-4 * len(by_sentence))
        np.testing.assert_allclose(by_token.sum(axis=0), chunk.weights, atol=1e-4 * len(by_token))
        assert len(chunk.weights) == len(explanation.heads)


def test_a_sentence_holds_the_mass_of_its_own_tokens(samples):
    name = "北辰空气净化器使用手册.md"
    explanation = samples.explain(QUESTIONS[name], document=str(SAMPLES / name))
    for chunk in explanation.chunks:
        for sentence in chunk.sentences:
            own = [token.weights for token in chunk.tokens if sentence.span.contains(token.span)]
            np.testing.assert_allclose(np.sum(own, axis=0), sentence.weights, atol=1e-4 * len(own))


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_parts_of_a_sentence_add_up_to_its_raw_score(samples, name):
    explanation = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), chunks=99)
    for sentence in (one for chunk in explanation.chunks for one in chunk.sentences):
        assert list(sentence.parts) == ["sentence", "window", "chunk", "dense", "lexical", "network", "bias"]
        chance = 1 / (1 + math.exp(-sum(sentence.parts.values())))  # seven parts of four decimals
        assert chance == pytest.approx(sentence.raw_score, abs=2e-4)
        assert sentence.raw_score == sentence.score, "nothing maps the scores of this encoder"


@pytest.mark.parametrize("name", QUESTIONS)
def test_scores_are_those_of_the_search(samples, name):
    explanation = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), chunks=99)
    explained = {chunk.chunk_id: chunk for chunk in explanation.chunks}
    found = [item for item in samples.search(QUESTIONS[name]).evidence if item.document_id == explanation.document_id]
    assert found
    for item in found:
        chunk = explained[item.chunk_id]
        assert chunk.score == pytest.approx(item.score, abs=1e-4)
        scores = {sentence.span: sentence.score for sentence in chunk.sentences}
        for sentence in item.sentences:
            assert scores[sentence.span] == pytest.approx(sentence.score, abs=1e-4)
    order = [chunk.score for chunk in explanation.chunks]
    assert order == sorted(order, reverse=True)


def test_the_best_chunks_are_given_and_all_are_counted(samples):
    name = "northwind-handbook.md"
    everything = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), chunks=99)
    best = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), chunks=2)
    assert best.chunks == everything.chunks[:2]
    assert best.attended_chunks == everything.attended_chunks == len(everything.chunks) > 2
    assert best.question_tokens == everything.question_tokens


@pytest.mark.parametrize("full", [False, True])
def test_an_explanation_survives_its_way_through_json(samples, full):
    name = "北辰空气净化器使用手册.md"
    explanation = samples.explain(QUESTIONS[name], document=str(SAMPLES / name), full=full)
    assert Explanation.from_dict(json.loads(orjson.dumps(explanation.to_dict()))) == explanation
    assert (explanation.chunks[0].matrix is None) is not full


# -- which document ----------------------------------------------------------------------------------------------------


def test_a_document_is_named_by_its_id_or_by_its_source(opened):
    engine = opened()
    by_source = engine.explain(QUESTION, document="lamp")
    assert engine.explain(QUESTION, document=by_source.document_id) == by_source


@pytest.mark.parametrize("document", ["", "lam", "doc-00000000000000000000", "Lamp", "a\0b", "\udcff"])
def test_an_unknown_document_is_not_found(opened, document):
    with pytest.raises(NotFound, match="no document with the id or source"):
        opened().explain(QUESTION, document=document)


def test_a_document_of_another_collection_is_not_found_and_the_message_says_where_it_is(opened):
    engine = opened()
    outcome = engine.ingest_text(LAMP, source="lamp", collection="other")
    with pytest.raises(NotFound, match="in the collection 'other' and not in 'default'"):
        engine.explain(QUESTION, document=outcome.id)
    assert engine.explain(QUESTION, document="lamp").document_id != outcome.id
    assert engine.explain(QUESTION, document="lamp", collection="other").document_id == outcome.id
    with pytest.raises(NotFound, match="'none'"):
        engine.explain(QUESTION, document="lamp", collection="none")


def test_a_document_that_was_never_read_is_not_found_and_the_message_says_why(opened):
    engine = opened()
    failed = engine.ingest_bytes(b"%PDF-1.4 broken", "broken.pdf").error
    with pytest.raises(NotFound) as caught:
        engine.explain(QUESTION, document="broken.pdf")
    assert "never been read" in caught.value.message and failed.message in caught.value.message


# -- no attention ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sections", "parts"),
    [
        ("none", {"retrieval": RetrievalSettings(reranker="none")}, {}),
        ("pass-through", {}, {"reranker": PassThroughReranker()}),
    ],
)
def test_without_attention_the_error_says_that_it_is_off(opened, name, sections, parts):
    with pytest.raises(UsageError, match=f"Attention is off: the reranker '{name}'") as caught:
        opened(sections, **parts).explain(QUESTION, document="lamp")
    assert caught.value.code == "attention_off"


def test_an_encoder_without_token_vectors_has_nothing_to_explain(opened):
    with pytest.raises(UsageError, match="gives no token vectors") as caught:
        opened(encoder=SentenceVectorsOnly()).explain(QUESTION, document="lamp")
    assert caught.value.code == "attention_off"


def test_a_question_without_a_token_has_nothing_to_explain(opened):
    with pytest.raises(UsageError, match="gives no token vectors") as caught:
        opened().explain("?!", document="lamp")
    assert caught.value.code == "attention_off"


def test_a_document_that_is_stored_without_token_vectors_must_be_ingested_again(opened):
    opened(encoder=SentenceVectorsOnly()).ingest_text("The buoy is red.", source="buoy")
    engine = opened()
    with pytest.raises(UsageError, match="'buoy' are stored without token vectors; ingest it again") as caught:
        engine.explain("Which colour has the buoy?", document="buoy")
    assert caught.value.code == "attention_off"
    assert engine.explain(QUESTION, document="lamp").chunks


# -- a calibrated collection -------------------------------------------------------------------------------------------


def calibrated(parts, uses_attention):
    """Store for the default collection what a calibration run might have found."""
    parts.store.ensure_collection("default")
    unmeasured = ScoringQuality(0.5, 0.5, 100.0)
    calibration = Calibration(
        identity=parts.scoring.identity,
        uses_attention=uses_attention,
        reason="",
        thresholds=Thresholds(0.0, 0.0),
        target=0.05,
        maps={"en": ScoreMap(slope=0.5, intercept=-1.0)},
        attention=unmeasured,
        fused=unmeasured,
        questions=(10, 10),
        fitted_at="2026-01-01T00:00:00+00:00",
    )
    parts.scoring.put("default", calibration)


def test_sentence_scores_are_those_that_the_calibration_of_the_collection_makes_of_them(tmp_path):
    parts = build_parts(settings_of(tmp_path))
    with Engine(parts) as engine:
        engine.ingest_text(LAMP, title="Lamp", source="lamp")
        before = engine.explain(QUESTION, document="lamp").chunks[0]
        calibrated(parts, uses_attention=True)
        after = engine.explain(QUESTION, document="lamp").chunks[0]
        (found,) = engine.search(QUESTION).evidence
    for raw, chance in zip(before.sentences, after.sentences, strict=True):
        logit = 0.5 * math.log(raw.score / (1 - raw.score)) - 1.0
        assert chance.score == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-3)
        assert (chance.weights, chance.parts, chance.raw_score) == (raw.weights, raw.parts, raw.score)
    scores = {sentence.span: sentence.score for sentence in after.sentences}
    assert [scores[item.span] for item in found.sentences] == pytest.approx(
        [item.score for item in found.sentences], abs=1e-4
    )
    assert (after.score, after.tokens) == (before.score, before.tokens)


def test_where_a_calibration_has_switched_attention_off_the_error_says_so(tmp_path):
    parts = build_parts(settings_of(tmp_path))
    with Engine(parts) as engine:
        engine.ingest_text(LAMP, title="Lamp", source="lamp")
        calibrated(parts, uses_attention=False)
        with pytest.raises(UsageError, match="Attention is off: the calibration of this collection") as caught:
            engine.explain(QUESTION, document="lamp")
    assert caught.value.code == "attention_off"


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["", " \n", "\u200b"])
def test_an_empty_question_is_refused(opened, question):
    with pytest.raises(UsageError, match="empty"):
        opened().explain(question, document="lamp")


def test_a_question_is_explained_up_to_128_tokens(opened):
    engine = opened()
    assert len(engine.explain("lamp " * 128, document="lamp").question_tokens) == 128
    with pytest.raises(UsageError, match="129 tokens; at most 128") as caught:
        engine.explain("lamp " * 129, document="lamp")
    assert caught.value.code == "question_too_long"


@pytest.mark.parametrize("chunks", [0, -1])
def test_fewer_than_one_chunk_cannot_be_shown(opened, chunks):
    with pytest.raises(UsageError, match=f"chunks is {chunks}"):
        opened().explain(QUESTION, document="lamp", chunks=chunks)


def test_all_weights_are_given_up_to_a_million_numbers(opened):
    engine = opened(reranker=ManyHeads())
    assert len(engine.explain(QUESTION, document="lamp").chunks[0].weights) == 25_000
    with pytest.raises(UsageError, match="2,100,000 numbers; at most 1,000,000") as caught:
        engine.explain(QUESTION, document="lamp", full=True)
    assert caught.value.code == "explanation_too_large"


def test_vectors_of_another_encoder_are_refused_as_in_a_search(opened):
    with pytest.raises(IndexModelMismatch):
        opened(encoder=HashingEncoder(32)).explain(QUESTION, document="lamp")
