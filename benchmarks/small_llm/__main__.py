"""What fewer tokens are worth to a real small model: prompt time, answers, and agreement with the full context.

    python -m benchmarks.small_llm --data FOLDER --base-url http://127.0.0.1:8091/v1 [--sets nq,covidqa]
                                   [--questions 40] [--weights FILE] [--examples 3] [--output FOLDER]

Each question is put to the model three times, side by side and in random order: with plain dense top-10, with what the
product sends at its default settings, and with the gold sentence only. Rules, layout and question are the product's own
in all three. Questions are about held-out documents that fitted nothing (`benchmarks.held_out`), over the whole corpus.

    tokens, ms    of the product's messages as the model reads them: the server's own count and, where it gives one, its
                  own timing of the evaluation of the prompt; else the time to the first token. Questions that the model
                  was asked in all arms
    F1            of the answer's words with the best gold answer, as SQuAD scores; Chinese by characters. 0 where
                  product or model abstains
    says it       share of the answers that hold a gold answer
    agrees        F1 between an arm's answer and the one from top-10; two abstentions agree
    evidence      share of the labelled evidence that stands in the prompt

The server's prompt cache is turned off in each request, and the last column counts prompts of which it took tokens from
a cache all the same. A prompt beyond the model's window is counted, and its question left out of every arm's means.

A base model is given worked examples on /completions, because it would not answer otherwise; --examples 0 takes the
answers of a model that was taught to chat from /chat/completions.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from benchmarks import held_out, machine
from benchmarks.small_llm.asking import Asker
from benchmarks.small_llm.examples import Completions
from benchmarks.small_llm.options import parser_of
from benchmarks.small_llm.prompts import Layouts, Prompts
from benchmarks.small_llm.report import SetResult, measures, pooled, tables
from benchmarks.small_llm.server import Reply, Server, connected
from domain.asking import Message
from service.bootstrap import build_parts
from service.engine import Engine

Step = Callable[[str], None]


def measure(folder: Path, server: Server, given: argparse.Namespace, step: Step) -> SetResult:
    """Ask the questions of one set, at default settings but for the encoder; what is missing is ingested first."""
    held = held_out.load(folder, given.questions)
    settings, _ = held_out.copy_settings(folder.name, given.weights, given.cache, given.model)
    parts, trials = build_parts(settings), []
    with Engine(parts) as engine:
        engine.ingest([held.corpus])
        layouts = Layouts(parts.counter)
        completions = Completions(layouts, given.examples) if given.examples else None
        asker = Asker(server, Prompts(parts, layouts), completions, parts.is_abstention, given.answer_tokens)
        started = time.perf_counter()
        for done, question in enumerate(held.comparison, start=1):
            trials.append(asker.ask(question, folder.name))
            step(f"{folder.name}: {done} of {len(held.comparison)}, {time.perf_counter() - started:.0f} s")
    asked = tuple(trial for trial in trials if trial is not None)
    return SetResult(asked, len(trials) - len(asked))


@dataclass(frozen=True, slots=True)
class Report:
    """All of a run, as Markdown and as JSON."""

    results: dict[str, SetResult]
    known: Reply
    command: str

    def write(self, folder: Path) -> str:
        """Write both into `folder`; the Markdown is returned."""
        lines = {**self.results, "all": pooled(self.results)} if len(self.results) > 1 else self.results
        found = {name: measures(one.trials) for name, one in lines.items()}
        text = f"{tables(lines, found)}\n\n{self._about()}\n"
        sets = {name: self._of_set(name, one, found) for name, one in lines.items()}
        data = {"command": self.command, "machine": machine.describe(), **self._server(), "sets": sets}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "small_llm.md").write_text(text, encoding="utf-8")
        (folder / "small_llm.json").write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2))
        return text

    def _of_set(self, name: str, one: SetResult, found: dict[str, Any]) -> dict[str, Any]:
        estimates = {measure: value.to_dict() for measure, value in found[name].items()}
        trials = [asdict(trial) for trial in one.trials] if name in self.results else []
        return {"asked": one.asked, "label_not_found": one.unlabelled, "measures": estimates, "trials": trials}

    def _server(self) -> dict[str, str]:
        clock = "the server's own timing" if self.known.own_timing else "time to the first token"
        return {"model": self.known.model, "prompt_ms_from": clock}

    def _about(self) -> str:
        about = self._server()
        return (
            f"`{self.command}`\n\n{about['model']}, temperature 0; prompt ms: {about['prompt_ms_from']}; prompt cache "
            f"off; 95 % intervals over documents; {machine.describe()}."
        )


def main(argv: Sequence[str] | None = None, transport: httpx.BaseTransport | None = None) -> None:
    """`transport` stands in for a server."""
    words = list(sys.argv[1:] if argv is None else argv)
    given = parser_of("benchmarks.small_llm", __doc__, "small_llm.md and small_llm.json").parse_args(words)
    command = shlex.join(["python", "-m", "benchmarks.small_llm", *words]).replace(str(given.data), "DATA")
    results: dict[str, SetResult] = {}
    with connected(given.base_url, transport) as client:
        server = Server(client, given.llm)
        known = server.chat([Message("user", "Which lake does the river flow into?")], 1)  # the first request is slow
        for name in given.sets.split(","):
            results[name] = measure(given.data / name, server, given, lambda text: print(text, file=sys.stderr))
            text = Report(results, known, command).write(given.output)  # a long run that breaks off keeps its sets
    print(text)


if __name__ == "__main__":
    main()
