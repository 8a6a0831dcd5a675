"""A follow-up is rewritten by rule, or by a model whose failure costs nothing but its tokens."""

from __future__ import annotations

import pytest

from domain.asking import Message
from domain.errors import ConfigurationError, ContextBudgetError, GeneratorTimeout, GeneratorUnreachable
from fovea import open_engine
from fovea.testing import FunctionGenerator
from retrieval.embedders.tokenizer import WordTokenCounter
from service.rewriting import ModelRewriter, RuleRewriter
from service.settings import ConversationSettings, EncoderSettings, Settings

SAID = (Message("user", "Where is the lamp of the lighthouse?"), Message("assistant", "In the tower [1]."))
LAMP = "The lamp of the lighthouse is serviced twice a year."


def rewriter(function):
    return ModelRewriter(FunctionGenerator(function), WordTokenCounter())


def test_the_model_sees_the_conversation_without_marks_and_its_line_is_searched_for():
    seen = []

    def model(context):
        seen.append(context)
        return "How often is the lamp of the lighthouse serviced?\n"

    found = rewriter(model).rewrite("How often is it serviced?", SAID)
    assert (found.question, found.by, found.failed) == (
        "How often is the lamp of the lighthouse serviced?",
        "model",
        False,
    )
    (context,) = seen
    text = context.messages[-1].content
    assert text.splitlines() == [
        "user: Where is the lamp of the lighthouse?",
        "assistant: In the tower.",
        "user: How often is it serviced?",
    ]
    counter = WordTokenCounter()
    assert found.tokens == sum(counter.count(item.content) for item in context.messages) + counter.count(
        "How often is the lamp of the lighthouse serviced?\n"
    )


@pytest.mark.parametrize("error", [GeneratorTimeout("late"), GeneratorUnreachable("gone")])
def test_rules_stand_in_for_a_model_that_fails_and_the_bill_says_so(error):
    def model(context):
        raise error

    found = rewriter(model).rewrite("How often is it serviced?", SAID)
    assert found.question == "How often is it serviced? (lamp lighthouse)"
    assert (found.by, found.failed) == ("rules", True)
    assert found.tokens > 0


@pytest.mark.parametrize("reply", ["", "  \n", "Twice a year.\nIt is serviced by Bob.", "long " * 200])
def test_a_reply_that_is_no_question_is_not_used(reply):
    found = rewriter(lambda context: reply).rewrite("How often is it serviced?", SAID)
    assert (found.by, found.failed) == ("rules", True)


def test_a_first_question_costs_no_call():
    def model(context):
        raise AssertionError("called")

    assert rewriter(model).rewrite("Why?", ()).tokens == 0
    assert RuleRewriter().rewrite("Why?", ()).by == "none"


def test_rules_say_when_they_changed_nothing():
    assert RuleRewriter().rewrite("What is the boiling point of water?", SAID).by == "none"
    assert RuleRewriter().rewrite("How often is it serviced?", SAID).by == "rules"


def settings_of(tmp_path, **conversation):
    return Settings(
        data_dir=tmp_path / "data",
        encoder=EncoderSettings(model="hashing"),
        conversation=ConversationSettings(**conversation),
    )


def test_a_model_is_asked_only_where_it_is_configured(tmp_path):
    asked = []

    def model(context):
        asked.append(context.messages[0].content)
        return LAMP + " [1]" if context.evidence else "How often is the lamp of the lighthouse serviced?"

    for choice, calls in (("rules", 1), ("model", 2)):
        asked.clear()
        with open_engine(settings=settings_of(tmp_path, rewrite=choice), generator=FunctionGenerator(model)) as engine:
            engine.ingest_text(LAMP, source="lamp")
            answer = engine.ask("How often is it serviced?", history=SAID)
        assert len(asked) == calls
        assert answer.search.rewrite.by == choice
        assert answer.search.question == "How often is it serviced?"
        assert (answer.search.rewrite.tokens > 0) == (choice == "model")


def test_the_extractive_generator_cannot_rewrite(tmp_path):
    with pytest.raises(ConfigurationError, match=r"conversation\.rewrite"):
        open_engine(settings=settings_of(tmp_path, rewrite="model"))


@pytest.mark.parametrize("verb", ["search", "ask"])
def test_a_question_that_fails_after_its_rewriting_says_what_that_has_cost(tmp_path, verb):
    """Else questions that never fit would ask the model for nothing, as often as they like."""
    settings = settings_of(tmp_path, rewrite="model")
    with open_engine(settings=settings, generator=FunctionGenerator(lambda context: "Where is it?")) as engine:
        engine.ingest_text(LAMP, source="lamp")
        with pytest.raises(ContextBudgetError) as caught:
            getattr(engine, verb)("Is it? " * 2800, history=SAID)
    assert caught.value.spent_tokens > 2800


def test_a_question_that_fails_in_the_model_says_what_its_rewriting_has_cost(tmp_path):
    def model(context):
        if context.evidence:
            raise GeneratorUnreachable("gone")
        return "How often is the lamp of the lighthouse serviced?"

    settings = settings_of(tmp_path, rewrite="model")
    settings = settings.model_copy(update={"generation": settings.generation.model_copy(update={"fallback": False})})
    with open_engine(settings=settings, generator=FunctionGenerator(model)) as engine:
        engine.ingest_text(LAMP, source="lamp")
        with pytest.raises(GeneratorUnreachable) as caught:
            engine.ask("How often is it serviced?", history=SAID)
    assert caught.value.spent_tokens > 20
