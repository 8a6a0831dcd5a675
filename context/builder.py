"""From a question and its scored chunks to a prompt that keeps its promises.

1. What may never be lost (system text, constraints, question, reserve) must fit, else ContextBudgetError.
2. The conversation gets a bounded part of the context ceiling.
3. Sentences are selected into what is left, and laid out.
4. The finished messages are counted. Where they exceed a bound, because tokens of a join can exceed the sum of its
   parts, the selection is repeated with a ceiling lowered by the excess, so that the weakest evidence goes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from context.budget import TokenBudget
from context.history import carried_history
from context.language import detect_language, language_of
from context.layout import LayoutPolicy, Prompt, PromptLayout
from context.offers import Offers
from context.rendering import clip_title, fence, place
from context.selection import EvidenceSelector, Selection
from context.selection_policy import SelectionPolicy
from context.templates import WORDINGS, Wording, Wordings, abstention
from domain.asking import AskOptions
from domain.context import Context, ContextBill
from domain.protocols import TokenCounter
from domain.search import Query, ScoredChunk

DEFAULT_MAX_TOKENS = 500  # context tokens; a ceiling that few questions come to, for selection stops by itself
DEFAULT_HISTORY_TOKENS = 400
_HISTORY_SHARE = 4  # the conversation may take a quarter of the context ceiling: evidence comes first
_BASELINE_CHUNKS = 10  # plain top-10 is what ordinary RAG sends
_LEAST_STEP = 4  # tokens by which a ceiling that was exceeded is lowered at least


class ContextBuilder:
    """Builds prompts within one model's limits. Stateless between calls, so one instance serves all threads."""

    def __init__(
        self,
        counter: TokenCounter,
        *,
        limit: int,
        reserve: int,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        policy: SelectionPolicy | None = None,
        history_tokens: int = DEFAULT_HISTORY_TOKENS,
        bound: TokenCounter | None = None,
        layout: LayoutPolicy | None = None,
        wordings: Wordings = WORDINGS,
    ) -> None:
        """`limit` is the model's window, `reserve` its longest answer (kept to a quarter of the window at most).

        `bound` never counts less than the model does; without it `counter` is taken for the model's own.
        """
        self._budget = TokenBudget.for_model(limit, reserve, counter, bound)
        self._selector = EvidenceSelector(self._budget, policy or SelectionPolicy())
        self._max_tokens = max_tokens
        self._history_tokens = history_tokens
        self._layout = layout or LayoutPolicy()
        self._wordings = wordings

    def build(self, query: Query, scored: Sequence[ScoredChunk], options: AskOptions) -> Context:
        """The prompt for `query.text` with evidence out of `scored`, best first. Raises ContextBudgetError."""
        return self._build(query, self._selector.offers(scored, language_of(query.text)), options)

    def build_each(self, query: Query, scored: Sequence[ScoredChunk], ceilings: Sequence[int]) -> list[Context]:
        """The prompt at each of several ceilings of context tokens; what they have in common is read once."""
        offers = self._selector.offers(scored, language_of(query.text))
        return [self._build(query, offers, AskOptions(max_tokens=ceiling)) for ceiling in ceilings]

    def _build(self, query: Query, offers: Offers, options: AskOptions) -> Context:
        wording = self._wordings[detect_language(query.text)]
        layout = PromptLayout(query.text, wording, options, self._budget, self._layout)
        bare = layout.bare()
        self._budget.require(bare.messages, bare.cost.system, bare.cost.constraints, bare.cost.question)
        wanted = self._max_tokens if options.max_tokens is None else options.max_tokens
        ceiling = max(0, min(wanted, self._budget.prompt - self._budget.most(bare.messages)))
        history = self._carried(options, ceiling, wording)
        prompt, selection = self._fill(layout, history, offers, ceiling, wording)
        scored = offers.candidates.scored
        return Context(
            question=query.text,
            messages=prompt.messages,
            evidence=prompt.evidence,
            bill=self._bill(prompt, scored),
            dropped=selection.dropped,
            context_tokens=prompt.cost.context,
            abstention="" if prompt.evidence else _abstention(wording, scored, selection),
        )

    def _carried(self, options: AskOptions, ceiling: int, wording: Wording) -> str:
        most = min(self._history_tokens, ceiling // _HISTORY_SHARE)
        return carried_history(options.history, most, wording, self._budget.count)

    def _fill(
        self, layout: PromptLayout, history: str, offers: Offers, ceiling: int, wording: Wording
    ) -> tuple[Prompt, Selection]:
        """The fullest prompt within the bounds: lower the ceiling of the evidence until the messages hold them."""
        ordinals = {item.chunk.id: item.chunk.ordinal for item in offers.candidates.scored}
        room = ceiling - self._budget.count(history) - self._budget.count(fence("00", [""]))
        while True:
            selection = self._selector.select(offers, max(0, room), wording)
            prompt = layout.arrange(history, selection.evidence, ordinals)
            excess = max(prompt.cost.context - ceiling, self._excess(prompt))
            if excess <= 0:
                return prompt, selection
            if not (selection.evidence or history):
                return layout.bare(), selection  # said once, it is known to fit
            if not selection.evidence:
                history = ""
            room = min(room, sum(item.tokens for item in selection.evidence)) - max(excess, _LEAST_STEP)

    def _excess(self, prompt: Prompt) -> int:
        """Tokens of the counter by which a prompt is beyond the window: the excess of the bound, in proportion."""
        most = max(self._budget.most(prompt.messages), prompt.cost.total)
        beyond = most - self._budget.prompt
        return math.ceil(beyond * prompt.cost.total / most) if beyond > 0 else beyond

    def _bill(self, prompt: Prompt, scored: Sequence[ScoredChunk]) -> ContextBill:
        cost = prompt.cost
        plain = "\n\n".join(item.chunk.text for item in scored[:_BASELINE_CHUNKS])
        return ContextBill(
            system=cost.system,
            constraints=cost.constraints,
            history=cost.history,
            evidence=cost.evidence,
            question=cost.question,
            reserve=self._budget.reserve,
            limit=self._budget.limit,
            baseline=self._budget.count(plain),
            tokenizer=self._budget.counter.name,
            margin=max(0, self._budget.most(prompt.messages) - cost.total),
        )


def _abstention(wording: Wording, scored: Sequence[ScoredChunk], selection: Selection) -> str:
    """Says why there is no answer: nothing searched, no room, or no support, and where the nearest passage stands."""
    if not scored:
        return wording.nothing_searched
    if any(item.reason == "budget" for item in selection.dropped):
        return wording.no_room
    nearest = scored[0]
    page = nearest.chunk.pages[0].number if nearest.chunk.pages else None
    headings = [heading for heading in nearest.chunk.heading_path if heading != nearest.document.title]
    return abstention(wording, clip_title(nearest.document.title), place(wording, headings, page))
