"""The measurement with a small model: prompts that differ by evidence alone, a stub of a server, and the arithmetic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from benchmarks.small_llm import __main__ as command
from benchmarks.small_llm import layouts, server
from benchmarks.small_llm.asking import Asker, Read, Said, Trial
from benchmarks.small_llm.examples import EXAMPLES, Completions
from benchmarks.small_llm.prompts import ARMS, Layouts, Prompts
from benchmarks.small_llm.report import SetResult, measures, pooled, tables
from benchmarks.small_llm.scores import answer_f1, holds_answer, unit_f1, without_marks
from benchmarks.small_llm.server import BEYOND_WINDOW, Server, connected
from context.language import detect_language
from context.templates import WORDINGS, is_abstention
from domain.asking import AskOptions, Message
from domain.context import Context
from domain.errors import GenerationError
from domain.search import Query, ScoredChunk
from retrieval.embedders.tokenizer import WordTokenCounter
from service.bootstrap import build_parts
from service.engine import Engine
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.scoring import Scoring
from service.settings import EncoderSettings, Settings

DATA = Path(__file__).parents[1] / "data"
ASKED = [Message("system", "Be brief."), Message("user", "Who keeps the light?")]


# --- scores ---


def test_words_count_without_case_width_articles_and_punctuation() -> None:
    assert unit_f1("The Eiffel-Tower!", "eiffeltower") == 1
    assert unit_f1("the keeper Ada Moran", "Ada Moran") == pytest.approx(2 * 2 / (3 + 2))
    assert unit_f1("Ada Ada", "Ada") == pytest.approx(2 * 1 / (2 + 1))  # a repeated word is shared once


def test_chinese_is_compared_by_characters() -> None:
    assert unit_f1("守塔人林海生。", "林海生") == pytest.approx(2 * 3 / (6 + 3))
    assert unit_f1("１８７４年", "1874年") == 1


def test_two_abstentions_agree_and_one_with_an_answer_does_not() -> None:
    assert (unit_f1("", ""), unit_f1("", "Ada"), unit_f1("Ada", "")) == (1, 0, 0)


def test_the_best_of_several_gold_answers_counts_and_is_sought_as_whole_words() -> None:
    assert answer_f1("Ada Moran", ["Bede", "Moran"]) == pytest.approx(2 / 3)
    assert holds_answer("It was Ada  moran.", ["Ada Moran"]) and not holds_answer("18745", ["1874"])
    assert without_marks("12,400 [2]") == "12,400"


# --- server ---


def streamed(*events: dict[str, Any], done: bool = True) -> httpx.Response:
    lines = [b"data: " + orjson.dumps(event) for event in events] + ([b"data: [DONE]"] if done else [])
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=b"\n\n".join([*lines, b""]))


def chunk(text: str, finish: str | None = None, **rest: Any) -> dict[str, Any]:
    return {"model": "folder/tiny.gguf", "choices": [{"delta": {"content": text}, "finish_reason": finish}], **rest}


ROLE = {"model": "folder/tiny.gguf", "choices": [{"delta": {"role": "assistant"}, "finish_reason": None}]}
USAGE = {"usage": {"prompt_tokens": 54, "completion_tokens": 2}}


def server_of(answer: Callable[[httpx.Request], httpx.Response]) -> Server:
    return Server(connected("http://127.0.0.1:1/v1", httpx.MockTransport(answer)), "tiny")


def test_a_request_streams_at_temperature_0_and_turns_the_prompt_cache_off() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streamed(chunk("Ada", "stop", **USAGE))

    asked = server_of(answer)
    asked.chat(ASKED, 7)
    asked.complete("## Answer\n", 9)
    chat, text = (orjson.loads(request.content) for request in seen)
    assert [request.url.path for request in seen] == ["/v1/chat/completions", "/v1/completions"]
    for body in (chat, text):
        assert (body["temperature"], body["cache_prompt"], body["stream"]) == (0, False, True)
        assert body["stream_options"] == {"include_usage": True} and body["model"] == "tiny"
    assert (chat["max_tokens"], text["max_tokens"], text["stop"]) == (7, 9, ["\n"])
    assert chat["messages"][1] == {"role": "user", "content": "Who keeps the light?"}
    assert text["prompt"] == "## Answer\n"


def test_the_servers_own_timing_and_count_are_taken_where_it_gives_them() -> None:
    timings = {"prompt_ms": 150.5, "cache_n": 3}
    reply = server_of(lambda _: streamed(ROLE, chunk("Ada "), chunk("Moran", "stop", **USAGE, timings=timings))).chat(
        ASKED, 4
    )
    assert (reply.text, reply.prompt_tokens, reply.prompt_ms, reply.own_timing) == ("Ada Moran", 54, 150.5, True)
    assert (reply.cached, reply.model) == (3, "tiny.gguf")


class Ticking:
    """A clock that is a second later at each look."""

    def __init__(self) -> None:
        self._seconds = -1

    def perf_counter(self) -> float:
        self._seconds += 1
        return float(self._seconds)


def test_else_the_time_to_the_first_text_is_taken_and_a_role_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "time", Ticking())
    usage = {"choices": [], "usage": {"prompt_tokens": 54, "prompt_tokens_details": {"cached_tokens": 40}}}
    reply = server_of(lambda _: streamed(ROLE, chunk("Ada"), chunk("", "stop"), usage)).chat(ASKED, 4)
    assert (reply.prompt_ms, reply.own_timing, reply.cached) == (2000, False, 40)  # sent at 0, role at 1, text at 2


def test_an_empty_answer_has_a_first_token_too() -> None:
    reply = server_of(lambda _: streamed(chunk("", "stop", **USAGE))).chat(ASKED, 4)
    assert reply.text == "" and reply.prompt_ms >= 0


TOO_LONG = httpx.Response(
    400, json={"error": {"message": "request (9002 tokens) exceeds the available context size (8192 tokens)"}}
)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (TOO_LONG, BEYOND_WINDOW),
        (httpx.Response(500, text="out of memory"), "llm_unavailable"),
        (streamed(chunk("Ada", **USAGE), done=False), "llm_bad_response"),
        (streamed(chunk("Ada", "stop")), "llm_bad_response"),
        (streamed(chunk("Ada"), {"error": {"message": "slot failed"}}), "llm_bad_response"),
    ],
    ids=["beyond the window", "failed", "cut off", "without usage", "error in the stream"],
)
def test_what_is_no_answer_is_told_apart(response: httpx.Response, code: str) -> None:
    with pytest.raises(GenerationError) as raised:
        server_of(lambda _: response).chat(ASKED, 4)
    assert raised.value.code == code


def test_a_server_that_is_not_there_is_named() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(GenerationError, match=r"127\.0\.0\.1:1/v1.*--base-url"):
        server_of(refuse).chat(ASKED, 4)


def test_every_request_has_a_connection_of_its_own() -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections where the client does

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = streamed(chunk(f"{self.client_address[1]}", "stop", **USAGE)).content
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever).start()
        with connected(f"http://127.0.0.1:{listening.server_port}/v1") as client:
            ports = {Server(client, "tiny").chat(ASKED, 4).text for _ in range(3)}
        listening.shutdown()
    assert len(ports) == 3


# --- prompts ---

LIGHT = "The lamp at Cape Orlen burns all night. Ada Moran keeps the light. She was born at sea. Her brother fishes."


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """The light among a dozen other lights, so that not all of them are among the first ten."""
    folder = tmp_path_factory.mktemp("lights")
    others = {f"light {at}": f"The light number {at} stands on a rock. Nobody keeps the light." for at in range(12)}
    rows = [{"id": name, "title": name.title(), "text": text} for name, text in ({"orlen": LIGHT} | others).items()]
    corpus = folder / "corpus.jsonl"
    corpus.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    encoder = EncoderSettings(models_dir=folder / "models", model="hashing")
    with Engine(own := build_parts(Settings(data_dir=folder / "data", encoder=encoder))) as engine:
        engine.ingest([corpus])
        yield own


def labelled(
    answer: str, start: int | None = -1, question: str = "Who keeps the light at Cape Orlen?"
) -> LabelledQuestion:
    at = LIGHT.index(answer) if start == -1 else start
    return LabelledQuestion("q", question, (answer,), "orlen", at)


def test_the_arms_differ_by_their_evidence_alone(parts: Parts) -> None:
    sent = Prompts(parts, Layouts(parts.counter)).of(labelled("Ada Moran"))
    assert sent is not None and tuple(sent) == ARMS
    systems = {one.messages[0].content for one in sent.values()}
    asked = {one.messages[1].content.rpartition("</evidence ")[2].partition(">")[2] for one in sent.values()}
    assert len(systems) == 1 and WORDINGS["en"].rules[1] in systems.pop()
    assert asked == {"\n\n## Question\nWho keeps the light at Cape Orlen?"}
    assert sent["ours"].messages == engine_messages(parts)


def engine_messages(parts: Parts) -> tuple[Message, ...]:
    return Engine(parts).search("Who keeps the light at Cape Orlen?").context.messages


def test_top_10_are_ten_whole_chunks_and_gold_is_one_sentence(parts: Parts) -> None:
    sent = Prompts(parts, Layouts(parts.counter)).of(labelled("Ada Moran"))
    assert sent is not None
    top, gold = (sent[arm].messages[1].content for arm in ("top-10", "gold"))
    assert "[10] " in top and "[11] " not in top and LIGHT in top
    assert "[1] Orlen\nAda Moran keeps the light.\n</evidence" in gold
    assert (sent["top-10"].held, sent["gold"].held) == (1, 1)


def test_gold_is_every_sentence_that_a_labelled_place_runs_across(parts: Parts) -> None:
    sent = Prompts(parts, Layouts(parts.counter)).of(labelled("keeps the light. She was born"))
    assert sent is not None
    assert "\nAda Moran keeps the light. She was born at sea.\n</evidence" in sent["gold"].messages[1].content


def test_gold_is_the_first_sentence_that_says_it_where_no_place_is_labelled(parts: Parts) -> None:
    sent = Prompts(parts, Layouts(parts.counter)).of(labelled("at", None))  # "at Cape Orlen" comes before "at sea"
    assert sent is not None
    assert "\nThe lamp at Cape Orlen burns all night.\n</evidence" in sent["gold"].messages[1].content


def test_a_label_that_no_document_holds_gives_no_prompt(parts: Parts) -> None:
    prompts = Prompts(parts, Layouts(parts.counter))
    assert prompts.of(labelled("Bede", None)) is None
    assert prompts.of(replace(labelled("Ada Moran"), document="elsewhere")) is None


class Never:
    """A builder, and the scoring with it, for which no evidence is good enough."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def of(self, collection: str) -> Scoring:
        return replace(self._parts.scoring.of(collection), builder=self)

    def build(self, query: Query, scored: Sequence[ScoredChunk], options: AskOptions) -> Context:
        context = self._parts.context_builder.build(query, scored, options)
        return replace(context, evidence=(), abstention=WORDINGS["en"].unknown)


def test_where_the_product_abstains_it_sends_nothing(parts: Parts) -> None:
    strict = replace(parts, scoring=Never(parts))
    sent = Prompts(strict, Layouts(parts.counter)).of(labelled("Ada Moran"))
    assert sent is not None
    assert (sent["ours"].messages, sent["ours"].held) == ((), 0) and sent["top-10"].messages


# --- worked examples ---


@pytest.mark.parametrize("language", list(EXAMPLES))
def test_examples_are_in_their_language_and_their_answers_in_the_passage_that_they_cite(language: str) -> None:
    for example in EXAMPLES[language]:
        assert detect_language(example.question) == language
        mark = int(example.answer.rpartition("[")[2].rstrip("]"))
        assert without_marks(example.answer) in example.passages[mark - 1][1]


@pytest.mark.parametrize(
    ("question", "title"), [("Who keeps the light?", "## Answer\n"), ("谁看守灯塔？", "## 回答\n")]
)
def test_a_completion_is_rules_answered_examples_and_the_prompt_up_to_its_answer(question: str, title: str) -> None:
    messages = [Message("system", "RULES"), Message("user", "EVIDENCE AND QUESTION")]
    text = Completions(Layouts(WordTokenCounter()), 2).of(question, messages)
    assert text.startswith("RULES\n\n<evidence ") and text.endswith(f"\n\nEVIDENCE AND QUESTION\n\n{title}")
    examples = EXAMPLES[detect_language(question)]
    assert all(f"{example.question}\n\n{title}{example.answer}\n\n" in text for example in examples[:2])
    assert examples[2].question not in text


# --- asking ---


class Model:
    """A stub of a server: answers with `say`, refuses prompts that hold `refuses`, and remembers what it was asked."""

    def __init__(self, say: str = "Ada Moran [1]", refuses: str = "no prompt holds this") -> None:
        self.prompts: list[str] = []
        self._say, self._refuses = say, refuses

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        prompt = body.get("prompt") or "\n\n".join(one["content"] for one in body["messages"])
        self.prompts.append(prompt)
        if self._refuses in prompt:
            return TOO_LONG
        tokens = len(prompt.split())
        usage = {"usage": {"prompt_tokens": tokens}, "timings": {"prompt_ms": 2.0 * tokens, "cache_n": 0}}
        return streamed(chunk(self._say, "stop", **usage))


def asker(parts: Parts, model: Model, examples: int = 2) -> Asker:
    layouts = Layouts(parts.counter)
    completions = Completions(layouts, examples) if examples else None
    return Asker(server_of(model), Prompts(parts, layouts), completions, is_abstention, 16)


def test_the_products_messages_are_timed_and_the_completion_is_scored(parts: Parts) -> None:
    model = Model("the keeper Ada Moran [1]")
    trial = asker(parts, model).ask(labelled("Ada Moran"), "lights")
    assert trial is not None and trial.cluster == "lights/document orlen" and tuple(trial.said) == ARMS
    gold = trial.said["gold"]
    assert gold is not None and gold.read is not None
    assert (gold.text, gold.f1, gold.holds_answer) == ("the keeper Ada Moran", pytest.approx(0.8), True)
    bare = [prompt for prompt in model.prompts if not prompt.endswith("## Answer\n")]
    assert len(model.prompts) == 6 and len(bare) == 3
    assert gold.read.prompt_tokens == min(len(prompt.split()) for prompt in bare)
    assert gold.read.prompt_ms == 2.0 * gold.read.prompt_tokens


def test_without_examples_one_chat_gives_time_and_answer(parts: Parts) -> None:
    model = Model()
    trial = asker(parts, model, examples=0).ask(labelled("Ada Moran"), "lights")
    assert trial is not None and trial.all_read
    assert len(model.prompts) == 3 and not any("## Answer" in prompt for prompt in model.prompts)
    assert [said.f1 for said in trial.said.values() if said] == [1, 1, 1]


def test_the_order_of_the_arms_changes_from_question_to_question(parts: Parts) -> None:
    model = Model()
    asking = asker(parts, model, examples=0)
    for _ in range(12):
        asking.ask(labelled("Ada Moran"), "lights")
    places = [prompt_at % 3 for prompt_at, prompt in enumerate(model.prompts) if prompt == min(model.prompts, key=len)]
    assert len(places) == 12 and set(places) == {0, 1, 2}  # of the gold sentence, the shortest of the three


def test_an_arm_beyond_the_window_is_none_and_the_others_are_asked(parts: Parts) -> None:
    trial = asker(parts, Model(refuses="[10] ")).ask(labelled("Ada Moran"), "lights")
    assert trial is not None and not trial.whole
    assert [arm for arm in ARMS if trial.said[arm] is None] == ["top-10"]


def test_a_server_that_fails_stops_the_run(parts: Parts) -> None:
    failing = server_of(lambda _: httpx.Response(500))
    layouts = Layouts(parts.counter)
    with pytest.raises(GenerationError):
        Asker(failing, Prompts(parts, layouts), None, is_abstention, 16).ask(labelled("Ada Moran"), "lights")


def test_an_abstention_of_the_model_is_an_empty_answer(parts: Parts) -> None:
    model = Model(" I don't know: the documents do not answer this question.")
    trial = asker(parts, model).ask(labelled("Ada Moran"), "lights")
    assert trial is not None and trial.all_read
    assert [(said.text, said.f1) for said in trial.said.values() if said] == [("", 0)] * 3


def test_an_abstention_of_the_product_asks_no_model(parts: Parts) -> None:
    model = Model()
    trial = asker(replace(parts, scoring=Never(parts)), model).ask(labelled("Ada Moran"), "lights")
    assert trial is not None and trial.whole and not trial.all_read
    assert trial.said["ours"] == Said("", 0.0, False, 0.0, None) and len(model.prompts) == 4


# --- report ---


def said(f1: float, tokens: int | None, ms: float = 0.0, text: str = "Ada", cached: int = 0) -> Said:
    return Said(text, f1, f1 > 0.5, 1.0, None if tokens is None else Read(tokens, ms, cached))


def trial(cluster: str, top: Said | None, ours: Said | None, gold: Said | None) -> Trial:
    return Trial("q", cluster, dict(zip(ARMS, (top, ours, gold), strict=True)))


ONE = trial("a/1", said(0.5, 1000, 800, "Bede"), said(1.0, 100, 100), said(1.0, 50, 50))
TWO = trial("a/2", said(0.5, 3000, 2400, "Ada Moran"), said(0.25, 300, 300), said(1.0, 50, 50))
AWAY = trial("a/3", said(1.0, 5000, 9000), said(0.0, None, text=""), said(1.0, 50, 50))
LONG = trial("a/4", None, said(1.0, 100, 100), said(1.0, 50, 50))


def test_ratios_are_of_means_and_gains_are_paired() -> None:
    found = measures([ONE, TWO])
    ratio, gain = found["tokens ratio ours"], found["f1 gain ours"]
    assert ratio == pytest.approx((10, 10, 10))  # ten times in each document: no draw can say anything else
    assert found["ms ratio ours"].value == pytest.approx(3200 / 400)
    assert found["ms ratio gold"].value == pytest.approx(3200 / 100)
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.125, -0.25, 0.5))
    assert found["ours agreement"].value == pytest.approx((0 + 2 / 3) / 2)
    assert found["top-10 agreement"].value == 1


def test_an_abstention_of_the_product_is_worth_nothing_and_flatters_no_cost() -> None:
    found, alone = measures([ONE, TWO, AWAY]), measures([ONE, TWO])
    assert found["tokens ratio ours"].value == alone["tokens ratio ours"].value == 10
    assert found["ours f1"].value == pytest.approx(1.25 / 3) and found["top-10 f1"].value == pytest.approx(2 / 3)


def test_a_prompt_beyond_the_window_leaves_all_means_and_stays_in_the_counts() -> None:
    assert measures([ONE, TWO, LONG]) == measures([ONE, TWO])
    result = SetResult((ONE, TWO, AWAY, LONG), unlabelled=2)
    counts = tables({"a": result}, {"a": measures(result.trials)}).split("\n\n")[2].splitlines()[2]
    assert counts == "| a | 6 | 2 | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 0 |"


def test_a_set_without_a_question_that_can_be_compared_has_counts_only() -> None:
    found = measures([LONG])
    assert found == {} and measures([]) == {}
    cost, worth, counts = tables({"a": SetResult((LONG,))}, {"a": found}).split("\n\n")
    assert cost.splitlines()[2].startswith("| a | 0 |  |") and worth.splitlines()[2].startswith("| a | 0 |  |")
    assert counts.splitlines()[2].startswith("| a | 1 | 0 | 1 |")


def test_where_the_product_always_abstains_answers_are_compared_and_costs_are_not() -> None:
    found = measures([AWAY])
    assert "tokens ratio ours" not in found and found["f1 gain ours"].value == -1


def test_tables_are_as_wide_as_their_heads() -> None:
    results = {"a": SetResult((ONE, TWO)), "b": SetResult((AWAY,))}
    lines = results | {"all": pooled(results)}
    text = tables(lines, {name: measures(one.trials) for name, one in lines.items()})
    for table in text.split("\n\n"):
        rows = table.splitlines()
        assert len({row.count("|") for row in rows}) == 1 and len(rows) == 5
    assert "| a | 2 | 2,000 | 200 | 50 | 10.0 [10.0, 10.0] | 1,600 | 200 | 50 | 8.0 [8.0, 8.0] |" in text
    assert "| a | 2 | 0.500 | 0.625 | 1.000 | +0.125 [-0.250, +0.500] |" in text
    assert text.splitlines()[-1].startswith("| all | 3 | 0 |")


def test_model_abstentions_and_cached_prompts_are_counted() -> None:
    one = trial("a/1", said(0.0, 1000, 1, ""), said(1.0, 100, 1, cached=7), said(1.0, 50, 1))
    counts = tables({"a": SetResult((one,))}, {"a": measures([one])}).splitlines()[-1]
    assert counts == "| a | 1 | 0 | 0 | 0 | 0 | 0 | 1 | 0 | 0 | 1 |"


# --- the command ---


def test_a_run_writes_markdown_and_json_and_names_no_folder_of_its_machine(tmp_path: Path) -> None:
    words = ["--data", str(DATA), "--base-url", "http://127.0.0.1:1/v1", "--sets", "xquad-en,cmrc-zh"]
    words += ["--questions", "2", "--model", "hashing", "--cache", str(tmp_path), "--output", str(tmp_path / "out")]
    model = Model("308 [1]")
    command.main(words, transport=httpx.MockTransport(model))
    text = (tmp_path / "out" / "small_llm.md").read_text(encoding="utf-8")
    report = orjson.loads((tmp_path / "out" / "small_llm.json").read_bytes())
    assert "--data DATA --base-url" in text and str(DATA) not in text + report["command"]
    assert report["model"] == "tiny.gguf" and report["prompt_ms_from"] == "the server's own timing"
    assert report["machine"] in text and list(report["sets"]) == ["xquad-en", "cmrc-zh", "all"]
    assert [len(one["trials"]) for one in report["sets"].values()] == [2, 2, 0]
    ratio = report["sets"]["all"]["measures"]["tokens ratio ours"]
    assert ratio["low"] <= ratio["value"] <= ratio["high"]
    assert any("## 回答\n" in prompt for prompt in model.prompts)


def test_layouts_differ_in_order_and_repetition_alone(tmp_path: Path) -> None:
    words = ["--data", str(DATA), "--base-url", "http://127.0.0.1:1/v1", "--sets", "xquad-en,cmrc-zh"]
    words += ["--questions", "2", "--ceilings", "300,900", "--model", "hashing", "--cache", str(tmp_path)]
    words += ["--output", str(tmp_path / "out")]
    model = Model("308 [1]")
    layouts.main(words, transport=httpx.MockTransport(model))
    text = (tmp_path / "out" / "small_llm_layouts.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:10]]
    assert [line[:2] for line in lines] == [[size, name] for size in ("300", "900") for name in layouts.LAYOUTS]
    assert all(line[4] == line[6] == "" for line in (lines[0], lines[4])) and "[" in lines[1][4]
    assert str(DATA) not in text and "4 questions" in text
    first, edges, restated, both = (prompt.rpartition("<evidence ")[0::2] for prompt in model.prompts[4:8])
    titles = [prompt[0].count("## Question") for prompt in (first, edges, restated, both)]
    assert titles[0] == titles[1] and titles[2] == titles[3] == titles[0] + 1
    assert first[1] != edges[1]
