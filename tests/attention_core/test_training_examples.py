"""What training reads: ragged states, masks laid out by hand, and a stream of batches that can be entered anywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from attention_core.examples import Batch, States, TrainingSet, batches, held_out_batches
from tests.attention_core.training_examples import batch_of, example_of, training_set


def test_bfloat16_patterns_come_back_as_numbers_with_zeros_behind_a_short_row() -> None:
    numbers = torch.tensor([[1.0, -2.5], [0.5, 3.0], [7.0, 0.0]], dtype=torch.bfloat16)
    states = States(numbers.view(torch.uint16).numpy(), np.array([0, 2, 3]))
    padded, mask = states.padded([1, 0])
    assert padded.tolist() == [[[7.0, 0.0], [0.0, 0.0]], [[1.0, -2.5], [0.5, 3.0]]]
    assert mask.tolist() == [[True, False], [True, True]]


def test_half_precision_holds_every_code_exactly() -> None:
    codes = np.arange(-127, 128, dtype=np.float16).reshape(-1, 1)
    assert States(codes, np.array([0, 255])).row(0).ravel().tolist() == list(range(-127, 128))


def test_masks_say_what_is_gold_what_is_wrong_and_what_is_neither() -> None:
    """Three sentences a chunk. Question 0: gold in chunk 2, sentences 0 and 2; chunk 5 holds its words elsewhere."""
    source = training_set()
    first = example_of(0, {2: (0, 2)}, "d1", blocked=frozenset({5}), lexical={2: 0.5, 0: 0.25})
    second = example_of(1, {5: (1,), 9: (0,)}, "d2")  # its other gold chunk, 9, is not in this batch
    batch = batch_of(source, [first, second], [[2, 0], [5, 2]])
    assert list(batch.rows) == [2, 0, 5]
    assert batch.gold.int().tolist() == [[1, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0]]
    assert batch.chunk_gold.int().tolist() == [[1, 0, 0], [0, 0, 1]]
    assert batch.allowed.int().tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch.lexical.tolist() == [[0.5, 0.25, 0.0], [0.0, 0.0, 0.0]]


def test_a_question_lists_its_own_chunks_and_a_few_others_that_may_be_compared() -> None:
    source = training_set(documents=22)
    examples = [example_of(row, {row: (0,)}, f"d{row // 2}", blocked=frozenset({3})) for row in range(2)]
    batch = batch_of(source, examples, [[0, 5], [1, *range(6, 40)]])
    for at, own in enumerate(([0, 5], [1, *range(6, 40)])):
        listed = [row for row, is_listed in zip(batch.rows, batch.listed[at].tolist(), strict=True) if is_listed]
        assert set(own) <= set(listed) <= set(range(40)) - {3}
    others = int(batch.listed[0].sum()) - 2
    assert 0 < others < 35 and batch.listed[1].sum() == 37  # the second question has but two others


def test_a_question_that_other_documents_are_asked_too_is_compared_inside_its_own_document_only() -> None:
    source = training_set()
    example = example_of(0, {2: (0,)}, "d1", ranked=False)
    batch = batch_of(source, [example], [[2, 3, 0]])  # chunks 2 and 3 are of d1, chunk 0 is of d0
    assert batch.allowed.tolist() == [[True, True, False]]
    (drawn,) = islice(batches([replace(source, examples=[example])], 1, 3, seed=0), 1)
    assert list(drawn.rows) == [2]


def rows_of(batch: Batch) -> tuple[list[int], list[int]]:
    return [one.row for one in batch.examples], list(batch.rows)


def test_the_nth_batch_is_the_same_wherever_the_stream_is_entered() -> None:
    sets = [training_set(name="a"), training_set(name="b", share=3.0)]
    whole = [(one.source.name, rows_of(one)) for one in islice(batches(sets, 4, 2, seed=3), 20)]
    later = [(one.source.name, rows_of(one)) for one in islice(batches(sets, 4, 2, seed=3, start=12), 8)]
    assert later == whole[12:]
    assert whole != [(one.source.name, rows_of(one)) for one in islice(batches(sets, 4, 2, seed=4), 20)]


def test_sets_are_drawn_by_their_share() -> None:
    sets = [training_set(name="a"), training_set(name="b", share=3.0)]
    drawn = [one.source.name for one in islice(batches(sets, 1, 0, seed=0), 400)]
    assert 0.68 < drawn.count("b") / 400 < 0.82


def test_negatives_are_never_gold_blocked_or_of_a_held_out_document() -> None:
    source = training_set()
    example = example_of(0, {2: (0,)}, "d1", blocked=frozenset({4}), candidates=tuple(range(12)))
    stream = batches([replace(source, examples=[example])], 1, 3, seed=0)
    seen = {row for batch in islice(stream, 100) for row in batch.rows}
    assert seen == {2, 0, 1, 3, 5, 6, 7}  # 4 is blocked, 8 to 11 are chunks of the held-out d4 and d5


def test_near_candidates_and_siblings_are_drawn_more_often() -> None:
    source = training_set(documents=22)
    example = example_of(0, {2: (0,)}, "d1", candidates=(*range(4, 40), 3))
    stream = batches([replace(source, examples=[example])], 1, 1, seed=0)
    counts = np.bincount([batch.rows[1] for batch in islice(stream, 3000)], minlength=44)
    assert counts[4] > 3 * counts[30] > 0
    assert counts[3] > 0.1 * 3000  # the other chunk of the gold document stands last and is still drawn


def test_more_negatives_than_there_are_candidates_are_all_of_them() -> None:
    source = training_set()
    example = example_of(0, {0: (0,)}, "d0", candidates=(0, 1))
    (batch,) = islice(batches([replace(source, examples=[example])], 8, 5, seed=0), 1)
    assert sorted(batch.rows) == [0, 1] and len(batch.examples) == 1


def test_held_out_questions_come_with_their_gold_and_their_first_candidates() -> None:
    source = training_set()
    found: list[Batch] = list(held_out_batches([source], limit=10, candidates=3))
    assert [one.examples[0].row for one in found] == [8, 9, 10, 11]
    for batch, example in zip(found, source.held_out, strict=True):
        assert list(batch.rows) == list(dict.fromkeys([*example.gold, *example.candidates[:3]]))
    assert len(list(held_out_batches([source], limit=2, candidates=3))) == 2


def test_a_set_is_what_its_fields_say() -> None:
    source: TrainingSet = training_set()
    assert {one.document for one in source.examples}.isdisjoint(source.held_documents)
