"""What a token of each sentence buys: how likely the evidence is to be there, for its price.

A reranker's scores are chances p of each sentence on its own. Divided among the sentences of one question, with a null
sentence of even odds that stands for "nowhere here", they are its evidence mass:

    odds_i = p_i / (1 - p_i)        mass_i = odds_i / (1 + sum_j odds_j)

which is a softmax over log-odds. A score of 0.3 beside one of 0.95 is worth little, because the evidence has most
likely been found; beside three others of 0.3 it is worth a quarter.

Sending every sentence with mass_i / price_i above one limit, the same for all questions, is the choice that finds the
most evidence for an average number of tokens (the continuous knapsack, Dantzig 1957): a sure question gets a sentence,
a doubtful one several, a long sentence needs better reasons than a short one.
"""

from __future__ import annotations

from collections.abc import Sequence

LABEL_TOKENS = 8  # of a mark, a title, a seam, shared among the sentences of a chunk: part of what a sentence costs

_SUREST = 0.999  # beyond it chances are no longer measured, and one of 1 would leave nothing to all others


def evidence_mass(chances: Sequence[float]) -> list[float]:
    """The mass of each sentence of one question, in 0..1 with a sum below 1; [] for none. Chances below 0 count
    as 0, those above 0.999 as that.

    >>> [round(mass, 2) for mass in evidence_mass([0.9, 0.5, 0.5])]   # odds 9, 1, 1 and the null's 1
    [0.75, 0.08, 0.08]
    """
    kept = [min(max(chance, 0.0), _SUREST) for chance in chances]
    odds = [chance / (1 - chance) for chance in kept]
    total = 1 + sum(odds)
    return [one / total for one in odds]


def mass_per_token(mass: float, tokens: int) -> float:
    """What each token of a sentence buys, its share of the label included."""
    return mass / (tokens + LABEL_TOKENS)
