"""The fewest sentences that support the answer, and nothing unreadable, twice or beyond the ceiling."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from context.budget import TokenBudget
from context.selection import EvidenceSelector, Selection
from context.selection_policy import SelectionPolicy
from context.templates import WORDINGS
from domain.calibration import Thresholds
from domain.documents import Sentence, Span
from domain.search import GAP, ScoredChunk, ScoredSentence
from tests.context.context_examples import Source, WordCounter, document, ranked

# A sentence costs its words and eight tokens more. With odds of .9 (9) and .8 (4) and the null's 1, a weak sentence of
# odds .25 has a mass of .0175, which buys less than this a token; a middling one of odds 1 has .066 and buys more.
PLAIN = SelectionPolicy(mass_per_token=0.002, abstain_below=0.0)


def select(scored: list[ScoredChunk], ceiling: int = 1_000, policy: SelectionPolicy = PLAIN) -> Selection:
    budget = TokenBudget(32_000, 0, WordCounter())
    selector = EvidenceSelector(budget, policy)
    return selector.select(selector.offers(scored, "en"), ceiling, WORDINGS["en"])


def texts(selection: Selection) -> list[str]:
    return [item.text for item in selection.evidence]


def reasons(selection: Selection) -> dict[str, str]:
    return {item.chunk_id: item.reason for item in selection.dropped}


@pytest.fixture
def lease() -> Source:
    return document(
        [
            ("The tenant pays rent monthly.", 0.9),
            ("Pets need the landlord's written consent.", 0.2),
            ("Rent is due on the first day.", 0.8),
            ("Smoking is not allowed.", 0.1),
        ],
        headings=("Terms", "Payment"),
    )


def test_only_sentences_near_the_best_score_are_taken(lease: Source) -> None:
    # Odds of .25 and .11 beside those of .9 and .8: a token of the two weak ones buys too little.
    policy = replace(PLAIN, gap_tokens=0)
    assert texts(select(ranked(lease), policy=policy)) == [
        "The tenant pays rent monthly." + GAP + "Rent is due on the first day."
    ]


def test_a_token_must_buy_enough_evidence(lease: Source) -> None:
    # Odds of 9, .25, 4, .11 and the null's 1: the third sentence has .279 of the mass and costs 8 + 8 tokens.
    just, too_much = (replace(PLAIN, mass_per_token=factor * 0.2786 / 16, gap_tokens=0) for factor in (0.99, 1.01))
    assert len(select(ranked(lease), policy=just).evidence[0].sentences) == 2
    assert texts(select(ranked(lease), policy=too_much)) == ["The tenant pays rent monthly."]


def test_the_best_sentence_has_no_price(lease: Source) -> None:
    assert texts(select(ranked(lease), policy=replace(PLAIN, mass_per_token=1.0))) == ["The tenant pays rent monthly."]


def test_where_no_sentence_is_sure_several_are_sent() -> None:
    doubtful = document([(f"Perhaps {n} is it.", 0.3) for n in range(4)], per_chunk=1)
    assert len(select(ranked(doubtful), policy=replace(PLAIN, max_chunks=9)).evidence) == 4


def test_a_long_sentence_needs_better_reasons_than_a_short_one() -> None:
    source = document([("Rent is due.", 0.9), ("Rent is dear.", 0.3), ("Rent " * 60 + "it is.", 0.3)], per_chunk=1)
    assert [text[:13] for text in texts(select(ranked(source)))] == ["Rent is due.", "Rent is dear."]


def test_nothing_is_sent_when_the_best_sentence_is_too_weak(lease: Source) -> None:
    selection = select(ranked(lease), policy=replace(PLAIN, abstain_below=0.95))
    assert selection.evidence == ()
    assert reasons(selection) == {"doc-a-v-0": "below_threshold"}


def test_no_candidates_give_no_evidence() -> None:
    assert select([]) == Selection((), ())


def test_spans_are_verbatim_disjoint_and_ascending(lease: Source) -> None:
    (item,) = select(ranked(lease)).evidence
    assert item.text == GAP.join(span.of(lease.text) for span in item.spans)
    assert all(before.end < after.start for before, after in zip(item.spans, item.spans[1:], strict=False))


def test_neighbouring_sentences_become_one_span() -> None:
    source = document([("Rent is 500.", 0.9), ("Heating is 80.", 0.8)], joint="\n\n")
    (item,) = select(ranked(source)).evidence
    assert item.text == "Rent is 500.\n\nHeating is 80."
    assert len(item.spans) == 1


def test_a_short_sentence_between_two_taken_ones_closes_the_gap(lease: Source) -> None:
    (item,) = select(ranked(lease)).evidence  # "Pets need ..." has 8 tokens, at most 12 are a gap
    assert (
        item.text
        == "The tenant pays rent monthly. Pets need the landlord's written consent. Rent is due on the first day."
    )


@pytest.mark.parametrize(
    ("before", "opening"),
    [
        ("The deposit is two rents.", "It is returned within a month."),
        ("The deposit is two rents.", "However, damages are deducted."),
        ("押金为两个月租金。", "它在退租后退还。"),
        ("押金為兩個月租金。", "此外，房東可以扣除損失。"),
    ],
)
def test_a_sentence_that_leans_on_its_predecessor_brings_it_along(before: str, opening: str) -> None:
    (item,) = select(ranked(document([(before, 0.1), (opening, 0.9)]))).evidence
    assert item.text == f"{before} {opening}"


def test_a_dear_predecessor_stays_behind() -> None:
    source = document([(" ".join(["word"] * 60) + ".", 0.1), ("It is returned within a month.", 0.9)])
    assert texts(select(ranked(source))) == ["It is returned within a month."]


def test_a_sentence_that_fits_only_without_its_predecessor_is_taken_alone() -> None:
    source = document([("The deposit of the flat is two rents.", 0.1), ("It is returned.", 0.9)])
    assert texts(select(ranked(source), ceiling=12)) == ["It is returned."]


def test_a_table_row_brings_the_header_row_that_lies_before_its_chunk() -> None:
    source = document(
        [("2018 | 1,577", 0.9), ("2019 | 1,699", 0.1)], header=("Year | Capital expenditure", 0), joint="\n"
    )
    (item,) = select(ranked(source)).evidence
    assert item.text == "Year | Capital expenditure" + GAP + "2018 | 1,577"
    assert [span.of(source.text) for span in item.spans] == ["Year | Capital expenditure", "2018 | 1,577"]


def test_the_first_row_of_a_chunk_is_no_header_where_the_table_has_one_before() -> None:
    rows = [("2018 | 1,577", 0.1), ("2019 | 1,699", 0.9)]
    source = document(rows, header=("Year | Capital expenditure", 0), joint="\n")
    assert texts(select(ranked(source))) == ["Year | Capital expenditure" + GAP + "2019 | 1,699"]


def test_a_table_row_brings_the_header_row_of_its_own_chunk() -> None:
    rows = [("Intro.", 0.0), ("Year | Sales", 0.1), ("2017 | 3", 0.1), ("2018 | 4", 0.1), ("2019 | 5", 0.9)]
    (item,) = select(ranked(document(rows, joint="\n")), policy=replace(PLAIN, gap_tokens=0)).evidence
    assert item.text == "Year | Sales" + GAP + "2019 | 5"


def test_a_table_row_brings_every_line_of_its_column_labels() -> None:
    source = document([("(Millions)", 0.1), ("2018 2017", 0.1), ("Sales 5 7", 0.1), ("Costs 3 4", 0.9)], joint="\n")
    (plain,) = source.scored
    scores = tuple(
        replace(one, sentence=replace(one.sentence, is_row=at > 1)) for at, one in enumerate(plain.sentences)
    )
    header = Span(0, len("(Millions)\n2018 2017"))
    chunk = replace(plain.chunk, sentences=tuple(one.sentence for one in scores), header=header)
    marked = replace(plain, stored=replace(plain.stored, chunk=chunk), sentences=scores)
    (item,) = select([marked], policy=replace(PLAIN, gap_tokens=0)).evidence
    assert item.text == "(Millions)\n2018 2017" + GAP + "Costs 3 4"
    assert (item.header, [one.is_row for one in item.sentences]) == (header, [False, False, True])


def test_a_dear_header_row_stays_behind() -> None:
    rows = [("Intro.", 0.0), ("Year | Sales", 0.1), ("2017 | 3", 0.1), ("2018 | 4", 0.9)]
    policy = replace(PLAIN, gap_tokens=0, header_tokens=2)
    assert texts(select(ranked(document(rows, joint="\n")), policy=policy)) == ["2018 | 4"]


def test_the_ceiling_binds_and_says_so() -> None:
    source = document(
        [(f"Number {n} says a good many words about rent.", 0.9 - n / 100) for n in range(9)], per_chunk=1
    )
    selection = select(ranked(source), ceiling=40)
    assert sum(item.tokens for item in selection.evidence) <= 40
    assert len(selection.evidence) == 2
    assert set(reasons(selection).values()) == {"budget"}


def test_a_sentence_too_long_for_the_ceiling_makes_way_for_shorter_ones() -> None:
    source = document([(" ".join(["rent"] * 50) + ".", 0.9), ("Rent is 500.", 0.8)])
    assert texts(select(ranked(source), ceiling=20)) == ["Rent is 500."]


def test_a_ceiling_is_not_a_target(lease: Source) -> None:
    assert select(ranked(lease), ceiling=200).evidence == select(ranked(lease), ceiling=30_000).evidence


def test_what_was_said_already_is_not_sent_again() -> None:
    first = document([("The notice period is three months to the end of a quarter.", 0.9)], name="a")
    copy = document([("The  notice period is three months to the end of a quarter.", 0.8)], name="b")
    selection = select(ranked(first, copy))
    assert [item.document_id for item in selection.evidence] == ["doc-a"]
    assert reasons(selection) == {"doc-b-v-0": "duplicate"}


def test_a_copy_edited_for_style_counts_as_said() -> None:
    said = "The notice period for ending this lease is three months to the end of a calendar quarter in every case."
    edited = "The notice period for ending this lease is three months to the end of a calendar quarter in each case."
    selection = select(ranked(document([(said, 0.9)], name="a"), document([(edited, 0.8)], name="b")))
    assert reasons(selection) == {"doc-b-v-0": "duplicate"}


@pytest.mark.parametrize(
    "other",
    [
        "The notice period for ending this lease is 6 months to the end of a calendar quarter in every case.",
        "The notice period for ending this lease is not 3 months to the end of a calendar quarter in every case.",
        "The notice period for ending this lease is 3 months to the end of a calendar quarter in every Berlin case.",
    ],
)
def test_sentences_that_differ_in_a_number_a_name_or_a_negation_are_both_sent(other: str) -> None:
    said = "The notice period for ending this lease is 3 months to the end of a calendar quarter in every case."
    selection = select(ranked(document([(said, 0.9)], name="a"), document([(other, 0.8)], name="b")))
    assert len(selection.evidence) == 2


def test_overlapping_chunks_send_their_common_sentence_once() -> None:
    source = document([("Rent is 500.", 0.9), ("Heating is 80.", 0.8)])
    (whole,) = source.scored
    again = replace(whole, stored=replace(whole.stored, chunk=replace(whole.chunk, id="doc-a-v-1", ordinal=1)))
    selection = select([whole, again])
    assert texts(selection) == ["Rent is 500. Heating is 80."]
    assert reasons(selection) == {"doc-a-v-1": "duplicate"}


def test_one_document_cannot_fill_the_prompt() -> None:
    greedy = document([(f"Claim {n} about rent number {n}.", 0.9) for n in range(6)], per_chunk=1, name="a")
    modest = document([("The rent is fair.", 0.8)], name="b")
    selection = select(ranked(greedy, modest), policy=replace(PLAIN, max_chunks_per_document=3))
    assert [item.document_id for item in selection.evidence].count("doc-a") == 3
    assert "doc-b" in {item.document_id for item in selection.evidence}
    assert sorted(reasons(selection).values()) == ["document_cap"] * 3


def test_l9_three_chunks_of_a_document_come_before_all_others_and_then_each_document_has_its_turn() -> None:
    greedy = document([(f"Claim {n} about rent number {n}.", 0.9) for n in range(6)], per_chunk=1, name="a")
    modest = document([("The rent is fair.", 0.6)], name="b")
    plenty, scarce = select(ranked(greedy, modest)), select(ranked(greedy, modest), ceiling=60)
    assert [
        len([item for item in selection.evidence if item.document_id == "doc-a"]) for selection in (plenty, scarce)
    ] == [6, 3]
    assert all("The rent is fair." in texts(selection) for selection in (plenty, scarce))


def copied(count: int, text: str = "The hotline of Northwind is 0900 666 {:04d} on weekdays.") -> list[Source]:
    return [document([(text.format(n), 0.95)], name=f"copy{n}") for n in range(count)]


@pytest.mark.parametrize("policy", [PLAIN, PLAIN.without_scale()], ids=["chances", "ranks"])
def test_l9_copies_that_differ_in_a_number_do_not_fill_the_prompt(policy: SelectionPolicy) -> None:
    honest = document([("Since May the hotline is 0800 555 0123.", 0.9)], name="honest")
    selection = select(ranked(*copied(50), honest), ceiling=80, policy=policy)
    assert "Since May the hotline is 0800 555 0123." in texts(selection)
    assert len(selection.evidence) > 3, "what is left of the room goes to copies, one of which may be right"


def test_l9_copies_do_not_share_out_the_evidence_mass_of_who_says_otherwise() -> None:
    # Alone beside three copies (odds of 19 each) the honest one has 1.5 / 59.5 of the mass: .0016 a token, and beside
    # fifty of them .000098.
    honest = document([("Since May the hotline is 0800 555 0123.", 0.6)], name="honest")
    policy = replace(PLAIN, mass_per_token=0.0005)
    for count in (3, 50):
        same = [
            document([("The hotline of Northwind is 0900 666 on weekdays.", 0.95)], name=f"c{n}") for n in range(count)
        ]
        assert "Since May the hotline is 0800 555 0123." in texts(select(ranked(*same, honest), policy=policy))


def test_the_only_document_with_evidence_may_send_more_chunks() -> None:
    greedy = document([(f"Claim {n} about rent number {n}.", 0.9) for n in range(6)], per_chunk=1, name="a")
    silent = document([("The cat is grey.", 0.1)], name="b")
    selection = select(ranked(greedy, silent), policy=replace(PLAIN, max_chunks_per_document=3))
    assert len(selection.evidence) == 6
    assert reasons(selection) == {"doc-b-v-0": "below_threshold"}


def windows(source: Source, first: Span, second: Span) -> list[ScoredChunk]:
    """Two overlapping chunks of one document, as a chunker with fixed windows cuts them."""
    (whole,) = source.scored
    cut = []
    for ordinal, span in enumerate((first, second)):
        sentence = Sentence(0, span)
        chunk = replace(whole.chunk, id=f"doc-a-v-{ordinal}", ordinal=ordinal, span=span, text=span.of(source.text))
        stored = replace(whole.stored, chunk=replace(chunk, sentences=(sentence,)))
        score = 0.9 - ordinal / 10
        cut.append(replace(whole, stored=stored, score=score, sentences=(ScoredSentence(sentence, score),)))
    return cut


def test_what_two_windows_share_is_sent_once() -> None:
    source = document([("The rent is 500 euros a month. Heating is another 80 euros.", 0.9)])
    first, second = Span(0, 40), Span(12, 59)  # "... month. Heating i" and "500 euros ..."
    selection = select(windows(source, first, second))
    assert [item.spans for item in selection.evidence] == [(Span(0, 40),), (Span(40, 59),)]
    assert "".join(texts(selection)) == source.text[:59]


def test_a_window_with_nothing_but_a_full_stop_of_its_own_is_a_duplicate() -> None:
    source = document([("The rent is 500 euros a month. Heating is another 80 euros.", 0.9)])
    selection = select(windows(source, Span(0, 58), Span(31, 59)))
    assert reasons(selection) == {"doc-a-v-1": "duplicate"}


CODE = [
    "Install it so:",
    "```sh\npip install fovea",
    "fovea ingest docs/",
    "fovea serve\n```",
    "The page opens by itself.",
]


def code(best: int, score: float = 0.9) -> Source:
    return document([(text, score if at == best else 0.0) for at, text in enumerate(CODE)], joint="\n\n")


@pytest.mark.parametrize("best", [1, 2, 3])
def test_a_line_of_code_brings_its_fenced_block(best: int) -> None:
    (item,) = select(ranked(code(best))).evidence
    assert item.text == "```sh\npip install fovea\n\nfovea ingest docs/\n\nfovea serve\n```"


def test_prose_behind_code_brings_none_of_it_and_what_announces_it_all() -> None:
    assert texts(select(ranked(code(4)))) == ["The page opens by itself."]
    assert texts(select(ranked(code(0)))) == ["\n\n".join(CODE[:4])]


STEPS = [
    "Lenses are dear.",
    "Cleaning a lens:",
    "1. Blow.",
    "2. Use a tissue.",
    "Never a cloth.",
    "3. Dry it.",
    "It shines.",
]


def steps(**scores: float) -> Source:
    return document([(text, scores.get(f"at{at}", 0.001)) for at, text in enumerate(STEPS)], joint="\n")


@pytest.mark.parametrize("scores", [{"at1": 0.9}, {"at1": 0.9, "at3": 0.4}])
def test_a_line_that_announces_a_list_brings_the_list(scores: dict[str, float]) -> None:
    assert texts(select(ranked(steps(**scores)))) == ["\n".join(STEPS[1:6])]


def test_an_item_that_the_question_resembles_most_stands_alone() -> None:
    assert texts(select(ranked(steps(at1=0.1, at5=0.9)))) == ["3. Dry it."]


def test_of_a_list_that_is_too_long_what_was_asked_for_is_sent() -> None:
    policy = replace(PLAIN, list_tokens=5, gap_tokens=0)
    assert texts(select(ranked(steps(at1=0.9, at3=0.8)), policy=policy)) == [
        "Cleaning a lens:" + GAP + "2. Use a tissue."
    ]


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (["How long is the warranty?", "Two years.", "It ends then."], 2),
        (["可以退货吗？", "不可以。", "只收未开封的盒子。", "其他请来电。"], 3),
        (["Opened boxes:", "No.", "Only sealed ones are taken.", "Ask us."], 3),
        (["The warranty is long.", "It ends in May."], 1),
    ],
)
def test_a_question_or_a_colon_brings_what_stands_behind_it(lines: list[str], sent: int) -> None:
    scored = ranked(document([(line, 0.0 if at else 0.9) for at, line in enumerate(lines)], joint="\n"))
    assert texts(select(scored)) == ["\n".join(lines[:sent])]


def test_a_block_of_code_that_does_not_fit_is_cut_and_the_cut_is_marked() -> None:
    sentences = [(text, 0.9 if at in (1, 3) else 0.0) for at, text in enumerate(CODE)]
    policy = replace(PLAIN, code_tokens=5, gap_tokens=0)
    (item,) = select(ranked(document(sentences, joint="\n\n")), policy=policy).evidence
    assert item.text == "```sh\npip install fovea" + GAP + "fovea serve\n```"


def test_the_end_of_a_block_that_began_in_the_chunk_before_is_kept_together() -> None:
    source = document([("fovea ingest docs/", 0.9), ("fovea serve\n```", 0.0), ("Done.", 0.0)], joint="\n\n")
    assert texts(select(ranked(source))) == ["fovea ingest docs/\n\nfovea serve\n```"]


def test_a_heading_that_the_label_names_is_not_sent_beside_its_text() -> None:
    section = document(
        [("## Payment", 0.95), ("It falls due on the first day.", 0.9), ("Cash is refused.", 0.1)],
        headings=("Terms", "Payment"),
    )
    assert texts(select(ranked(section))) == ["It falls due on the first day."]


def test_a_heading_that_alone_resembles_the_question_brings_the_sentence_behind_it() -> None:
    lines = [("Payment\n-------", 0.9), ("Cash is refused.", 0.0), ("Cheques are too.", 0.0)]
    section = document(lines, headings=("Terms", "Payment"), joint="\n")
    assert texts(select(ranked(section))) == ["Payment\n-------\nCash is refused."]


def test_a_heading_that_no_label_names_is_sent() -> None:
    joined = document([("### Cash", 0.9), ("Refused.", 0.8)], headings=("Terms", "Payment"))
    assert texts(select(ranked(joined))) == ["### Cash Refused."]


def test_a_chain_of_pronouns_is_followed_to_the_name() -> None:
    sentences = [("Ada Lovelace wrote it.", 0.0), ("She was young.", 0.0), ("She was paid 20 pounds.", 0.9)]
    (item,) = select(ranked(document(sentences))).evidence
    assert item.text.startswith("Ada Lovelace wrote it.")


def test_a_chain_of_pronouns_is_followed_no_further_than_two_sentences() -> None:
    names = ("The tower is old.", "It is tall.", "It is white.", "It is lit at dusk.")
    sentences = [(text, 0.9 if text is names[-1] else 0.0) for text in names]
    assert texts(select(ranked(document(sentences)))) == ["It is tall. It is white. It is lit at dusk."]


def test_a_dear_end_of_the_chunk_before_stays_behind() -> None:
    sentences = [(" ".join(["word"] * 60) + ".", 0.0), ("It is paid back in May.", 0.9)]
    assert texts(select(ranked(document(sentences, per_chunk=1)))) == ["It is paid back in May."]


def test_the_end_of_the_chunk_before_counts_among_the_most_chunks() -> None:
    source = document([("The deposit is two rents.", 0.0), ("It is paid back in May.", 0.9)], per_chunk=1)
    assert texts(select(ranked(source), policy=replace(PLAIN, max_chunks=1))) == ["It is paid back in May."]


def test_a_pronoun_that_opens_a_chunk_brings_the_end_of_the_chunk_before() -> None:
    sentences = [("The flat is bright.", 0.0), ("The deposit is two rents.", 0.1), ("It is paid back in May.", 0.9)]
    source = document([*sentences, ("The cat is grey.", 0.0)], per_chunk=2)
    selection = select(ranked(source))
    assert sorted(texts(selection)) == ["It is paid back in May.", "The deposit is two rents."]


def test_a_chunk_under_another_heading_is_no_antecedent() -> None:
    sentences = [("The deposit is two rents.", 0.1), ("It is paid back in May.", 0.9)]
    before, after = document(sentences, per_chunk=1).scored
    chunk = replace(before.chunk, heading_path=("Pets",))
    other = replace(before, stored=replace(before.stored, chunk=chunk))
    assert texts(select([after, other])) == ["It is paid back in May."]


def test_chunks_beyond_the_most_are_dropped_by_rank() -> None:
    source = document([(f"Claim {n} about rent number {n}.", 0.9) for n in range(4)], per_chunk=1)
    selection = select(ranked(source), policy=replace(PLAIN, max_chunks=2))
    assert sorted(reasons(selection).values()) == ["rank", "rank"]


def test_every_candidate_is_either_sent_or_named_as_dropped(lease: Source) -> None:
    other = document([("Nothing of interest here.", 0.01)], name="b")
    selection = select(ranked(lease, other))
    named = {item.chunk_id for item in selection.evidence} | {item.chunk_id for item in selection.dropped}
    assert named == {"doc-a-v-0", "doc-b-v-0"}
    assert selection.dropped[0].tokens == 5


def test_without_sentence_scores_the_chunk_score_stands_in(lease: Source) -> None:
    (chunk,) = lease.scored
    (item,) = select([replace(chunk, sentences=())]).evidence
    assert item.text == lease.text


def test_chunk_scores_without_a_scale_are_believed_in_their_order_only(lease: Source) -> None:
    (chunk,) = lease.scored
    fused = [replace(chunk, sentences=(), score=0.016)]  # a reciprocal rank, far below any probability of support
    assert [item.text for item in select(fused, policy=SelectionPolicy()).evidence] == [lease.text]


def test_scores_without_a_scale_may_be_negative() -> None:
    policy = SelectionPolicy().without_scale()
    assert policy.near_best([2.0, 0.7, 0.5]) == [True, True, False]
    assert policy.near_best([-2.0, -5.0]) == [True, True]  # no share of a negative best says what is near it


def test_sentences_without_a_usable_score_are_left_out(lease: Source) -> None:
    (chunk,) = lease.scored
    broken = tuple(replace(item, score=math.nan) for item in chunk.sentences)
    assert select([replace(chunk, sentences=broken)]).evidence == ()


def test_fill_takes_everything_that_fits(lease: Source) -> None:
    weak = document([("Something else entirely.", -3.0)], name="b")
    assert len(select(ranked(lease, weak), policy=SelectionPolicy.fill()).evidence) == 2


def test_a_language_may_have_thresholds_of_its_own(lease: Source) -> None:
    selector = EvidenceSelector(
        TokenBudget(32_000, 0, WordCounter()), replace(PLAIN, by_language={"zh": Thresholds(0.0, 0.95)})
    )
    scored = ranked(lease)
    english, chinese = (
        selector.select(selector.offers(scored, language), 1_000, WORDINGS["en"]) for language in ("en", "zh")
    )
    assert english.evidence == select(scored).evidence != ()
    assert chinese.evidence == ()


def test_the_tokens_of_a_candidate_are_counted_once(lease: Source) -> None:
    heard: list[str] = []

    class Listening(WordCounter):
        def count(self, text: str) -> int:
            heard.append(text)
            return super().count(text)

    selector = EvidenceSelector(TokenBudget(32_000, 0, Listening()), replace(PLAIN, abstain_below=0.95))
    first, second = (selector.select(selector.offers(ranked(lease), "en"), 1_000, WORDINGS["en"]) for _ in range(2))
    assert first == second
    assert heard.count(ranked(lease)[0].chunk.text) == 1
