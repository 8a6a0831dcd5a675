"""Servers that do not know a field of the request are asked without it, and not asked with it again."""

from __future__ import annotations

import json

import pytest

from generation.dialect import Dialect
from generation.openai_compatible import OpenAICompatibleGenerator
from tests.generation.fake_openai import STREAM_HEAD, answer, fake_openai, status
from tests.generation.generation_examples import WordCounter, context

BODY = {"max_tokens": 50, "temperature": 0.0, "stream_options": {"include_usage": True}}
NEW_LENGTH = json.dumps(
    {
        "error": {
            "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "param": "max_tokens",
            "code": "unsupported_parameter",
        }
    }
)
NO_TEMPERATURE = json.dumps(
    {
        "error": {
            "message": "Unsupported value: 'temperature' does not support 0.0 with this model.",
            "param": "temperature",
            "code": "unsupported_value",
        }
    }
)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (NEW_LENGTH, {**{name: BODY[name] for name in ("temperature", "stream_options")}, "max_completion_tokens": 50}),
        (NO_TEMPERATURE, {name: BODY[name] for name in ("max_tokens", "stream_options")}),
        ("unknown field stream_options", {name: BODY[name] for name in ("max_tokens", "temperature")}),
    ],
)
def test_a_refusal_that_names_a_field_changes_the_request(refusal: str, said: dict[str, object]) -> None:
    dialect = Dialect()
    assert dialect.body(BODY) == BODY
    assert dialect.learn(400, refusal)
    assert dialect.body(BODY) == said
    assert not dialect.learn(400, refusal)  # it was said already: the same refusal is final


@pytest.mark.parametrize(
    ("status_code", "refusal"),
    [
        (400, "max_tokens is too large: 50"),  # its value is wrong, not the field
        (400, json.dumps({"error": {"message": "too large", "param": "max_tokens"}})),
        (400, "the temperature of this server is fine"),
        (500, NEW_LENGTH),
        (400, '{"error": null}'),
        (400, "[" * 5_000),
        (400, '"error"'),
    ],
)
def test_other_refusals_change_nothing(status_code: int, refusal: str) -> None:
    assert not Dialect().learn(status_code, refusal)


def test_a_reasoning_model_is_answered_from_the_third_call_and_later_ones_at_once() -> None:
    good = [STREAM_HEAD, answer("Yes.")]
    with fake_openai([status(400, NEW_LENGTH)], [status(400, NO_TEMPERATURE)], good, good) as server:
        generator = OpenAICompatibleGenerator(server.base_url, "o9", WordCounter())
        assert ["".join(generator.generate(context())) for _ in range(2)] == ["Yes."] * 2
        last = server.requests[-1][1]
        assert len(server.requests) == 4
        assert (last["max_completion_tokens"], "max_tokens" in last, "temperature" in last) == (50, False, False)
