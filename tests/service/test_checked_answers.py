"""What an engine says of its own answers: flagged sentences, marks taken out, leads in place of answers."""

from __future__ import annotations

import pytest

from domain.answers import Answer
from domain.asking import Message
from domain.search_result import SearchResult
from fovea import open_engine
from fovea.testing import FunctionGenerator
from service.cli.printing import print_answer, print_search
from service.observability import Metrics
from service.settings import EncoderSettings, Settings

LAMP = "The lamp of the lighthouse is serviced twice a year."
PARTS = ["The lamp of the lighthouse is serviced twice a year [", "1]. It was sold in 1999 [1]. Ask", " Bob [", "7]."]
SHOWN = "The lamp of the lighthouse is serviced twice a year [1]. It was sold in 1999 [1]. Ask Bob."


@pytest.fixture
def engine(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", encoder=EncoderSettings(model="hashing"))
    model = FunctionGenerator(lambda context: list(PARTS))
    with open_engine(settings=settings, generator=model) as opened:
        opened.ingest_text(LAMP, title="Lamp", source="lamp")
        opened.ingest_text("The jetty is closed in winter.", title="Jetty", source="jetty")
        yield opened


def test_sentences_are_flagged_and_invented_marks_counted(engine):
    answer = engine.ask(LAMP)
    assert answer.text == SHOWN
    assert [item.supported for item in answer.sentences] == [True, False, None]
    assert answer.unsupported == ("It was sold in 1999 [1].",)
    assert answer.removed_marks == 1


def test_a_stream_shows_the_text_as_checked(engine):
    *parts, answer = engine.stream(LAMP)
    assert "".join(parts) == answer.text == SHOWN
    assert all("[7" not in part for part in parts)


def test_the_checks_travel(engine):
    answer = engine.ask(LAMP, history=[Message("user", "Hello there, who are you?")])
    again = Answer.from_dict(answer.to_dict())
    assert (again.sentences, again.removed_marks) == (answer.sentences, answer.removed_marks)
    assert again.search.rewrite == answer.search.rewrite
    assert again.to_dict() == answer.to_dict()


def test_the_metrics_count_sentences_and_marks(engine):
    metrics = Metrics()
    metrics.observe_answer(engine.ask(LAMP))
    text = metrics.render([]).decode()
    assert 'fovea_answer_sentences_total{support="supported"} 1.0' in text
    assert 'fovea_answer_sentences_total{support="unsupported"} 1.0' in text
    assert 'fovea_answer_sentences_total{support="uncited"} 1.0' in text
    assert "fovea_removed_marks_total 1.0" in text


def test_a_model_that_finds_no_answer_leaves_a_lead(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", encoder=EncoderSettings(model="hashing"))
    model = FunctionGenerator(lambda context: "I don't know.")
    with open_engine(settings=settings, generator=model) as engine:
        engine.ingest_text(LAMP, title="Lamp", source="lamp")
        answer = engine.ask(LAMP)
    assert answer.abstained
    (nearest,) = answer.search.nearest
    assert (nearest.text, nearest.title, nearest.span.of(LAMP)) == (LAMP, "Lamp", LAMP)
    again = SearchResult.from_dict(answer.search.to_dict())
    assert again.nearest == (nearest,)


def test_the_terminal_shows_leads_as_no_answer_and_names_what_is_doubtful(tmp_path, capsys, engine):
    print_answer(engine.ask(LAMP))
    out = capsys.readouterr().out
    assert "Not supported by its evidence: It was sold in 1999 [1]." in out
    assert "1 citation marks without evidence were taken out." in out
    settings = Settings(data_dir=tmp_path / "other", encoder=EncoderSettings(model="hashing"))
    with open_engine(settings=settings, generator=FunctionGenerator(lambda context: "我不知道。")) as silent:
        silent.ingest_text("灯塔的灯每年维护两次，由管理员负责。", title="灯", source="lamp")
        answer = silent.ask("灯塔的灯每年维护几次？")
    print_answer(answer)
    print_search(answer.search)
    assert capsys.readouterr().out.count("最接近的内容（不是答案）：") == (2 if answer.search.nearest else 0)
    assert answer.search.nearest
