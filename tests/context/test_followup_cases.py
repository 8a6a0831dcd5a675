"""Which questions lean on a conversation: pronouns, ellipsis, contrasts, zero subjects, and what looks like them."""

from __future__ import annotations

import pytest

from context.followup import leans_on_history, standalone_question
from domain.asking import Message

LEANING_EN = [
    "When did she sell it?",
    "How many people work there?",
    "What about Germany?",
    "How about the deposit?",
    "And in 2019?",
    "And the deposit?",
    "Or the annex?",
    "Why?",
    "Why not?",
    "Since when?",
    "How come?",
    "Who says so?",
    "Is that still true?",
    "Was that before the war?",
    "Could you explain that in more detail?",
    "What do you mean by that?",
    "Who owns this?",
    "How much do these cost?",
    "Which one is cheaper?",
    "What does the other one contain?",
    "Is the second one open on Sundays?",
    "What is the latter used for?",
    "Who else signed?",
    "What else does it contain?",
    "Compared to the year before?",
    "What is its population?",
    "How tall is he?",
    "Are they allowed to keep pets?",
    "Tell me more.",
    "How much was it in 2019?",
    "So what happens to them then?",
    "But is it insured?",
    "When was it last serviced?",
]
LEANING_ZH = [
    "它有多少员工？",
    "他是谁？",
    "她什么时候去世？",
    "他们住在哪里？",
    "那上海呢？",
    "押金呢？",
    "那么2019年呢？",
    "为什么？",
    "為什麼？",
    "什么时候成立的？",
    "有多少员工？",
    "多少钱？",
    "谁签的？",
    "在哪里？",
    "由谁负责？",
    "这个多久更换一次？",
    "该公司的总部在哪里？",
    "其总部在哪里？",
    "上述费用由谁承担？",
    "后者的用途是什么？",
    "还有别的要求吗？",
    "那個多少錢？",
    "它們有什麼區別？",
    "可以退吗？",
]
STANDING_EN = [
    "What is the boiling point of water?",
    "Which companies raised their prices?",
    "When did Marie Curie win her first prize?",
    "What must an employee do if he is ill?",
    "If a tenant leaves early, does he lose the deposit?",
    "Can the landlord enter the flat while it is let?",
    "How long does it take to get a passport?",
    "Is it legal to keep dogs in the cottage?",
    "Is it true that the lighthouse was built in 1890?",
    "What happens to those who miss the deadline?",
    "What are the targets of this year for the laboratory?",
    "What did Tesla do after he moved to New York?",
    "Did Warsaw rebuild its old town after the war?",
    "Who founded Acme in Ulm and when did he sell the company?",
    "Does the Trust return the deposit when it ends the lease?",
    "Is there a fee for late payment of rent?",
    "What is the notice period for both parties of the lease?",
    "How many days of annual leave do employees get?",
]
STANDING_ZH = [
    "公司应该如何处理客户投诉？",
    "其他国家的首都是什么？",
    "其中哪些滤网可以水洗更换？",
    "什么是光？",
    "谁是李明？",
    "谁发明了电话？",
    "如何更换复合滤网？",
    "这些年来房租上涨了多少？",
    "租户可以饲养宠物吗？",
    "复合滤网多久更换一次？",
    "侵犯他人权利要承担什么责任？",
    "华为的总部在哪里？",
    "睡眠模式的噪音是多少分贝？",
    "什麼是希爾伯特空間？",
    "租客應該在何時付押金？",
]


@pytest.mark.parametrize("question", LEANING_EN + LEANING_ZH)
def test_a_follow_up_is_recognised(question: str) -> None:
    assert leans_on_history(question)


@pytest.mark.parametrize("question", STANDING_EN + STANDING_ZH)
def test_a_question_that_only_looks_like_a_follow_up_is_left_alone(question: str) -> None:
    history = [
        Message("user", "Who signed the lease of Skerry Point? 谁签署了灯塔的租约？"),
        Message("assistant", "Jane."),
    ]
    assert not leans_on_history(question)
    assert standalone_question(question, history) == question


@pytest.mark.parametrize("question", LEANING_EN + LEANING_ZH)
def test_a_rewritten_question_keeps_the_users_words_and_adds_only_words_of_the_conversation(question: str) -> None:
    before = "Where is Acme GmbH headquartered?" if question in LEANING_EN else "华为的总部在哪里？"
    rewritten = standalone_question(question, [Message("user", before), Message("assistant", "Ulm, Basel 42.")])
    assert rewritten.startswith(question)
    added = rewritten.removeprefix(question).strip(" ()").split()
    assert all(term in before for term in added)


def test_without_a_conversation_no_question_is_rewritten() -> None:
    assert [standalone_question(question, []) for question in LEANING_EN] == LEANING_EN


def test_an_amount_that_was_asked_for_is_no_topic() -> None:
    assert standalone_question("And the deposit?", [Message("user", "How much is the rent?")]) == (
        "And the deposit? (rent)"
    )
