"""Is the layout of long prompts worth its tokens? The same evidence best first or with the best at both ends, question
and constraints said once or at both ends.

    python -m benchmarks.small_llm.layouts --data FOLDER --base-url http://127.0.0.1:8091/v1 [--sets nq,covidqa]
                                           [--questions 8] [--ceilings 250,1000] [--examples 3] [--output FOLDER]

The evidence is what the product's builder fills each ceiling of context tokens with, its stop rule off; only what
`context/layout.py` decides differs. Questions, worked examples and scores are those of `benchmarks.small_llm`.

    best first    nothing said twice: what short prompts get
    edges         the strongest evidence at both ends
    restated      the question before the evidence too
    both          what prompts of 500 context tokens and more get

Tokens are the server's count of the prompt, its examples included. Differences to the first line are paired by
question, their intervals bootstrapped over documents.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks import held_out, machine
from benchmarks.markdown import table
from benchmarks.small_llm.examples import Completions
from benchmarks.small_llm.options import parser_of
from benchmarks.small_llm.prompts import Layouts
from benchmarks.small_llm.scores import answer_f1, holds_answer, without_marks
from benchmarks.small_llm.server import Server, connected
from context.layout import LayoutPolicy
from domain.asking import Message
from domain.search import Evidence, Filters
from service.bootstrap import build_parts
from service.engine import Engine
from service.evaluation.bootstrap import Bootstrap
from service.labelled_questions import LabelledQuestion
from service.parts import Parts
from service.question_encoding import checked_question, encode_question

_NEVER, _ALWAYS = sys.maxsize, 0
LAYOUTS: Mapping[str, LayoutPolicy] = {
    "best first": LayoutPolicy(restate_from=_NEVER, edges_from=_NEVER),
    "edges": LayoutPolicy(restate_from=_NEVER, edges_from=_ALWAYS),
    "restated": LayoutPolicy(restate_from=_ALWAYS, edges_from=_NEVER),
    "both": LayoutPolicy(restate_from=_ALWAYS, edges_from=_ALWAYS),
}
_HEAD = ("context tokens, at most", "layout", "tokens", "F1", "less best first", "says it", "less best first, says it")

Answer = Callable[[LabelledQuestion, Sequence[Message]], tuple[str, int]]


@dataclass(slots=True)
class Columns:
    """What came of each question, by ceiling and layout."""

    clusters: list[str] = field(default_factory=list)
    values: dict[tuple[int, str, str], list[float]] = field(default_factory=dict)

    def add(self, ceiling: int, layout: str, **measured: float) -> None:
        for name, value in measured.items():
            self.values.setdefault((ceiling, layout, name), []).append(value)


def prompts(parts: Parts, question: LabelledQuestion, ceilings: Sequence[int]) -> dict[tuple[int, str], list[Message]]:
    """The messages of every ceiling and layout."""
    query = encode_question(parts, checked_question(parts, question.question), Filters())
    scored = parts.scoring.default.rerank(query, parts.retriever.search(query, parts.candidates))
    ordinals = {item.chunk.id: item.chunk.ordinal for item in scored}
    fill = parts.evaluation.filling(parts.counter, parts.bound)
    found = {}
    for ceiling, context in zip(ceilings, fill(query, scored, ceilings), strict=True):
        evidence = sorted(context.evidence, key=_strength, reverse=True)
        for name, policy in LAYOUTS.items():
            found[ceiling, name] = list(Layouts(parts.counter, policy).of(query.text, evidence, ordinals))
    return found


def _strength(item: Evidence) -> float:
    return max(sentence.score for sentence in item.sentences)


def ask(parts: Parts, questions: Sequence[LabelledQuestion], ceilings: Sequence[int], answer: Answer) -> Columns:
    """Put every prompt of every question to the model."""
    columns = Columns()
    for done, question in enumerate(questions, start=1):
        columns.clusters.append(question.cluster)
        for (ceiling, name), messages in prompts(parts, question, ceilings).items():
            said, tokens = answer(question, messages)
            text = "" if parts.is_abstention(said) else without_marks(said)
            f1, holds = answer_f1(text, question.answers), holds_answer(text, question.answers)
            columns.add(ceiling, name, tokens=tokens, f1=f1, holds=holds)
        print(f"{done} of {len(questions)} questions", file=sys.stderr, flush=True)
    return columns


def joined(several: Mapping[str, Columns]) -> Columns:
    """All sets as one."""
    columns = Columns()
    for name, one in several.items():
        columns.clusters += [f"{name}/{cluster}" for cluster in one.clusters]
        for key, values in one.values.items():
            columns.values.setdefault(key, []).extend(values)
    return columns


def rows(columns: Columns) -> list[list[str]]:
    """A line a ceiling and layout."""
    keys = {"/".join(map(str, key)): key for key in columns.values}
    names = {key: name for name, key in keys.items()}
    means = Bootstrap(columns.clusters).means({name: columns.values[key] for name, key in keys.items()})
    plain = next(iter(LAYOUTS))

    def less(ceiling: int, layout: str, measure: str) -> str:
        if layout == plain:
            return ""
        own, other = names[ceiling, layout, measure], names[ceiling, plain, measure]
        value, low, high = means.of(lambda drawn: drawn[own] - drawn[other])
        return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"

    ceilings = dict.fromkeys(ceiling for ceiling, *_ in columns.values)
    return [
        [
            f"{ceiling:,}",
            layout,
            f"{means[names[ceiling, layout, 'tokens']].value:,.0f}",
            f"{means[names[ceiling, layout, 'f1']].value:.3f}",
            less(ceiling, layout, "f1"),
            f"{means[names[ceiling, layout, 'holds']].value:.3f}",
            less(ceiling, layout, "holds"),
        ]
        for ceiling in ceilings
        for layout in LAYOUTS
    ]


def main(argv: Sequence[str] | None = None, transport: httpx.BaseTransport | None = None) -> None:
    """`transport` stands in for a server."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = parser_of("benchmarks.small_llm.layouts", __doc__, "small_llm_layouts.md")
    parser.add_argument("--ceilings", default="250,1000", help="of context tokens, comma-separated")
    given = parser.parse_args(words)
    ceilings = [int(one) for one in given.ceilings.split(",")]
    several: dict[str, Columns] = {}
    with connected(given.base_url, transport) as client:
        server = Server(client, given.llm)
        for name in given.sets.split(","):
            held = held_out.load(given.data / name, given.questions)
            settings, _ = held_out.copy_settings(name, given.weights, given.cache, given.model)
            parts = build_parts(settings)
            with Engine(parts) as engine:
                engine.ingest([held.corpus])
                answer = _answering(server, Layouts(parts.counter), given.examples, given.answer_tokens)
                several[name] = ask(parts, held.comparison, ceilings, answer)
    columns = joined(several)
    command = shlex.join(["python", "-m", "benchmarks.small_llm.layouts", *words]).replace(str(given.data), "DATA")
    about = f"{len(columns.clusters)} questions, temperature 0, prompt cache off; {machine.describe()}."
    text = f"{table(_HEAD, rows(columns))}\n\n`{command}`\n\n{about}\n"
    given.output.mkdir(parents=True, exist_ok=True)
    Path(given.output / "small_llm_layouts.md").write_text(text, encoding="utf-8")
    print(text)


def _answering(server: Server, layouts: Layouts, examples: int, most: int) -> Answer:
    completions = Completions(layouts, examples) if examples else None

    def answer(question: LabelledQuestion, messages: Sequence[Message]) -> tuple[str, int]:
        if completions is None:
            reply = server.chat(messages, most)
        else:
            reply = server.complete(completions.of(question.question, messages), most)
        return reply.text, reply.prompt_tokens

    return answer


if __name__ == "__main__":
    main()
