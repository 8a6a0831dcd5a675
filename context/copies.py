"""What is said many times is not truer for it.

The evidence mass is shared out among all sentences (`evidence_mass.py`), so fifty copies of one sentence leave a
fiftieth of it to each, and next to nothing to a sentence that says otherwise. And copies that differ in a number are
each sent, for each may be the one that is right. So sentences that nearly say the same (`domain/near_copies.py`) are
counted, best first: the first three are like any other; further ones take no mass, and their turn comes last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from domain.near_copies import COUNTED_COPIES, CopyGroups


def are_crowd(texts: Iterable[str]) -> list[bool]:
    """For each sentence, best first: whether three that nearly say the same stand before it."""
    groups, sizes = CopyGroups(), Counter[int]()
    crowd = []
    for text in texts:
        group = groups.group_of(text)
        sizes[group] += 1
        crowd.append(sizes[group] > COUNTED_COPIES)
    return crowd
