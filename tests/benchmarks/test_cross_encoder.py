"""The cross-encoder of the benchmarks: what it reads, how it learns, what it gives; and who may judge it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from attention_core.examples import batches
from benchmarks.attention import SetResult, differences, table
from benchmarks.attention_arms import CROSS_ENCODER, Arm, Outcome
from benchmarks.cross_encoder import training
from benchmarks.cross_encoder.__main__ import run
from benchmarks.cross_encoder.graph import export, quantise
from benchmarks.cross_encoder.network import CrossNetwork
from benchmarks.cross_encoder.pairs import LIMIT, Pair, PairReader, groups, join, segments
from benchmarks.cross_encoder.reranker import CrossEncoder
from benchmarks.cross_encoder.training import Options, gather, train
from benchmarks.held_out import judging, split_of
from benchmarks.labelled import load_set
from benchmarks.weights import corpora, training_settings
from domain.errors import ConfigurationError
from domain.search import Filters
from retrieval.embedders.adapter import transformer
from retrieval.embedders.windows import WindowPlanner
from service.bootstrap import build_parts
from service.engine import Engine
from service.question_encoding import encode_question
from service.training.data import Labelled, collect, known_documents
from service.training.tokens import StoredTokens, TokenRow
from tests.retrieval.tiny_model import write_tiny_model

DATA = Path(__file__).parents[1] / "data"
SETS = ("xquad-en", "cmrc-zh")


@pytest.fixture(scope="module")
def sets():
    return corpora(DATA, SETS, ())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, sets):
    texts = ["query: passage: / \n", *(row["text"] for one in sets for row in one.documents)]
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", texts)


@pytest.fixture(scope="module")
def made(tmp_path_factory, sets, tiny):
    """The cache and the output of one short run of the whole command."""
    cache = tmp_path_factory.mktemp("cache")
    run(sets, str(tiny), cache, cache / "out", Options(steps=1, questions=2), most=8)
    return cache, cache / "out"


@pytest.fixture(scope="module")
def parts(made, tiny):
    parts = build_parts(training_settings(str(tiny), made[0]))
    with Engine(parts):
        yield parts


@pytest.fixture
def network(tiny):
    return CrossNetwork(tiny, seed=0)


def quiet(what, done, total):
    pass


@pytest.fixture(scope="module")
def gathered(parts, sets, tiny):
    encoder = CrossNetwork(tiny, seed=0).encoder
    return [gather(parts, one, encoder, 1000, quiet) for one in sets]


def candidates_of(parts, question, collection="xquad-en"):
    query = encode_question(parts, question, Filters(collection))
    return query, parts.retriever.search(query, 8)


# -- what it reads ---------------------------------------------------------------------------------------------------


def row_of(ids, take):
    take = np.array(take)
    return TokenRow(take, np.array(ids)[take].astype(np.int32), np.zeros((len(take), 2), np.int32), np.array(ids))


def test_a_row_is_the_question_and_the_chunk_under_one_begin_mark():
    pair = join(row_of([1, 50, 51, 2], [1, 2]), row_of([1, 60, 61, 62, 63, 2], [2, 3, 4]), np.array([0, 0, 1]), 2)
    assert pair.ids.tolist() == [1, 50, 51, 2, 60, 61, 62, 63, 2]
    assert pair.ids[pair.take].tolist() == [61, 62, 63]
    assert pair.sentence.tolist() == [0, 0, 1] and pair.sentences == 2


def test_what_is_too_long_is_cut_and_keeps_its_end_marks():
    asked = row_of([1, *range(1000, 1100), 2], range(1, 101))
    chunk = row_of([1, *range(2000, 2400), 2], range(1, 401))
    pair = join(asked, chunk, np.arange(400) // 100, 4)
    assert len(pair.ids) == LIMIT == 320
    assert pair.ids[:64].tolist() == [1, *range(1000, 1062), 2]
    assert pair.ids[64:].tolist() == [*range(2000, 2255), 2]
    assert pair.ids[pair.take].tolist() == list(range(2000, 2255))
    assert np.bincount(pair.sentence, minlength=4).tolist() == [100, 100, 55, 0]


def test_a_chunk_that_just_fits_loses_nothing():
    asked = row_of([1, 50, 2], [1])
    chunk = row_of([1, *range(2000, 2316), 2], range(1, 317))
    pair = join(asked, chunk, np.zeros(316, dtype=np.int64), 1)
    assert len(pair.ids) == LIMIT and len(pair.take) == 316


def test_sentences_of_several_rows_lie_one_after_the_other():
    pairs = [
        Pair(np.arange(5), np.array([1, 2]), np.array([0, 2]), 3),
        Pair(np.arange(9), np.array([3]), np.array([0]), 1),
    ]
    owner, counts = segments(pairs)
    assert owner.tolist() == [0, 2, 3] and counts.tolist() == [1, 0, 1, 1]


def test_groups_hold_every_row_once_within_their_tokens():
    pairs = [Pair(np.arange(length), np.zeros(0, np.intp), np.zeros(0, np.int64), 0) for length in (30, 5, 20, 50, 10)]
    assert list(groups(pairs, 60)) == [[1, 4, 2], [0], [3]]


def test_training_and_reranking_read_the_same_rows(parts, network, gathered):
    """The ids that were gathered for training, and those that the reranker lays out of the stored chunk."""
    source = gathered[1]
    batch = next(batches([source.training], 1, 3, seed=1))
    collection = "cmrc-zh"
    asked = next(one for one in corpora(DATA, SETS, ())[1].questions if is_of(parts, one, source, batch))
    query, candidates = candidates_of(parts, asked.question, collection)
    reader = PairReader(WindowPlanner(network.tokenizer, network.encoder.spec.max_length), network.encoder.spec)
    rows = {tuple(pair.ids): pair for pair in reader.read(query.text, [one.stored for one in candidates])}
    known = [pair for pair in source.pairs(batch) if tuple(pair.ids) in rows]
    assert known
    for pair in known:
        same = rows[tuple(pair.ids)]
        assert pair.take.tolist() == same.take.tolist() and pair.sentence.tolist() == same.sentence.tolist()


def is_of(parts, question, source, batch):
    row = source.questions[batch.examples[0].row]
    encoded = encode_question(parts, question.question, Filters())
    return encoded.tokens is not None and encoded.tokens.ids.tolist() == row.ids.tolist()


# -- how it learns ---------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def state_of(network):
    return {name: value.clone() for name, value in network.learning.state_dict().items()}


def test_a_killed_run_ends_where_it_would_have_ended(tiny, gathered, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_SAVE_EVERY", 1)
    monkeypatch.setattr(training, "_TELL_EVERY", 1)
    options = Options(steps=3, questions=2)
    whole, first, second = (CrossNetwork(tiny, seed=0) for _ in range(3))
    train(whole, gathered, options, tmp_path / "whole.pt", lambda line: None)

    def kill(line):
        raise Killed

    with pytest.raises(Killed):
        train(first, gathered, options, tmp_path / "killed.pt", kill)
    lines: list[str] = []
    train(second, gathered, options, tmp_path / "killed.pt", lines.append)
    assert [line.split(":")[0] for line in lines] == ["step 2 of 3", "step 3 of 3"]
    for name, value in state_of(whole).items():
        assert torch.equal(value, second.learning.state_dict()[name]), name


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_continued(tiny, gathered, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_TELL_EVERY", 1)
    checkpoint = tmp_path / "checkpoint.pt"
    lines: list[str] = []
    train(CrossNetwork(tiny, seed=0), gathered, Options(steps=1, questions=1), checkpoint, lines.append)
    train(CrossNetwork(tiny, seed=0), gathered, Options(steps=1, questions=2), checkpoint, lines.append)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    train(CrossNetwork(tiny, seed=0), gathered, Options(steps=1, questions=2), checkpoint, lines.append)
    assert [line.split(":")[0] for line in lines] == ["step 1 of 1"] * 3


def test_the_upper_half_and_the_heads_learn_and_nothing_else(network, gathered, tmp_path):
    before, learned = {name: value.clone() for name, value in network.model.state_dict().items()}, state_of(network)
    train(network, gathered, Options(steps=2, questions=2), tmp_path / "checkpoint.pt", lambda line: None)
    changed = {name for name, value in network.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(".layer.1." in name for name in changed)  # the second of two
    heads = {name for name, value in learned.items() if name.startswith("heads") and "weight" in name}
    assert heads and not any(torch.equal(learned[name], network.learning.state_dict()[name]) for name in heads)


def test_the_loss_falls_on_what_is_trained_on(network, gathered, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_TELL_EVERY", 20)
    sets = [replace(one, training=replace(one.training, examples=one.training.examples[:2])) for one in gathered]
    lines: list[str] = []
    train(network, sets, Options(steps=40, questions=2, rate=2e-3), tmp_path / "checkpoint.pt", lines.append)
    first, last = (float(line.split("loss ")[1].split(",")[0]) for line in lines)
    assert last < 0.7 * first


def test_a_sentence_that_was_cut_off_scores_nothing(network):
    pair = Pair(np.array([2, 5, 3]), np.array([1]), np.array([0]), 2)
    with torch.no_grad():
        chunks, sentences = network.scores([pair])
    assert chunks.shape == (1,) and sentences.shape == (2,)
    assert sentences[1] == 0.0 and sentences[0] != 0.0


# -- what it gives ---------------------------------------------------------------------------------------------------


def test_every_candidate_and_every_sentence_gets_a_score(parts, made):
    query, candidates = candidates_of(parts, "Who won the game?")
    for precision in ("float", "int8"):
        scored = CrossEncoder(made[1], precision).rerank(query, candidates)
        assert {one.chunk.key for one in scored} == {one.chunk.key for one in candidates} and len(candidates) == 8
        assert [one.score for one in scored] == sorted((one.score for one in scored), reverse=True)
        for one in scored:
            assert tuple(item.sentence for item in one.sentences) == one.chunk.sentences
            assert np.isfinite([one.score, *(item.score for item in one.sentences)]).all()
        assert len({item.score for one in scored for item in one.sentences}) > 8
    assert CrossEncoder(made[1]).rerank(query, []) == []


def test_a_chunk_without_sentences_keeps_its_place_among_the_others(parts, made):
    query, candidates = candidates_of(parts, "Who won the game?")
    bare = replace(candidates[0].stored, chunk=replace(candidates[0].chunk, sentences=()))
    encoder = CrossEncoder(made[1], "float")
    before = {one.chunk.key: one.score for one in encoder.rerank(query, candidates)}
    scored = encoder.rerank(query, [replace(candidates[0], stored=bare), *candidates[1:]])
    assert {one.chunk.key: one.score for one in scored} == before
    assert [one.sentences for one in scored if one.chunk.key == bare.chunk.key] == [()]


def test_the_graphs_score_as_the_network_that_was_trained(parts, network, tmp_path):
    """The network and the graphs round to bf16 at other places, and int8 rounds once more."""
    with torch.no_grad():
        for parameter in transformer(network.model).encoder.parameters():
            parameter.mul_(6 if parameter.ndim > 1 else 1)  # as drawn, the first token hardly sees the others
    export(network, tmp_path)
    query, candidates = candidates_of(parts, "Who won the game?")
    reader = PairReader(WindowPlanner(network.tokenizer, network.encoder.spec.max_length), network.encoder.spec)
    with torch.no_grad():
        chunks, sentences = network.scores(reader.read(query.text, [one.stored for one in candidates]))
    for precision in ("float", "int8"):
        found = {one.chunk.key: one for one in CrossEncoder(tmp_path, precision).rerank(query, candidates)}
        scored = [found[one.chunk.key] for one in candidates]
        assert np.corrcoef([one.score for one in scored], chunks.numpy())[0, 1] > 0.95
        assert np.mean([one.score for one in scored]) == pytest.approx(float(chunks.mean()), abs=0.05)
        given = [item.score for one in scored for item in one.sentences]
        assert np.corrcoef(given, sentences.numpy())[0, 1] > 0.95
        assert np.mean(given) == pytest.approx(float(sentences.mean()), abs=0.05)


def test_all_matrices_of_the_layers_are_quantised_and_no_head(made):
    graph = openvino.Core().read_model(made[1] / "float" / "model.xml")
    assert quantise(graph) == 2 * 6  # query, key, value, output and two of the feed-forward part, in two layers
    saved = (made[1] / "int8" / "model.xml").read_text()
    assert saved.count('element_type="i8"') == 12
    assert "DYNAMIC_QUANTIZATION_GROUP_SIZE" in saved


def test_writing_graphs_again_replaces_them_and_an_altered_one_is_refused(network, tmp_path):
    export(network, tmp_path)
    first = (tmp_path / "float" / "model.bin").read_bytes()
    with torch.no_grad():
        network.heads.chunk.weight.zero_()
    export(network, tmp_path)
    assert (tmp_path / "float" / "model.bin").read_bytes() != first
    (tmp_path / "int8" / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError):
        CrossEncoder(tmp_path)


def test_the_command_leaves_graphs_and_no_checkpoint(made):
    assert {path.name for path in made[1].iterdir()} == {"float", "int8"}


# -- who may judge ---------------------------------------------------------------------------------------------------


def test_what_judges_is_what_fovea_train_holds_out(parts, sets, tmp_path):
    """The reranker's own training set of a collection with the name of the set."""
    corpus = next(one for one in sets if one.name == "cmrc-zh")
    named = known_documents(parts, corpus.name, corpus.questions)
    source = StoredTokens(parts.store, parts.training.codec)
    split = collect(parts, Labelled(corpus.name, tuple(named), 0, 1.0), source, tmp_path, quiet).split
    ids = {info.source: info.id for info in parts.store.list_documents(corpus.name, 1000, None)}
    judged = {ids[one.document] for one in judging(load_set(DATA / "cmrc-zh", 0), 0)}
    assert {f"document {one}" for one in judged} == split.held_out
    assert {ids[one] for one in corpus.held_out} == judged


def test_no_document_that_judges_teaches(parts, sets, gathered):
    for corpus, found in zip(sets, gathered, strict=True):
        sources = {info.id: info.source for info in parts.store.list_documents(corpus.name, 1000, None)}
        held = split_of(corpus.name, (one.document for one in load_set(DATA / corpus.name, 0).questions)).held_out
        taught = {sources[one.document] for one in found.training.examples}
        asked = {one.document for one in corpus.questions}
        assert taught == asked - held and held
        for batch, _ in zip(batches([found.training], 1, 3, seed=3), range(40), strict=False):
            assert not held & {sources[found.training.chunks[row].document] for row in batch.rows}


def test_a_set_that_nothing_is_trained_on_judges_whole():
    whole = load_set(DATA / "xquad-en", 0)
    assert {one.id for one in judging(whole, 0)} == {one.id for one in whole.questions}
    some = judging(whole, 10)
    assert len(some) == 10 and [one.id for one in some] == [one.id for one in judging(whole, 10)]
    assert len({one.document for one in some}) > 5  # not the first few documents


def test_a_slow_method_is_asked_the_first_questions_only(parts):
    seen: list[str] = []

    def slow(query, candidates):
        seen.append(query.text)
        return []

    arm = Arm(parts, {"fast": lambda query, candidates: [], "slow": slow}, {"slow": 2})
    questions = load_set(DATA / "xquad-en", 3).questions
    for question in questions:
        arm.ask(question)
    assert seen == [one.question for one in questions[:2]]
    assert {name: one.questions for name, one in arm.outcomes.items()} == {"fast": 3, "slow": 2}


def outcome_of(values):
    return Outcome(list(values), [[value] * 14 for value in values], [1.0] * len(values))


def test_differences_from_a_slow_method_are_over_the_questions_that_it_saw():
    outcomes = {"trained": outcome_of([1.0, 1.0, 0.0, 0.0]), CROSS_ENCODER: outcome_of([1.0, 0.0])}
    result = SetResult(outcomes, ["a", "b", "c", "d"], [(480, True)] * 4)
    lines = differences({"xquad-en": result}, [CROSS_ENCODER]).splitlines()
    assert lines[2].startswith(f"| xquad-en (never trained on) | {CROSS_ENCODER} | 2 | +50.0 [")
    assert lines[2].endswith("| 0.500 -> 0.000 (-100%) | 0.500 -> 0.000 (-100%) |")
    rows = table({"nq": result}).splitlines()
    assert rows[2].startswith("| nq | trained | 4 | 0.500 |")
    assert rows[3].startswith(f"| nq | {CROSS_ENCODER} | 2 | 0.500 |")
