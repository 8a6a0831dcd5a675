"""The builder's promises: one hard budget, nothing lost that must stay, evidence verbatim, an honest bill."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from context.budget import MESSAGE_OVERHEAD, REPLY_OVERHEAD, TokenBudget
from context.builder import ContextBuilder
from context.layout import LONG_FROM, LayoutPolicy
from context.selection_policy import SelectionPolicy
from domain.asking import AskOptions, Constraint, Message
from domain.calibration import Thresholds
from domain.context import Context
from domain.errors import ContextBudgetError, DomainError
from domain.protocols import TokenCounter
from domain.search import GAP
from tests.context.context_examples import SeamCounter, Source, WordCounter, document, query, ranked


def builder(
    limit: int = 8_000,
    reserve: int = 200,
    counter: TokenCounter | None = None,
    policy: SelectionPolicy | None = None,
    layout: LayoutPolicy | None = None,
) -> ContextBuilder:
    return ContextBuilder(counter or WordCounter(), limit=limit, reserve=reserve, policy=policy, layout=layout)


def prompt_tokens(context: Context, counter: TokenCounter) -> int:
    return sum(counter.count(message.content) + MESSAGE_OVERHEAD for message in context.messages)


def between_system_and_question(context: Context) -> str:
    """What a reader of the messages finds between the system part and the last statement of the question."""
    title = "## Question" if "## Question" in context.messages[1].content else "## 问题"
    return context.messages[1].content.rpartition(f"{title}\n{context.question}")[0]


@pytest.fixture
def lease() -> Source:
    return document([("Rent is 500 euros.", 0.9), ("Heating is 80 euros.", 0.8), ("The cat is grey.", 0.01)])


def long_lease() -> Source:
    return document(
        [(f"Clause {n} speaks of the rent in the year {n} and of much else besides it.", 0.9) for n in range(90)],
        per_chunk=3,
    )


def test_the_prompt_reads_system_evidence_question(lease: Source) -> None:
    context = builder().build(query("What is the rent?"), ranked(lease), AskOptions())
    system, user = context.messages
    assert (system.role, user.role) == ("system", "user")
    assert system.content.startswith("You answer questions from the user's documents.\n\n## Rules\n- ")
    nonce = re.search(r"<evidence (\d{2})>", user.content)
    assert nonce is not None
    assert user.content == (
        f"<evidence {nonce[1]}>\n[1] Lease\nRent is 500 euros. Heating is 80 euros.\n</evidence {nonce[1]}>"
        "\n\n## Question\nWhat is the rent?"
    )


def test_the_system_part_is_the_same_from_question_to_question(lease: Source) -> None:
    options = AskOptions(constraints=(Constraint("Be brief."),))
    first = builder().build(query("What is the rent?"), ranked(lease), options)
    second = builder().build(query("What is the heating?"), ranked(document([("Other text.", 0.9)])), options)
    assert first.messages[0] == second.messages[0]
    assert first.messages[1] != second.messages[1]


def test_the_same_request_gives_the_same_context(lease: Source) -> None:
    assert builder().build(query("Rent?"), ranked(lease), AskOptions()) == builder().build(
        query("Rent?"), ranked(lease), AskOptions()
    )


def test_the_bill_adds_up_to_the_messages(lease: Source) -> None:
    options = AskOptions(
        constraints=(Constraint("Answer in one sentence."),), history=(Message("user", "Hello there"),)
    )
    context = builder().build(query("What is the rent?"), ranked(lease), options)
    assert context.bill.total == prompt_tokens(context, WordCounter())
    assert context.bill.constraints == WordCounter().count("\n\n## Constraints\n- Answer in one sentence.")
    assert context.context_tokens == context.bill.evidence + context.bill.history
    assert context.context_tokens == WordCounter().count(between_system_and_question(context).removesuffix("\n\n"))
    assert context.bill.tokenizer == "words"
    assert context.bill.margin == REPLY_OVERHEAD


def test_the_baseline_is_the_ten_best_chunks_plainly() -> None:
    source = document([(f"word{n} a b c", 0.9) for n in range(12)], per_chunk=1)
    context = builder().build(query("What?"), ranked(source), AskOptions())
    assert context.bill.baseline == 10 * 4 + 9  # four tokens a chunk and nine separators
    assert context.bill.avoided == max(0, 49 - context.bill.evidence)


def test_max_tokens_is_a_ceiling_on_everything_between_system_and_question() -> None:
    for most in (0, 5, 40, 64, 100, 300):
        context = builder().build(query("What of the rent?"), ranked(long_lease()), AskOptions(max_tokens=most))
        assert context.context_tokens <= most
        assert WordCounter().count(between_system_and_question(context).rstrip("\n")) == context.context_tokens


def test_a_larger_ceiling_is_used_when_the_evidence_is_strong() -> None:
    small, large = (
        builder().build(query("Rent?"), ranked(long_lease()), AskOptions(max_tokens=most)).context_tokens
        for most in (100, 200)
    )
    assert 70 <= small <= 100 < 160 <= large <= 200


def test_constraints_appear_at_both_ends_of_a_long_prompt() -> None:
    options = AskOptions(constraints=(Constraint("Answer in French."),), max_tokens=2 * LONG_FROM)
    policy = SelectionPolicy.fill()
    context = builder(policy=policy).build(query("What of the rent?"), ranked(long_lease()), options)
    assert context.context_tokens >= LONG_FROM
    assert "Answer in French." in context.messages[0].content
    user = context.messages[1].content
    assert user.startswith("## Question\nWhat of the rent?\n\n<evidence ")
    assert user.endswith("## Question\nWhat of the rent?\n\n## Constraints\n- Answer in French.")


def test_a_short_prompt_restates_nothing(lease: Source) -> None:
    options = AskOptions(constraints=(Constraint("Answer in French."),))
    context = builder().build(query("What of the rent?"), ranked(lease), options)
    assert sum(message.content.count("Answer in French.") for message in context.messages) == 1


def test_the_strongest_evidence_stands_at_both_edges() -> None:
    sources = [document([(f"Fact {n} is about {n} rents.", 0.9 - n / 100)], name=f"d{n}") for n in range(5)]
    context = builder(layout=LayoutPolicy(edges_from=0)).build(query("Rents?"), ranked(*sources), AskOptions())
    assert [item.document_id for item in context.evidence] == ["doc-d0", "doc-d2", "doc-d4", "doc-d3", "doc-d1"]
    assert [item.mark for item in context.evidence] == [1, 2, 3, 4, 5]


def test_a_short_prompt_has_its_evidence_best_first() -> None:
    sources = [document([(f"Fact {n} is about {n} rents.", 0.9 - n / 100)], name=f"d{n}") for n in range(5)]
    context = builder().build(query("Rents?"), ranked(*sources), AskOptions())
    assert [item.document_id for item in context.evidence] == [f"doc-d{n}" for n in range(5)]


def test_neighbouring_chunks_of_a_document_stand_together_in_document_order() -> None:
    source = document([("Rent is 500.", 0.8), ("Heating is 80.", 0.9)], per_chunk=1, headings=("Costs",))
    other = document([("The deposit is two rents.", 0.85)], name="b", title="Annex")
    context = builder().build(query("Costs?"), ranked(source, other), AskOptions())
    assert [item.chunk_id for item in context.evidence] == ["doc-a-v-0", "doc-a-v-1", "doc-b-v-0"]
    assert "[1] Lease > Costs\nRent is 500.\n\n[2] Heating is 80.\n\n[3] Annex\n" in context.messages[1].content


def test_title_heading_and_page_lead_the_evidence() -> None:
    source = document([("Rent is 500.", 0.01), ("Heating is 80.", 0.9)], headings=("Terms", "Costs"), page_length=13)
    context = builder().build(query("Costs?"), ranked(source), AskOptions())
    assert "[1] Lease > Terms > Costs, p. 2\nHeating is 80." in context.messages[1].content


def test_role_and_thinking_are_options_of_the_request(lease: Source) -> None:
    plain = builder().build(query("Rent?"), ranked(lease), AskOptions()).messages[0].content
    asked = builder().build(query("Rent?"), ranked(lease), AskOptions(role="You are a lawyer.", think=True))
    assert "step by step" not in plain
    assert asked.messages[0].content.startswith("You are a lawyer.\n\n## Rules")
    assert "step by step" in asked.messages[0].content


def test_a_chinese_question_gets_chinese_wording() -> None:
    source = document([("租金为每月五百元。", 0.9)], title="租约")
    context = builder().build(query("租金是多少？"), ranked(source), AskOptions(constraints=(Constraint("一句话。"),)))
    assert context.messages[0].content.startswith("你根据用户的文档回答问题。\n\n## 规则")
    assert context.messages[0].content.endswith("## 约束\n- 一句话。")
    assert context.messages[1].content.endswith("## 问题\n租金是多少？")


def test_the_language_of_the_question_decides_which_thresholds_hold(lease: Source) -> None:
    own = SelectionPolicy(by_language={"en": Thresholds(0.0, 0.0), "zh": Thresholds(0.0, 1.0)})
    built = builder(policy=own)
    for asked, sent in (("What is the rent?", True), ("租金是多少？", False)):
        assert bool(built.build(query(asked), ranked(lease), AskOptions()).evidence) is sent
        assert [bool(one.evidence) for one in built.build_each(query(asked), ranked(lease), (90, 400))] == [sent] * 2


def test_without_support_the_context_abstains_and_names_the_nearest_passage() -> None:
    source = document([("The cat is grey.", -0.5)], title="Pets", headings=("Cats",), page_length=100)
    context = builder().build(query("What is the rent?"), ranked(source), AskOptions())
    assert context.evidence == ()
    assert context.context_tokens == 0
    assert context.abstention == (
        "I don't know: the documents do not answer this question. The nearest passage is in “Pets”, Cats, p. 1."
    )


def test_abstention_is_empty_when_there_is_evidence(lease: Source) -> None:
    assert builder().build(query("Rent?"), ranked(lease), AskOptions()).abstention == ""


def test_where_nothing_was_searched_the_abstention_says_so() -> None:
    context = builder().build(query("租金是多少？"), [], AskOptions())
    assert context.abstention == "我不知道：没有可供检索的文档。请先导入文档，或放宽筛选条件。"


def test_where_nothing_fits_the_abstention_names_the_ceiling(lease: Source) -> None:
    context = builder().build(query("Rent?"), ranked(lease), AskOptions(max_tokens=3))
    assert context.evidence == ()
    assert "ceiling of tokens" in context.abstention


@pytest.mark.parametrize(("limit", "longest"), [(20, "system text"), (400, "question"), (401, "constraints")])
def test_what_must_stay_but_does_not_fit_is_an_error_that_names_the_longest_part(limit: int, longest: str) -> None:
    asked = "rent " * (500 if longest == "question" else 2)
    constraints = (Constraint("brief " * 500),) if longest == "constraints" else ()
    with pytest.raises(ContextBudgetError, match=f"Shorten the {longest}") as caught:
        builder(limit=limit).build(query(asked), [], AskOptions(constraints=constraints))
    assert str(limit) in caught.value.message


def test_a_limit_that_the_error_names_is_enough(lease: Source) -> None:
    with pytest.raises(ContextBudgetError) as caught:
        builder(limit=100, reserve=0).build(query("Rent?"), ranked(lease), AskOptions())
    needed = re.search(r"at least (\d+)", caught.value.message)
    assert needed is not None
    context = builder(limit=int(needed[1]), reserve=0).build(query("Rent?"), ranked(lease), AskOptions())
    assert context.bill.total + context.bill.margin == int(needed[1])


def test_the_reserve_takes_at_most_a_quarter_of_the_window() -> None:
    assert TokenBudget.for_model(2_000, 4_000, WordCounter()).reserve == 500
    assert TokenBudget.for_model(8_000, 1_000, WordCounter()).reserve == 1_000


def test_a_budget_without_room_cannot_exist() -> None:
    with pytest.raises(DomainError, match="limit > 0"):
        TokenBudget(0, 0, WordCounter())


SENTENCES = (
    "Rent is 500 euros.",
    "However, it rose.",
    "Year | Sales",
    "2018 | 1,577",
    "See [1] </evidence>",
    "租金为五百元。",
    "它在退租后退还。",
    "word " * 60 + ".",
    "A.",
    "## Question",
    "Who pays? The tenant (see clause 4) does.",
)
WORDS = st.lists(
    st.sampled_from(("rent", "lease", "租金", "是多少", "why", "[1]", "\n## Question\n", "x" * 30)), min_size=1
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Source], str, AskOptions, int, int, TokenCounter]:
    scores = st.floats(-1, 1, allow_nan=False)
    sources = [
        document(
            draw(st.lists(st.tuples(st.sampled_from(SENTENCES), scores), min_size=1, max_size=12)),
            name=f"d{number}",
            title=draw(st.sampled_from(("Lease", "租约", "", "A very long title " * 9))),
            per_chunk=draw(st.integers(1, 5)),
            joint=draw(st.sampled_from((" ", "\n", "\n\n"))),
            headings=draw(st.sampled_from(((), ("Terms",), ("Terms", "[3] Payment\n\n")))),
            header=draw(st.sampled_from((None, ("Year | Sales", 0)))),
            page_length=draw(st.sampled_from((None, 20))),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    said = st.builds(Message, st.sampled_from(("user", "assistant")), st.builds(" ".join, WORDS))
    options = AskOptions(
        max_tokens=draw(st.one_of(st.none(), st.integers(0, 2_000))),
        constraints=tuple(Constraint(" ".join(words)) for words in draw(st.lists(WORDS, max_size=3))),
        role=draw(st.sampled_from((None, "You are a lawyer.", "你是律师。"))),
        think=draw(st.booleans()),
        history=tuple(draw(st.lists(said, max_size=8))),
    )
    limit = draw(st.one_of(st.integers(50, 1_000), st.integers(50, 32_000)))
    counter = draw(st.sampled_from((WordCounter(), SeamCounter())))
    return sources, " ".join(draw(WORDS)), options, limit, draw(st.integers(0, 9_000)), counter


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_the_budget_holds_and_nothing_that_must_stay_is_lost(
    case: tuple[list[Source], str, AskOptions, int, int, TokenCounter],
) -> None:
    sources, asked, options, limit, reserve, counter = case
    scored = ranked(*sources)
    try:
        context = builder(limit, reserve, counter).build(query(asked), scored, options)
    except ContextBudgetError:
        needed = (*(constraint.text for constraint in options.constraints), asked, options.role or "")
        assert sum(counter.count(part) for part in needed) + 400 > limit * 3 / 4
        return
    bill = context.bill
    assert prompt_tokens(context, counter) <= bill.total
    assert bill.total + bill.margin + bill.reserve <= limit
    assert bill.reserve == min(reserve, limit // 4)
    assert context.context_tokens <= (1_000 if options.max_tokens is None else options.max_tokens)
    assert context.messages[1].content.count(asked) >= 1
    assert all(constraint.text in context.messages[0].content for constraint in options.constraints)
    assert (options.role or "") in context.messages[0].content

    original = {item.chunk.document_id: source.text for source in sources for item in source.scored}
    for item in context.evidence:
        assert item.text == GAP.join(span.of(original[item.document_id]) for span in item.spans)
        assert all(item.part(sentence.span).strip() for sentence in item.sentences)
        assert list(item.spans) == sorted(item.spans)
    assert [item.mark for item in context.evidence] == list(range(1, len(context.evidence) + 1))
    named = [item.chunk_id for item in (*context.evidence, *context.dropped)]
    assert sorted(named) == sorted(item.chunk.id for item in scored)
    assert bool(context.abstention) == (not context.evidence)
