"""How other libraries are measured beside the product: what they send is found again, judged and compared."""

from __future__ import annotations

import os
import socket
import string
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peers import arms, offline
from benchmarks.peers.arms import ARMS, DEPTHS, FINE, INDEXES, SEARCHES, Arm, Lineup, Search, versions
from benchmarks.peers.judging import Judge, Sent
from benchmarks.peers.locating import DocumentText
from benchmarks.peers.measuring import CEILINGS, Product, measure
from benchmarks.peers.protocol import Passage, Prompt, SourceDocument, Way, imported
from benchmarks.peers.report import Promise, chosen_settings, pooled, promise, promises, rows, table
from benchmarks.peers.results import PRODUCT, Indexed, SetResult
from benchmarks.peers.sets import PeerSet, load
from benchmarks.peers.tuning import in_second_half, tuned
from domain.documents import Span
from domain.errors import ConfigurationError
from domain.protocols import Embedder
from service.bootstrap import build_parts
from service.engine import Engine
from service.labelled_questions import LabelledQuestion, Reference
from service.settings import EncoderSettings, Settings

LEASE = "The lamp burns from dusk to dawn. The tenant pays 1,680 pounds. The trust keeps the key. Dogs are welcome."


class Words:
    """Counts words."""

    name = "words"

    def count(self, text: str) -> int:
        return len(text.split())


def spans(passage: str, start: int | None = None, document: str = LEASE) -> list[str]:
    return [span.of(document) for span in DocumentText(document).spans_of(passage, start)]


# -- finding passages again ------------------------------------------------------------------------------------------


def test_a_passage_at_its_place_is_that_place() -> None:
    assert DocumentText(LEASE).spans_of("The tenant pays", 34) == (Span(34, 49),)


def test_a_repeated_passage_is_found_from_where_it_is_said_to_begin() -> None:
    text = DocumentText("twelve lamps and twelve lamps")
    assert text.spans_of("twelve lamps", 17) == (Span(17, 29),)
    assert text.spans_of("twelve  lamps", 3) == (Span(17, 29),)  # altered, and begins before
    assert text.spans_of("twelve  lamps") == (Span(0, 12),)


def test_collapsed_white_space_does_not_hide_a_passage() -> None:
    assert DocumentText("one\n\n  lamp, two").spans_of("one lamp, two") == (Span(0, 16),)


def test_sentences_in_another_order_and_twice_are_each_found() -> None:
    # a full stop before both sentences agrees with the one of the passage, and counts as sent
    assert spans("Dogs are welcome. The tenant pays 1,680 pounds. Dogs are welcome.") == [
        ". The tenant pays 1,680 pounds.",
        ". Dogs are welcome.",
    ]


def test_a_title_in_front_of_a_passage_is_passed_over() -> None:
    assert spans("XYZZY QQ The trust keeps the key.") == ["The trust keeps the key."]


def test_a_sentence_keeps_the_letters_that_the_one_behind_its_predecessor_begins_with_too() -> None:
    # "The t" follows the first sentence in the document as well, so matching from the left runs into the next one
    assert "The trust keeps the key." in " ".join(spans("The lamp burns from dusk to dawn. The trust keeps the key."))


@pytest.mark.parametrize("passage", ["", "   ", "A ship sailed by."])
def test_what_is_not_in_the_document_is_nowhere(passage: str) -> None:
    assert spans(passage) == []


def test_a_passage_shorter_than_the_least_piece_must_match_as_a_whole() -> None:
    assert spans("dusk") == ["dusk"]
    assert spans("dust") == []


@settings(deadline=None)
@given(
    # No letter twice: in "aaaaaa" nobody could say which of them was meant.
    text=st.permutations(string.ascii_letters + "。，；：！？" + " " * 12 + "\n" * 4).map("".join),
    cuts=st.lists(st.tuples(st.integers(0, 70), st.integers(8, 40)), min_size=1, max_size=4),
)
def test_all_letters_of_pieces_joined_by_blanks_are_found(text: str, cuts: list[tuple[int, int]]) -> None:
    pieces = [text[start : start + length].strip() for start, length in cuts]
    pieces = [piece for piece in pieces if len("".join(piece.split())) >= 6]
    found = DocumentText(text).spans_of("  ".join(pieces))
    for piece in pieces:
        letters = "".join(piece.split())
        assert any(letters in "".join(span.of(text).split()) for span in found) or _covered(letters, text, found)


def _covered(letters: str, text: str, found: Sequence[Span]) -> bool:
    """Whether one occurrence of the letters lies in the spans, gaps of blanks and of a seam's few letters aside."""
    places = [at for at, character in enumerate(text) if not character.isspace()]
    joined = "".join(text[at] for at in places)
    inside = {at for span in found for at in range(span.start, span.end)}
    at = joined.find(letters)
    while at >= 0:
        missing = sum(places[spot] not in inside for spot in range(at, at + len(letters)))
        if missing < 6:
            return True
        at = joined.find(letters, at + 1)
    return False


# -- judging ---------------------------------------------------------------------------------------------------------

DEPOSIT = LabelledQuestion("q", "What does the tenant pay?", ("1,680 pounds",), "lease", LEASE.index("1,680"))


def judged(question: LabelledQuestion, *passages: Passage, context: str = "", whole: str = "") -> Sent:
    other = SourceDocument("other", "", "Here 1,680 pounds are mentioned as well.")
    judge = Judge([SourceDocument("lease", "", LEASE), other], Words())
    return judge.of_peer(question, passages, Prompt(context, whole), 1.0)


def test_tokens_are_those_of_the_context_and_of_the_whole_prompt_as_they_are_sent() -> None:
    sent = judged(DEPOSIT, Passage("lease", "The tenant pays"), context="a b\n\nc", whole="Context: a b\n\nc Question")
    assert (sent.tokens, sent.prompt, sent.milliseconds) == (3, 5, 1.0)


def test_the_answer_must_be_sent_from_its_own_place() -> None:
    assert judged(DEPOSIT, Passage("lease", "The tenant pays 1,680 pounds.", 34)).recall == 1
    assert judged(DEPOSIT, Passage("lease", "Dogs are welcome. The tenant pays 1,680 pounds.")).recall == 1
    assert judged(DEPOSIT, Passage("lease", "The tenant pays 1,680", 34)).recall == 0
    assert judged(DEPOSIT, Passage("other", "Here 1,680 pounds are mentioned as well.", 0)).recall == 0
    assert judged(DEPOSIT).recall == 0


def test_an_answer_may_be_spread_over_neighbouring_passages() -> None:
    halves = Passage("lease", "The tenant pays 1,680", 34), Passage("lease", "pounds. The trust", 56)
    assert judged(DEPOSIT, *halves).recall == 1


def test_without_a_place_the_answers_words_in_its_document_count() -> None:
    anywhere = LabelledQuestion("q", "What is kept?", ("the KEY",), "lease")
    assert judged(anywhere, Passage("lease", "The trust keeps the key.")).recall == 1
    assert judged(anywhere, Passage("other", "the key")).recall == 0


def test_iou_is_that_of_characters_and_only_for_references() -> None:
    reference = Reference("lease", Span(34, 63))  # "The tenant pays 1,680 pounds."
    marked = LabelledQuestion("q", "What?", ("1,680 pounds",), "lease", 50, (reference,))
    assert judged(marked, Passage("lease", LEASE, 0)).iou == pytest.approx(29 / len(LEASE))
    assert judged(marked, Passage("lease", LEASE[34:63], 34), Passage("lease", LEASE[34:63], 34)).iou == 1
    assert judged(DEPOSIT, Passage("lease", LEASE, 0)).iou is None


# -- the best setting ------------------------------------------------------------------------------------------------


def sent(tokens: int, recall: float, milliseconds: float = 1.0, iou: float | None = None) -> Sent:
    return Sent(tokens, tokens + 20, recall, iou, milliseconds)


CLUSTERS = tuple(f"document {name}" for name in "abcdefgh")


def test_halves_split_documents_evenly_and_keep_questions_of_one_document_together() -> None:
    second = in_second_half((*CLUSTERS, *CLUSTERS)).tolist()
    assert second[:8] == second[8:] and sum(second[:8]) == 4


def test_the_leanest_setting_that_answers_as_well_is_chosen() -> None:
    wanted = [sent(100, 1.0)] * 8
    options = {"fat": [sent(900, 1.0)] * 8, "lean": [sent(300, 1.0)] * 8, "thin": [sent(50, 0.5)] * 8}
    assert tuned(options, wanted, CLUSTERS).settings == ("lean", "lean")


def test_where_none_answers_as_well_the_one_that_finds_most_is_chosen() -> None:
    options = {"half": [sent(50, 0.5)] * 8, "most": [sent(90, 0.75)] * 8, "same": [sent(91, 0.75)] * 8}
    assert tuned(options, [sent(100, 1.0)] * 8, CLUSTERS).settings == ("most", "most")


def test_a_setting_that_loses_more_than_two_points_is_no_equal() -> None:
    half = in_second_half(CLUSTERS)
    options = {"lossy": [sent(10, 0.97)] * 8, "sound": [sent(500, 0.98)] * 8}
    found = tuned(options, [sent(100, 1.0)] * 8, CLUSTERS)
    assert found.settings == ("sound", "sound") and half.any()


def test_no_question_is_measured_by_a_setting_that_it_helped_to_choose() -> None:
    second = in_second_half(CLUSTERS).tolist()
    # each setting is good and lean on one half only: the other half's choice is what a half is measured with
    options = {
        "good in the first": [sent(10, 1.0) if not half else sent(10, 0.0) for half in second],
        "good in the second": [sent(10, 1.0) if half else sent(10, 0.0) for half in second],
    }
    found = tuned(options, [sent(100, 1.0)] * 8, CLUSTERS)
    assert found.settings == ("good in the second", "good in the first")
    assert all(one.recall == 0 for one in found.sent)


def test_one_document_alone_chooses_for_itself() -> None:
    found = tuned({"a": [sent(9, 1.0)], "b": [sent(8, 1.0)]}, [sent(100, 1.0)], ["document a"])
    assert found.settings == ("b", "b") and found.sent == (sent(8, 1.0),)


# -- tables ----------------------------------------------------------------------------------------------------------


def result(name: str = "letters", times: int = 4) -> SetResult:
    columns = {
        PRODUCT: [sent(100, 1.0, 20.0), sent(200, 0.0, 40.0)] * 4,
        "Haystack, defaults": [sent(1200, 1.0, 10.0), sent(1800, 1.0, 20.0)] * 4,
        "LangChain, its guides": [sent(100 * times, 1.0, 80.0), sent(200 * times, 0.0, 160.0)] * 4,
        "LangChain, a part": [sent(50, 0.0, 20.0), sent(10, 0.0, 40.0)] * 4,
    }
    indexed = {title: Indexed(8, 2.0) for title in columns}
    defaults = frozenset(("Haystack, defaults", "LangChain, its guides"))
    return SetResult(name, CLUSTERS, columns, indexed, defaults, "words", {"LangChain, at its best": ("a, 1", "b, 2")})


def test_ratios_and_differences_are_taken_against_the_product() -> None:
    own, haystack, langchain, _ = rows(result())
    assert own.tokens.value == 150 and own.factor == (1, 1, 1) and own.advantage == (0, 0, 0)
    assert haystack.factor.value == 10 and haystack.advantage.value == -0.5
    assert haystack.slower.value == pytest.approx(0.5)  # half of the product's time on every question
    assert langchain.factor == (4, 4, 4) and langchain.slower.value == pytest.approx(4)
    assert (langchain.median, langchain.prompt, langchain.iou) == (120, 620, None)


def test_an_interval_holds_its_value_and_comes_from_documents() -> None:
    haystack = rows(result())[1]
    assert haystack.factor.low < 10 < haystack.factor.high
    assert haystack.advantage.low < -0.5 < haystack.advantage.high


def test_the_time_factor_is_paired_question_by_question() -> None:
    columns = {PRODUCT: [sent(1, 1.0, 10.0), sent(1, 1.0, 1000.0)], "x, y": [sent(1, 1.0, 40.0), sent(1, 1.0, 1000.0)]}
    shown = SetResult("s", CLUSTERS[:2], columns, dict.fromkeys(columns, Indexed(1, 1.0)), frozenset(), "words")
    assert rows(shown)[1].slower.value == pytest.approx(2.0)  # root of 4 * 1; of the means it would be 1.03


def test_the_table_has_a_line_for_each_arm_and_no_ratio_for_the_product_itself() -> None:
    text = table("letters", rows(result()))
    assert text.count("\n") == 7
    line = next(line for line in text.splitlines() if line.startswith("| Fovea"))
    assert line.split("|")[3].strip() == "" and line.split("|")[5].strip() == "0.500 [0.125, 0.875]"
    assert "| LangChain, its guides | 600 [" in text and "4.0 [4.0, 4.0]" in text
    assert "| letters | LangChain | a, 1 | b, 2 |" in chosen_settings([result()])


def test_pooled_sets_keep_their_documents_apart() -> None:
    together = pooled([result("one"), result("two")])
    assert len(set(together.clusters)) == 16 and len(together.sent[PRODUCT]) == 16
    assert together.indexed[PRODUCT] == Indexed(16, 4.0)
    assert rows(together)[1].factor.value == 10


def kept(given: SetResult) -> Promise:
    found = promise(given, rows(given))
    assert found is not None
    return found


def test_the_promise_is_about_the_leanest_default_and_not_about_its_parts() -> None:
    assert kept(result()).leanest.title == "LangChain, its guides"


def test_the_promise_needs_four_times_fewer_tokens() -> None:
    assert kept(result(times=4)).fewer and kept(result(times=4)).as_good
    assert not kept(result(times=3)).fewer
    assert "no: tokens" in promises([kept(result(times=3))])
    assert "| yes |" in promises([kept(result(times=4))])


def test_the_promise_is_missed_where_recall_may_be_more_than_two_points_lower() -> None:
    lossy = result()
    better = {**lossy.sent, "LangChain, its guides": [sent(600, 1.0)] * 8}
    missed = kept(SetResult("s", CLUSTERS, better, lossy.indexed, lossy.defaults, "words"))
    assert missed.fewer and not missed.as_good
    assert missed.to_dict() == {"set": "s", "leanest": "LangChain, its guides", "fewer": True, "as_good": False}


def test_without_a_default_there_is_no_promise() -> None:
    own = result()
    assert promise(SetResult("s", CLUSTERS, own.sent, own.indexed, frozenset(), "words"), rows(own)) is None


def test_a_result_survives_being_written_and_read() -> None:
    assert SetResult.from_dict(orjson.loads(orjson.dumps(result().to_dict()))) == result()
    assert orjson.loads(orjson.dumps([row.to_dict() for row in rows(result())]))[1]["factor"]["value"] == 10


# -- a whole run with a library of two lines ---------------------------------------------------------------------------


class Lines:
    """A library whose chunks are lines, best the one that shares most words with the question."""

    def __init__(self, encoder: Embedder) -> None:
        self.encoder = encoder
        self.rows: list[Passage] = []
        self.asked: list[Way] = []

    def index(self, documents: Sequence[SourceDocument]) -> int:
        for one in documents:
            at = 0
            for line in one.text.splitlines(keepends=True):
                self.rows.append(Passage(one.id, line.rstrip("\n"), at))
                at += len(line)
        return len(self.rows)

    def retrieve(self, question: str, way: Way) -> list[Passage]:
        self.asked.append(way)
        words = set(question.lower().split())
        return sorted(self.rows, key=lambda row: -len(words & set(row.text.lower().split())))[: way.k]

    def prompt(self, question: str, passages: Sequence[Passage]) -> Prompt:
        context = "\n".join(one.in_prompt for one in passages)
        return Prompt(context, f"{context}\n{question}")


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PeerSet:
    """Two documents of two lines, and a question about each line; no weights were taught by them."""
    monkeypatch.setattr("benchmarks.held_out.TAUGHT", ())
    texts = {
        "lamp": "The lamp of Whitby burns from dusk to dawn.\nThe lens of the lamp weighs 300 kilograms.",
        "lease": "The tenant of the cottage pays 1,680 pounds.\nThe trust keeps the key of the cottage.",
    }
    asked = (
        ("How much does the lens of the lamp weigh?", "300 kilograms", "lamp"),
        ("What does the tenant of the cottage pay?", "1,680 pounds", "lease"),
        ("Who keeps the key of the cottage?", "The trust", "lease"),
    )
    folder = tmp_path / "selqa-dev"
    folder.mkdir()
    corpus = [{"id": name, "title": name, "text": text} for name, text in texts.items()]
    questions = [
        {"id": f"q{at}", "question": text, "answers": [answer], "document": name, "start": texts[name].index(answer)}
        for at, (text, answer, name) in enumerate(asked)
    ]
    for name, content in (("corpus", corpus), ("questions", questions)):
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, content)))
    return load(folder, 0)


def test_a_set_is_loaded_with_its_documents_and_with_references_where_answers_are_sentences(labelled: PeerSet) -> None:
    assert [one.id for one in labelled.documents] == ["lamp", "lease"]
    assert labelled.clusters == ["document lamp", "document lease", "document lease"]
    assert labelled.questions[0].references == labelled.questions[0].locations != ()


def test_the_language_of_a_set_is_that_of_most_documents() -> None:
    texts = ("生命数耗完即算为踢爆。", "生命數耗盡即算為踢爆。", "The lamp burns from dusk to dawn.")
    documents = tuple(SourceDocument(str(at), "", text) for at, text in enumerate(texts))
    assert PeerSet("mixed", Path("corpus.jsonl"), documents, ()).language == "zh"
    assert PeerSet("english", Path("corpus.jsonl"), documents[2:], ()).language == "en"
    assert set(FINE) == {"en", "zh"}


def test_product_and_library_are_asked_the_same_questions_and_judged_alike(labelled: PeerSet, tmp_path: Path) -> None:
    made: list[Lines] = []

    def make(encoder: Embedder, fine: int) -> Lines:
        assert fine == FINE["en"]
        made.append(Lines(encoder))
        return made[-1]

    lineup = Lineup(
        {"lines": make},
        (Arm("Library", "defaults", "lines", Way(1)), Arm("Library", "all", "lines", Way(4), "part")),
        (Search("Library", "lines"),),
    )
    parts = build_parts(Settings(data_dir=tmp_path / "data", encoder=EncoderSettings(model="hashing")))
    told: list[str] = []
    with Engine(parts) as engine:
        engine.ingest([labelled.corpus])
        product = Product(engine.search, Indexed(2, 1.0), parts.encoder, parts.counter)
        found = measure(labelled, product, lineup, told.append)
        counted = parts.counter.count(labelled.documents[0].text.splitlines()[1])
    assert list(found.sent) == [
        PRODUCT, "Library, defaults", "Library, all", f"{PRODUCT}, at its best", "Library, at its best"
    ]  # fmt: skip
    assert all(len(column) == 3 for column in found.sent.values())
    assert [one.recall for one in found.sent["Library, defaults"]] == [1, 1, 1]
    assert found.sent["Library, defaults"][0].tokens == counted
    assert found.sent["Library, defaults"][0].iou == pytest.approx(13 / 42)  # "300 kilograms" in its line
    assert found.sent["Library, all"][0].tokens > 3 * counted
    assert found.settings["Library, at its best"] == ("lines, vectors, 1",) * 2
    assert found.defaults == {"Library, defaults"}
    assert len(made) == 1 and made[0].encoder is parts.encoder  # one index for arms and grid, by the same encoder
    assert made[0].asked.count(Way(max(DEPTHS))) == 4  # once to warm up, and once a question for all depths
    assert told == [told[0]] and told[0].startswith("lines: 4 chunks in")


def test_the_product_at_its_best_is_one_of_its_ceilings(labelled: PeerSet, tmp_path: Path) -> None:
    parts = build_parts(Settings(data_dir=tmp_path / "data", encoder=EncoderSettings(model="hashing")))
    with Engine(parts) as engine:
        engine.ingest([labelled.corpus])
        product = Product(engine.search, Indexed(2, 1.0), parts.encoder, parts.counter)
        found = measure(labelled, product, Lineup({}, (), ()), lambda message: None)
    ceilings = {PRODUCT, *(f"{PRODUCT} max_tokens {ceiling}" for ceiling in CEILINGS)}
    assert set(found.settings[f"{PRODUCT}, at its best"]) <= ceilings
    best, default = (found.sent[title] for title in (f"{PRODUCT}, at its best", PRODUCT))
    assert all(one.tokens <= other.tokens for one, other in zip(best, default, strict=True))


# -- what is measured --------------------------------------------------------------------------------------------------


def test_every_arm_asks_an_index_of_its_own_library_and_titles_are_distinct() -> None:
    for one in (*ARMS, *SEARCHES):
        assert one.index in INDEXES and one.index.startswith(one.library) and one.library in arms.LIBRARIES
    assert len({arm.title for arm in ARMS}) == len(ARMS)
    assert len({one.setting(k) for one in SEARCHES for k in DEPTHS}) == len(SEARCHES) * len(DEPTHS)


@pytest.mark.parametrize("library", arms.LIBRARIES)
def test_each_library_has_defaults_and_a_grid_and_is_measured_alone_on_request(library: str) -> None:
    own = Lineup.of([library])
    assert any(arm.kind == "defaults" for arm in own.arms) and own.searches
    assert {arm.library for arm in own.arms} == {library} == {one.library for one in own.searches}
    assert len(own.asked) == len(set(own.asked))


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"'no_such_peer' is not installed.*pip install 'fovea-rag\[peers\]'"):
        imported("no_such_peer.retrievers", "Peer")
    monkeypatch.setattr(arms, "LIBRARIES", {"Peer": ("numpy", "no-such-peer")})
    with pytest.raises(ConfigurationError, match=r"^no-such-peer must be installed to measure Peer\. Run: pip install"):
        versions(["Peer"])


def test_what_is_installed_is_named_by_its_version() -> None:
    assert imported("json", "Peer").loads("1") == 1


# -- no network --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/run/a.sock", ("127.0.0.1", 80), ("::1", 80, 0, 0), ("localhost", 80)])
def test_this_machine_may_be_spoken_to(address: object) -> None:
    assert offline.is_local(address)


@pytest.mark.parametrize("address", [("192.0.2.1", 443), ("telemetry.example", 443), ("2001:db8::1", 443, 0, 0)])
def test_no_other_machine_is_local(address: object) -> None:
    assert not offline.is_local(address)


def test_offline_refuses_connections_and_switches_reports_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in offline._SILENT:
        monkeypatch.setenv(name, "something else")
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: pytest.fail("a connection went out"))
    offline.go_offline()
    assert os.environ["HAYSTACK_TELEMETRY_ENABLED"] == "False"
    with socket.socket() as plug, pytest.raises(OSError, match="measurements run without a network"):
        plug.connect(("192.0.2.1", 443))
