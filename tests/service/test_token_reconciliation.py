"""What the model reports stands on the bill, and what it reports beyond our count tightens later prompts."""

from __future__ import annotations

import pytest

from domain.answers import Answer, Usage
from domain.context import ContextBill
from domain.errors import ConfigurationError
from fovea import open_engine
from fovea.testing import FunctionGenerator
from service.settings import ContextSettings, EncoderSettings, Settings

LAMP = "The lamp of the lighthouse is serviced twice a year."


class Reported:
    """An answer whose model says how many tokens it read."""

    def __init__(self, prompt_tokens):
        self.usage = Usage(prompt_tokens, 5)

    def __iter__(self):
        yield "Twice a year [1]."


class Reporting(FunctionGenerator):
    def __init__(self, prompt_tokens):
        super().__init__(lambda context: "")
        self.prompt_tokens = prompt_tokens

    def generate(self, context):
        return Reported(self.prompt_tokens)


@pytest.fixture
def opened(tmp_path):
    engines = []

    def open_one(generator=None, **context):
        settings = Settings(
            data_dir=tmp_path / "data", encoder=EncoderSettings(model="hashing"), context=ContextSettings(**context)
        )
        engines.append(open_engine(settings=settings, **({"generator": generator} if generator else {})))
        engines[-1].ingest_text(LAMP, title="Lamp", source="lamp")
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


def test_the_bill_shows_what_the_model_read_and_by_how_much_we_were_wrong(opened):
    answer = opened(Reporting(150)).ask(LAMP)
    bill = answer.search.bill
    assert (bill.reported, bill.difference) == (150, 150 - bill.total)
    shown = answer.to_dict()["search"]["bill"]
    assert (shown["reported"], shown["difference"]) == (150, 150 - bill.total)
    assert Answer.from_dict(answer.to_dict()).search.bill == bill


@pytest.mark.parametrize("prompt_tokens", [0, -1])
def test_a_model_that_does_not_say_what_it_read_leaves_the_bill_open(opened, prompt_tokens):
    bill = opened(Reporting(prompt_tokens)).ask(LAMP).search.bill
    assert (bill.reported, bill.difference) == (None, None)


def test_no_model_reports_nothing(opened):
    engine = opened()
    assert engine.ask(LAMP).search.bill.reported is None
    assert engine.search(LAMP).bill.to_dict()["reported"] is None


def test_a_report_beyond_our_count_widens_the_margin_of_the_next_prompt(opened):
    engine = opened(Reporting(100_000))
    first = engine.ask(LAMP).search.bill
    second = engine.ask(LAMP).search.bill
    assert second.total == first.total
    assert second.margin > first.margin
    assert second.total + second.margin + second.reserve <= second.limit


def test_a_bill_of_an_earlier_version_can_still_be_read():
    old = {"system": 1, "constraints": 0, "history": 0, "evidence": 2, "question": 1, "reserve": 5, "total": 4}
    bill = ContextBill.from_dict({**old, "limit": 50, "avoided": 7, "baseline": 9, "tokenizer": "t"})
    assert (bill.margin, bill.reported, bill.total) == (0, None, 4)


def test_the_prompt_is_worded_by_the_templates_of_the_settings(opened, tmp_path):
    file = tmp_path / "templates.toml"
    file.write_text('[en]\nrole = "You are the harbour master."\nunknown = "Ask the harbour master."\n')
    engine = opened(FunctionGenerator(lambda context: "Ask the harbour master."), templates=file)
    answer = engine.ask(LAMP)
    assert answer.abstained
    assert answer.search.context.messages[0].content.startswith("You are the harbour master.\n")


def test_wrong_templates_are_found_out_when_the_engine_is_opened(opened, tmp_path):
    (tmp_path / "templates.toml").write_text("[en]\nroll = 'x'\n")
    with pytest.raises(ConfigurationError, match=r"en\.roll is not a part of a prompt"):
        opened(templates=tmp_path / "templates.toml")


def test_the_cap_of_a_document_and_the_layout_are_settings(opened):
    engine = opened(FunctionGenerator(lambda context: ""), restate_from=0, max_chunks_per_document=1)
    user = engine.search(LAMP).context.messages[1].content
    assert user.count(LAMP) == 3  # the question at both ends, and the evidence
