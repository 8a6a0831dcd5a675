"""The engine's verbs over the real store, indexes and context builder, with the hashing encoder and scripted models."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from domain.answers import Answer, Usage
from domain.asking import Message
from domain.documents import Span
from domain.errors import GenerationError, GeneratorBadResponse, GeneratorUnreachable
from fovea import DataDirectoryInUse, NotFound, UsageError, open_engine
from fovea.testing import FunctionGenerator, PassThroughReranker
from service.settings import EncoderSettings, GenerationSettings, Settings

LAMP = "The lamp of the lighthouse is serviced twice a year."
JETTY = "The jetty of the harbour is closed in winter."


def settings_of(data_dir, **sections):
    return Settings(data_dir=data_dir, encoder=EncoderSettings(model="hashing"), **sections)


@pytest.fixture
def opened(tmp_path):
    """Open engines over a directory that holds two notes, with parts of the test's own; all are closed at the end."""
    with open_engine(settings=settings_of(tmp_path / "data")) as engine:
        engine.ingest_text(LAMP, title="Lamp", source="lamp")
        engine.ingest_text(JETTY, title="Jetty", source="jetty")
    engines = []

    def open_one(function=None, *, fallback=True, **parts):
        if function is not None:
            parts["generator"] = FunctionGenerator(function)
        generation = GenerationSettings(fallback=fallback)
        engines.append(open_engine(settings=settings_of(tmp_path / "data", generation=generation), **parts))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


# -- asking ----------------------------------------------------------------------------------------------------------


def test_the_answer_is_the_models_text_with_its_marks_resolved(opened):
    contexts = []

    def model(context):
        contexts.append(context)
        return "It is serviced twice a year [1]. Elsewhere it is red [7]."

    answer = opened(model).ask(LAMP, constraints=["Answer in one sentence."], role="You are a keeper.")
    (citation,) = answer.citations
    assert (citation.quote, citation.span, citation.verified) == (LAMP, Span(0, len(LAMP)), True)
    assert "[7]" not in answer.text
    (context,) = contexts
    prompt = "\n".join(message.content for message in context.messages)
    assert "Answer in one sentence." in prompt and "You are a keeper." in prompt
    assert answer.search.context is context


def test_ask_is_the_end_of_the_stream_and_search_is_its_beginning(opened):
    engine = opened(lambda context: ["Twice ", "a year [1]."])
    *parts, answer = engine.stream(LAMP)
    assert len(parts) > 1 and "".join(parts) == "Twice a year [1]."
    assert isinstance(answer, Answer)
    assert engine.ask(LAMP).text == answer.text == "Twice a year [1]."
    assert engine.search(LAMP).evidence == answer.search.evidence


def test_the_answer_passes_the_text_gate_and_its_citations_count_in_the_document(opened):
    spoilt = "\0\u202eIt is ser\u200bviced twice\r\na year\x1b [\u20661]."
    *parts, answer = opened(lambda context: [spoilt]).stream(LAMP)
    assert "".join(parts) == answer.text == "It is serviced twice\na year [1]."
    (citation,) = answer.citations
    assert (citation.quote, citation.span) == (LAMP, Span(0, len(LAMP)))


@pytest.mark.parametrize("history", [(200, 1), (200, 1_000)])
def test_a_long_conversation_is_read_up_to_its_limits(opened, history):
    turns, length = history
    assert opened().search(LAMP, history=[Message("user", "w" * length)] * turns).question == LAMP


@pytest.mark.parametrize(("turns", "length"), [(201, 1), (1, 200_001), (2, 100_001)])
def test_a_conversation_beyond_its_limits_is_refused_before_any_work(opened, turns, length):
    engine = opened(lambda context: pytest.fail("the model was asked"))
    for verb in (engine.search, engine.ask):
        with pytest.raises(UsageError, match="200 turns and 200,000 characters") as caught:
            verb(LAMP, history=[Message("user", "w" * length)] * turns)
        assert caught.value.code == "history_too_long"


def test_each_stage_reports_its_time_and_the_total_holds_them_all(opened):
    answer = opened().ask(LAMP)
    *stages, total = answer.timings.items()
    assert [name for name, _ in stages] == ["encode", "retrieve", "rerank", "build", "generate", "verify"]
    assert total[0] == "total"
    assert sum(spent for _, spent in stages) <= total[1] + 1


def test_without_a_report_of_the_model_usage_is_counted(opened):
    answer = opened(lambda context: "Twice a year [1].").ask(LAMP)
    assert answer.usage.prompt_tokens == answer.search.bill.total
    assert answer.usage.completion_tokens > 0


def test_what_the_model_reports_outranks_our_count(opened):
    class Reporting(FunctionGenerator):
        def generate(self, context):
            return Reported()

    class Reported:
        usage = Usage(100, 5)

        def __iter__(self):
            yield "Twice a year [1]."

    assert opened(generator=Reporting(lambda context: "")).ask(LAMP).usage == Usage(100, 5)


def test_where_nothing_supports_an_answer_no_model_is_called(opened):
    engine = opened(lambda context: pytest.fail("the model was asked"))
    engine.create_collection("empty")
    *parts, answer = engine.stream("Where is the boat?", collection="empty")
    assert answer.abstained
    assert parts == [answer.text]
    assert answer.usage == Usage(0, 0)
    assert not answer.citations


def test_a_model_that_does_not_know_abstains_too(opened):
    assert opened(lambda context: "I don't know.").ask(LAMP).abstained


def test_the_conversation_completes_a_follow_up_and_the_prompt_keeps_the_users_words(opened):
    engine = opened()
    history = (Message("user", "Is the jetty of the harbour closed in winter?"), Message("assistant", JETTY))
    found = engine.search("And the lamp of the lighthouse, is it serviced twice a year?", history=history)
    assert found.question == "And the lamp of the lighthouse, is it serviced twice a year?"
    assert LAMP in [item.text for item in found.evidence]


@pytest.mark.parametrize("question", ["", " \n", "\u200b\u202e", "w" * 20_001])
def test_a_question_that_cannot_be_asked_is_refused_before_any_work(opened, question):
    engine = opened(lambda context: pytest.fail("the model was asked"))
    for verb in (engine.search, engine.ask):
        with pytest.raises(UsageError):
            verb(question)


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_a_ceiling_below_one_is_refused(opened, max_tokens):
    with pytest.raises(UsageError, match="max_tokens"):
        opened().search(LAMP, max_tokens=max_tokens)


def test_a_search_may_be_kept_to_documents(opened):
    engine = opened(reranker=PassThroughReranker())
    lamp, jetty = (
        next(item.id for item in engine.list_documents() if item.source == name) for name in ("lamp", "jetty")
    )
    assert {item.document_id for item in engine.search(LAMP, document_ids=[jetty]).evidence} <= {jetty}
    assert {item.document_id for item in engine.search(LAMP, document_ids=[lamp]).evidence} == {lamp}
    assert not engine.search(LAMP, document_ids=["doc-unknown"]).evidence


def test_an_unknown_collection_is_not_found_and_the_default_one_is_empty(tmp_path):
    with open_engine(settings=settings_of(tmp_path)) as engine:
        assert engine.ask("Who?").abstained
        with pytest.raises(NotFound, match="'none'"):
            engine.ask("Who?", collection="none")


# -- a model that fails ----------------------------------------------------------------------------------------------


AWAY = GeneratorUnreachable("The model is away.")


def failing(*parts, error=AWAY):
    def model(context):
        yield from parts
        raise error

    return model


def test_a_model_that_is_away_is_stood_in_for(opened):
    *parts, answer = opened(failing()).stream(LAMP)
    assert answer.degraded
    assert answer.model == "extractive"
    assert "".join(parts) == answer.text
    assert answer.citations[0].quote == LAMP


def test_without_fallback_its_error_is_the_answer(opened):
    with pytest.raises(GeneratorUnreachable):
        opened(failing(), fallback=False).ask(LAMP)


def test_an_answer_that_breaks_off_is_never_mended(opened):
    stream = opened(failing("Twice ", error=GeneratorBadResponse("It broke off."))).stream(LAMP)
    assert next(stream) == "Twice"
    with pytest.raises(GeneratorBadResponse):
        next(stream)


class Model(FunctionGenerator):
    """Hands over the call itself, with all that it tells of how it ended."""

    def generate(self, context):
        return self._function(context)


class BrokenOff:
    """The call of a model that has begun, says `words` and breaks off; its server reports `usage`, or nothing."""

    begun = True

    def __init__(self, *words, usage=None):
        self.usage, self._words = usage, words

    def __iter__(self):
        yield from self._words
        raise GeneratorBadResponse("It broke off.")


@pytest.mark.parametrize(
    ("call", "taken"),
    [
        (failing(), lambda bill: (0, 0)),  # nothing was read
        (lambda _: BrokenOff(), lambda bill: (bill.total, 0)),  # it thought, and nobody knows how much
        (lambda _: BrokenOff(usage=Usage(300, 40)), lambda bill: (300, 40)),
    ],
)
def test_a_model_that_fails_costs_what_it_has_taken_and_no_more(opened, call, taken):
    engine = opened(generator=Model(call))
    answer = engine.ask(LAMP)
    engine.close()
    prompt, completion = taken(answer.search.bill)
    quoted = opened().ask(LAMP).usage
    assert (answer.degraded, answer.search.bill.reported) == (True, None)
    assert answer.usage == Usage(prompt, completion + quoted.completion_tokens)


@pytest.mark.parametrize(
    ("call", "least", "most"),
    [
        (failing(), 0, 0),
        (lambda _: BrokenOff(), 50, 500),
        (lambda _: BrokenOff(usage=Usage(3000, 40)), 3040, 3040),
        (lambda _: BrokenOff("Twice a year.", usage=Usage(3000, 40)), 3040, 3040),
        (lambda _: BrokenOff("Twice ", "a year."), 53, 500),
    ],
)
def test_an_error_of_the_model_says_what_it_has_taken(opened, call, least, most):
    with pytest.raises(GenerationError) as caught:
        opened(generator=Model(call), fallback=False).ask(LAMP)
    assert least <= caught.value.spent_tokens <= most


def test_closing_the_stream_ends_the_models_call(opened):
    ended = threading.Event()

    def model(context):
        try:
            yield "Twice "
            yield "a year."
        finally:
            ended.set()

    stream = opened(model).stream(LAMP)
    assert next(stream) == "Twice"
    stream.close()
    assert ended.is_set()


# -- many questions --------------------------------------------------------------------------------------------------


def test_a_batch_keeps_the_order_and_gives_errors_in_their_place(opened):
    engine = opened(lambda context: f"About {context.question} [1].")
    first, refused, last = engine.batch([LAMP, "", JETTY])
    assert LAMP in first.text and JETTY in last.text
    assert isinstance(refused, UsageError)


def test_a_batch_takes_questions_as_it_goes(opened):
    taken = []

    def questions():
        for number in range(1000):
            taken.append(number)
            yield LAMP

    answers = opened().batch(questions())
    next(answers)
    assert len(taken) < 50
    answers.close()


def test_questions_run_side_by_side_and_do_not_mix(opened):
    engine = opened()
    texts = {LAMP: "lamp", JETTY: "jetty"}
    with ThreadPoolExecutor(8) as pool:
        for question, answer in zip([*texts] * 20, pool.map(engine.ask, [*texts] * 20), strict=True):
            assert {item.source for item in answer.citations} == {texts[question]}


def test_questions_go_on_while_documents_come_and_go(opened):
    engine = opened()
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            outcome = engine.ingest_text(f"Box {number} holds a rope.", source="box")
            if number % 3 == 0:
                engine.delete(outcome.id)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            assert engine.search(LAMP).evidence[0].text == LAMP
    finally:
        stop.set()
        writer.join()


# -- documents and life ----------------------------------------------------------------------------------------------


def test_nothing_to_ingest_is_wrong_usage(opened):
    engine = opened()
    with pytest.raises(UsageError, match="Nothing to ingest"):
        engine.ingest([])


def test_a_path_that_does_not_exist_stops_before_anything_is_read(opened, tmp_path):
    engine = opened()
    (tmp_path / "real.txt").write_text("Real.")
    with pytest.raises(UsageError, match="missing"):
        engine.ingest([tmp_path / "real.txt", tmp_path / "missing.txt"])
    assert {item.source for item in engine.list_documents()} == {"lamp", "jetty"}


def test_progress_ends_with_everything_done(opened, tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(f"Number {number}.")
    states = []
    opened().ingest([tmp_path / f"{number}.txt" for number in range(5)], progress=states.append)
    assert [state.documents_done for state in states] == sorted(state.documents_done for state in states)
    assert (states[-1].documents_done, states[-1].documents_total) == (5, 5)


def test_deleting_is_all_or_nothing(opened):
    engine = opened()
    first = engine.list_documents()[0].id
    with pytest.raises(NotFound):
        engine.delete([first, "doc-unknown"])
    assert engine.get_document(first).id == first


def test_listings_come_in_pages(opened):
    engine = opened()
    (first,) = engine.list_documents(limit=1)
    (second,) = engine.list_documents(limit=1, after=first.id)
    assert first.id < second.id
    assert engine.list_documents(limit=1, after=second.id) == []


def test_collections_are_made_listed_and_deleted_with_all_they_hold(opened):
    engine = opened()
    engine.ingest_text("The boat is blue.", collection="boats", source="boat")
    assert {item.name: item.documents for item in engine.list_collections()} == {"default": 2, "boats": 1}
    engine.delete_collection("boats")
    assert [item.name for item in engine.list_collections()] == ["default"]
    with pytest.raises(NotFound):
        engine.search("The boat is blue.", collection="boats")
    engine.ingest_text("The boat is red.", collection="boats", source="boat")
    assert [item.text for item in engine.search("The boat is red.", collection="boats").evidence] == [
        "The boat is red."
    ]


def test_one_engine_owns_a_directory_and_lets_go_of_it_when_closed(tmp_path):
    with open_engine(settings=settings_of(tmp_path)) as engine:
        with pytest.raises(DataDirectoryInUse):
            open_engine(settings=settings_of(tmp_path))
        engine.close()
        engine.close()
        open_engine(settings=settings_of(tmp_path)).close()


def test_a_part_that_does_not_exist_is_named_before_anything_is_opened(tmp_path):
    with pytest.raises(UsageError, match=r"no part rerankr.*reranker"):
        open_engine(settings=settings_of(tmp_path), rerankr=PassThroughReranker())
    open_engine(settings=settings_of(tmp_path)).close()


def test_the_status_names_what_runs(opened):
    engine = opened(lambda context: "Yes.")
    engine.search(LAMP)
    status = engine.status()
    assert status["generator"] == "function"
    assert status["encoder"]["model_id"] == "hashing/64"
    assert [(item["collection"], item["vectors"]) for item in status["indexes"]] == [("default", 2)]
