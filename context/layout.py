"""Where things stand in the prompt.

Models attend most to both ends of a prompt and overlook the middle (Liu et al. 2023, "Lost in the Middle"). So the
static system part (role, rules, constraints) opens it, the question closes it, and the evidence between them has its
strongest pieces at its own two ends. In a long prompt question and constraints are stated at both ends. A short prompt
has no middle to speak of: there evidence stands best first and nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from context.budget import MESSAGE_OVERHEAD, TokenBudget
from context.rendering import fence, fence_nonce, render
from context.templates import Wording, constraints_section, system_base
from domain.asking import AskOptions, Message
from domain.search import Evidence

# Position effects are measured from about a thousand tokens on; half of that is on the safe side and keeps the price of
# restating under some 5 %.
LONG_FROM = 500


@dataclass(frozen=True, slots=True)
class LayoutPolicy:
    """From how many context tokens on a prompt is laid out as a long one; 0 is always."""

    restate_from: int = LONG_FROM  # question and constraints are stated at both ends
    edges_from: int = LONG_FROM  # the strongest evidence stands at both ends, not best first


@dataclass(frozen=True, slots=True)
class PromptCost:
    """Tokens of a laid-out prompt by part. The parts sum to at least what its messages count."""

    system: int
    constraints: int
    history: int
    evidence: int
    question: int

    @property
    def context(self) -> int:
        return self.history + self.evidence

    @property
    def total(self) -> int:
        return self.system + self.constraints + self.context + self.question


@dataclass(frozen=True, slots=True)
class Prompt:
    """Rendered messages, the evidence as numbered in them, and what they cost."""

    messages: tuple[Message, ...]
    evidence: tuple[Evidence, ...]
    cost: PromptCost


class PromptLayout:
    """Lays out prompts for one question: the fixed parts are given once, history and evidence vary."""

    def __init__(
        self, question: str, wording: Wording, options: AskOptions, budget: TokenBudget, policy: LayoutPolicy
    ) -> None:
        self._question, self._wording, self._budget, self._policy = question, wording, budget, policy
        self._base = system_base(wording, options.role, options.think)
        self._constraints = constraints_section(wording, options.constraints)

    def bare(self) -> Prompt:
        """The prompt without history and evidence: what may never be dropped."""
        return self._compose("", (), restate=False)

    def arrange(self, history: str, evidence: Sequence[Evidence], ordinals: Mapping[str, int]) -> Prompt:
        """The prompt with this history section and this evidence, strongest first; its size decides the layout."""
        runs = neighbouring_runs(evidence, ordinals)
        prompt = self._compose(history, runs, restate=False)
        size, policy = prompt.cost.context, self._policy
        ordered = strongest_at_edges(runs) if size >= policy.edges_from else runs
        restate = size >= policy.restate_from
        return self._compose(history, ordered, restate) if restate or ordered != runs else prompt

    def _compose(self, history: str, runs: Sequence[Sequence[Evidence]], restate: bool) -> Prompt:
        sent = [item for run in runs for item in run]
        evidence = tuple(replace(item, mark=mark) for mark, item in enumerate(sent, start=1))
        items = [render(item, self._wording, before) for item, before in zip(evidence, (None, *evidence), strict=False)]
        block = fence(fence_nonce(self._question, [history, *items]), items) if items else ""
        asked = f"{self._wording.question_title}\n{self._question}"
        sections = (
            ("question", asked if restate else ""),
            ("history", history),
            ("evidence", block),
            ("question", asked),
            ("constraints", self._constraints if restate else ""),
        )
        system = "\n\n".join(part for part in (self._base, self._constraints) if part)
        user = "\n\n".join(text for _, text in sections if text)
        priced = tuple(
            replace(item, tokens=self._budget.count(text) + 1) for item, text in zip(evidence, items, strict=True)
        )
        return Prompt((Message("system", system), Message("user", user)), priced, self._cost(system, sections))

    def _cost(self, system: str, sections: Sequence[tuple[str, str]]) -> PromptCost:
        """What each part adds to the prompt: the growth of the token count as the parts are joined one by one."""
        base = self._budget.count(self._base)
        costs = {"history": 0, "evidence": 0, "question": MESSAGE_OVERHEAD}
        costs["constraints"] = max(0, self._budget.count(system) - base)
        joined, reached = "", 0
        for name, text in sections:
            if text:
                joined = f"{joined}\n\n{text}" if joined else text
                grown = max(reached, self._budget.count(joined))
                costs[name] += grown - reached
                reached = grown
        return PromptCost(system=base + MESSAGE_OVERHEAD, **costs)


def strongest_at_edges(runs: Sequence[list[Evidence]]) -> list[list[Evidence]]:
    """Runs in an order whose two ends are the strongest: of runs ranked 1 to 5 it is 1 3 5 4 2."""
    return [*runs[0::2], *reversed(runs[1::2])]


def neighbouring_runs(evidence: Sequence[Evidence], ordinals: Mapping[str, int]) -> list[list[Evidence]]:
    """Evidence of neighbouring chunks in document order; the runs by their strongest member, strongest first.

    `evidence` is strongest first; `ordinals` holds each chunk's place in its document.
    """
    rank = {item.chunk_id: place for place, item in enumerate(evidence)}
    runs: list[list[Evidence]] = []
    for item in sorted(evidence, key=lambda item: (item.document_id, ordinals[item.chunk_id])):
        last = runs[-1][-1] if runs else None
        if last and last.document_id == item.document_id and ordinals[item.chunk_id] - ordinals[last.chunk_id] == 1:
            runs[-1].append(item)
        else:
            runs.append([item])
    return sorted(runs, key=lambda run: min(rank[item.chunk_id] for item in run))
