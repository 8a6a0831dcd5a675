"""Long conversations stay under their ceiling, and a sentence that history and evidence share is sent once."""

from __future__ import annotations

import pytest

from context.abstention import nearest_of_evidence, other_language, with_nearest
from context.builder import ContextBuilder
from context.carried import sent_once
from context.templates import is_abstention
from domain.asking import AskOptions, Message
from domain.context import Context
from tests.context.context_examples import Source, WordCounter, document, query, ranked

COUNTER = WordCounter()
RENT = "The rent of the cottage is 840 pounds a month."
DEPOSIT = "The deposit is 1,680 pounds and is kept by the Trust."
TOPICS = {
    "en": [f"Rule {n} of the house says that room {n} is cleaned every {n + 2} days." for n in range(40)],
    "zh": [f"第{n}条规定，{n}号房间每{n + 2}天打扫一次，由管理员负责。" for n in range(40)],
}
ASKED = {"en": "What does rule {} say about cleaning?", "zh": "第{}条对打扫是怎么规定的？"}


def built(question: str, history: tuple[Message, ...], *scored: tuple[str, float], limit: int = 2_000) -> Context:
    builder = ContextBuilder(COUNTER, limit=limit, reserve=100, max_tokens=320)
    return builder.build(query(question), ranked(document(list(scored))), AskOptions(history=history))


def prompt(context: Context) -> str:
    return context.messages[-1].content


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_conversation_of_forty_turns_stays_under_its_ceiling(language: str) -> None:
    history: tuple[Message, ...] = ()
    totals = []
    for turn, sentence in enumerate(TOPICS[language]):
        question = ASKED[language].format(turn)
        scored = [(sentence, 0.9), (TOPICS[language][turn - 1], 0.5), (TOPICS[language][turn - 2], 0.1)]
        context = sent_once(built(question, history, *scored), COUNTER.count)
        assert context.context_tokens <= 320
        assert context.bill.total + context.bill.reserve <= context.bill.limit
        assert sum(COUNTER.count(message.content) for message in context.messages) <= context.bill.total
        assert question in prompt(context)
        assert sentence in prompt(context)
        totals.append(context.bill.total)
        history += (Message("user", question), Message("assistant", f"{sentence} [1]"))
    assert len(history) == 80
    # Once the digest is full, a turn costs what the one before it did, give or take a sentence.
    assert max(totals[20:]) <= min(totals[20:]) * 1.3


def test_a_sentence_of_the_last_answer_is_sent_once() -> None:
    history = (Message("user", "What is the rent?"), Message("assistant", f"{RENT} [1]"))
    context = built("And who keeps the deposit of the cottage?", history, (DEPOSIT, 0.9), (RENT, 0.5))
    once = sent_once(context, COUNTER.count)
    assert prompt(context).count(RENT) == 2
    assert prompt(once).count(RENT) == 1
    assert "Assistant: [1]" in prompt(once)
    assert once.evidence == context.evidence
    saved = COUNTER.count(prompt(context)) - COUNTER.count(prompt(once))
    assert saved > 0
    assert once.bill.history == context.bill.history - saved
    assert once.context_tokens == context.context_tokens - saved


def test_the_users_own_words_stay_as_they_are() -> None:
    history = (Message("user", f"You wrote: {RENT}"), Message("assistant", "Yes."))
    context = built("Is the rent of the cottage due monthly?", history, (RENT, 0.9))
    assert sent_once(context, COUNTER.count) == context


def test_only_what_really_stands_in_this_prompt_counts_as_carried() -> None:
    long_ago = (Message("user", "What is the rent?"), Message("assistant", f"{RENT} [1]"))
    since = tuple(
        Message(role, "Something else was said here. " * 6) for _ in range(30) for role in ("user", "assistant")
    )
    context = built("What is the rent of the cottage?", (*long_ago, *since), (RENT, 0.9))
    assert RENT not in prompt(context).split("<evidence")[0]
    assert sent_once(context, COUNTER.count) == context
    assert RENT in prompt(context)


def test_a_paraphrase_in_the_history_removes_nothing() -> None:
    history = (Message("user", "What is the rent?"), Message("assistant", "It is 840 pounds."))
    context = built("What is the rent of the cottage?", history, (RENT, 0.9))
    assert sent_once(context, COUNTER.count) == context


def test_a_turn_goes_on_over_line_ends() -> None:
    history = (Message("user", "What is the rent?"), Message("assistant", f"Here it is:\n{RENT} [1]"))
    context = built("What is the rent of the cottage?", history, (RENT, 0.9))
    assert "Assistant: Here it is:\n[1]\n" in prompt(sent_once(context, COUNTER.count))


def test_a_key_point_of_an_earlier_answer_points_too() -> None:
    history = (
        *(Message("user", "What is the rent?"), Message("assistant", f"{RENT} [1]")),
        *(Message("user", "And the garden?"), Message("assistant", "It is large. " * 11)),
    )
    context = built("What is the rent of the cottage?", history, (RENT, 0.9))
    assert f"Earlier: Assistant: {RENT}" in prompt(context)
    assert "Earlier: Assistant: [1]" in prompt(sent_once(context, COUNTER.count))


def test_a_sentence_hardly_longer_than_a_mark_stays() -> None:
    short = "It rained."
    history = (Message("user", "How was it?"), Message("assistant", f"{short} {RENT} [1]"))
    once = sent_once(built("Did it rain on the cottage?", history, (short, 0.9), (RENT, 0.8)), COUNTER.count)
    assert f"Assistant: {short} [" in prompt(once)


def test_a_sentence_that_holds_another_one_is_pointed_to_as_a_whole() -> None:
    part, whole = "the rent is paid in May.", "By the lease of the cottage the rent is paid in May."
    history = (Message("user", "When is it due?"), Message("assistant", whole))
    context = built("When is the rent of the cottage due?", history, (part, 0.9), (whole, 0.8))
    assert len(context.evidence[0].sentences) == 2
    section = prompt(sent_once(context, COUNTER.count)).split("<evidence")[0]
    assert "Assistant: [1]\n" in section


def test_without_history_nothing_changes() -> None:
    context = built("What is the rent?", (), (RENT, 0.9))
    assert sent_once(context, COUNTER.count) == context


# -- abstention -------------------------------------------------------------------------------------------------------


def test_an_abstention_names_the_best_sentence_of_the_three_nearest_documents() -> None:
    sources = [
        document(
            [(f"Fact {n} is small.", 0.01 * n), (f"Fact {n} is large.", 0.02 * n)], name=f"d{n}", title=f"Title {n}"
        )
        for n in range(1, 5)
    ]
    scored = ranked(*sources)
    builder = ContextBuilder(COUNTER, limit=2_000, reserve=100)
    context = with_nearest(builder.build(query("Who won?"), scored, AskOptions()), scored)
    assert context.evidence == ()
    assert [item.text for item in context.nearest] == ["Fact 4 is large.", "Fact 3 is large.", "Fact 2 is large."]
    assert [item.title for item in context.nearest] == ["Title 4", "Title 3", "Title 2"]
    for item, source in zip(context.nearest, (sources[3], sources[2], sources[1]), strict=True):
        assert item.span.of(source.text) == item.text


def test_nothing_is_added_to_an_answer() -> None:
    context = built("What is the rent?", (), (RENT, 0.9))
    assert with_nearest(context, ranked(document([(RENT, 0.9)]))) == context


@pytest.mark.parametrize(
    ("question", "sentence", "hint"),
    [
        ("How often is the filter replaced?", "滤网每两千小时更换一次，请联系售后服务。", "in Chinese"),
        ("滤网多久更换一次？", "The filter is replaced every two thousand hours.", "英文"),
        ("濾網多久更換一次？這個問題誰來回答？", "The filter is replaced every two thousand hours.", "英文"),
        ("How often is the filter replaced?", "The lamp is lit at dusk.", ""),
        ("滤网多久更换一次？", "灯在黄昏时点亮。", ""),
    ],
)
def test_a_question_across_languages_is_told_so(question: str, sentence: str, hint: str) -> None:
    scored = ranked(document([(sentence, 0.01)]))
    builder = ContextBuilder(COUNTER, limit=2_000, reserve=100)
    context = with_nearest(builder.build(query(question), scored, AskOptions()), scored)
    assert is_abstention(context.abstention)
    assert bool(other_language(question, [sentence])) == bool(hint)
    assert hint in context.abstention


def test_a_collection_in_both_languages_is_named_as_such() -> None:
    assert "Some of the documents are in Chinese" in other_language("Who signs?", ["王芳签署。", "Anna signs."])
    assert "部分文档是英文的" in other_language("谁来签署？", ["王芳签署。", "Anna signs."])
    assert other_language("Who signs?", []) == ""


def test_a_candidate_in_the_other_language_is_enough_for_a_hint() -> None:
    own = [document([(f"Fact {n} is small.", 0.05)], name=f"d{n}") for n in range(3)]
    other = document([("滤网每两千小时更换一次，请联系售后服务。", 0.01)], name="zh")
    builder = ContextBuilder(COUNTER, limit=2_000, reserve=100)

    def abstention(*sources: Source) -> str:
        scored = ranked(*sources)
        return with_nearest(builder.build(query("Who won?"), scored, AskOptions()), scored).abstention

    assert "Some of the documents are in Chinese" in abstention(*own, other)
    assert "Chinese" not in abstention(*own)
    nearer = [document([(f"Word {n} is large.", 0.02)], name=f"w{n}") for n in range(7)]
    assert "Chinese" not in abstention(*own, *nearer, other), "ten others are nearer"


def test_evidence_in_which_a_model_found_no_answer_is_the_nearest() -> None:
    context = built("What is the rent?", (), (RENT, 0.9), (DEPOSIT, 0.6))
    (nearest,) = nearest_of_evidence(context.evidence)
    assert (nearest.text, nearest.title) == (RENT, "Lease")


def test_the_nearest_of_evidence_are_the_best_documents_whatever_their_order_in_the_prompt() -> None:
    sources = [document([(f"Room {n} is blue.", n / 10)], name=f"d{n}", title=f"Title {n}") for n in range(5, 10)]
    sent = ContextBuilder(COUNTER, limit=2_000, reserve=100).build(query("Which room?"), ranked(*sources), AskOptions())
    nearest = nearest_of_evidence(sent.evidence[::-1])
    assert [item.title for item in nearest] == ["Title 9", "Title 8", "Title 7"]
