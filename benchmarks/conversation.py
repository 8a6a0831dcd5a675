"""What conversations cost: the product's prompts against the whole history with plain top-10 chunks, turn by turn.

    python -m benchmarks.conversation --data FOLDER [--sets xquad-en,cmrc-zh] [--conversations 10] [--turns 20]

A conversation asks a labelled set's questions in the order of their documents, so that neighbouring turns are about
one document wherever it has several questions. Each answer is the product's own (extractive), and both sides carry the
same turns on:

    ours       system part, digest of the conversation, evidence, question; and the tokens of rewriting, if any
    baseline   system part, every earlier turn word for word, the ten best chunks, question

Tokens are those of the same counter. "found" is the share of questions whose gold answer lies in our evidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import machine, markdown
from benchmarks.arguments import add_encoder, add_sets
from benchmarks.labelled import LabelledSet, load_set
from benchmarks.metrics import Estimate, between, estimate
from domain.asking import Message
from domain.protocols import TokenCounter
from service.bootstrap import build_parts
from service.engine import Engine
from service.labelled_questions import LabelledQuestion, evidence_recall
from service.settings import EncoderSettings, Settings

SETS = ("xquad-en", "cmrc-zh")
SHOWN = (1, 5, 10, 20)
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Turn:
    """Prompt tokens of one turn on both sides, and whether the evidence held the answer."""

    ours: int
    baseline: int
    found: bool


def conversations(labelled: LabelledSet, count: int, turns: int) -> list[list[LabelledQuestion]]:
    """The set's questions, document by document, cut into `count` conversations of `turns` questions."""
    ordered = sorted(labelled.questions, key=lambda item: (item.document or "", item.start or 0, item.id))
    cut = [ordered[start : start + turns] for start in range(0, len(ordered) - turns + 1, turns)]
    step = max(1, len(cut) // count)
    return cut[::step][:count]


def converse(engine: Engine, counter: TokenCounter, questions: Sequence[LabelledQuestion]) -> list[Turn]:
    """Ask the questions one after another, each with all turns before it."""
    history: list[Message] = []
    taken: list[Turn] = []
    for question in questions:
        answer = engine.ask(question.question, history=history)
        said = sum(counter.count(f"{turn.role}: {turn.content}") for turn in history)
        bill = answer.search.bill
        rewriting = answer.search.rewrite.tokens if answer.search.rewrite else 0
        taken.append(
            Turn(
                bill.total + rewriting,
                bill.system + said + bill.baseline + bill.question,
                evidence_recall(question, answer.search.evidence) == 1,
            )
        )
        history += [Message("user", question.question), Message("assistant", answer.text)]
    return taken


def ratio_of(taken: Sequence[Sequence[Turn]], seed: int = 0) -> Estimate:
    """Our tokens over the baseline's, all turns summed; the interval draws whole conversations."""
    ours = np.array([sum(turn.ours for turn in turns) for turns in taken], float)
    baseline = np.array([sum(turn.baseline for turn in turns) for turns in taken], float)
    draws = np.random.default_rng(seed).integers(0, len(taken), (_DRAWS, len(taken)))
    return between(float(ours.sum() / baseline.sum()), ours[draws].sum(1) / baseline[draws].sum(1))


def row(name: str, taken: Sequence[Sequence[Turn]]) -> str:
    """A Markdown row: the ratio, tokens a turn on both sides at some turns, the largest prompt of ours, and found."""
    ratio = ratio_of(taken)
    shown = [at for at in SHOWN if at <= min(map(len, taken))]
    at_turn = [
        f"{np.mean([turns[at - 1].ours for turns in taken]):,.0f} / "
        f"{np.mean([turns[at - 1].baseline for turns in taken]):,.0f}"
        for at in shown
    ]
    found = estimate(
        [float(turn.found) for turns in taken for turn in turns],
        [str(place) for place, turns in enumerate(taken) for _ in turns],
    )
    largest = max(turn.ours for turns in taken for turn in turns)
    return markdown.row([name, str(ratio), f"1 / {1 / ratio.mean:.1f}", *at_turn, f"{largest:,}", str(found)])


def header(turns: int) -> str:
    turn_names = (f"turn {at}" for at in SHOWN if at <= turns)
    return markdown.header(["set", "ours / baseline", "", *turn_names, "largest", "found"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversation", description=__doc__)
    add_sets(parser, SETS)
    add_encoder(parser)
    parser.add_argument("--conversations", type=int, default=10, help="a set")
    parser.add_argument("--turns", type=int, default=20)
    given = parser.parse_args()
    print(header(given.turns))
    for name in given.sets:
        labelled = load_set(given.data / name, 0)
        encoder = EncoderSettings(models_dir=given.cache / "models", model=given.model)
        parts = build_parts(Settings(data_dir=given.cache / given.model / name, encoder=encoder))
        with Engine(parts) as engine:
            engine.ingest([labelled.corpus])
            asked = conversations(labelled, given.conversations, given.turns)
            print(row(name, [converse(engine, parts.counter, questions) for questions in asked]), flush=True)
    print(f"\n{given.conversations} conversations of {given.turns} turns a set, 95 % intervals; {machine.describe()}.")


if __name__ == "__main__":
    main()
