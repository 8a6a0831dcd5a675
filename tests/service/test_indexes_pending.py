from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.pending_writes import PendingWrites

_KEYS = st.integers(0, 9)
_COMMITS = st.lists(st.tuples(st.sets(_KEYS, max_size=3), st.sets(_KEYS, max_size=3)), max_size=8)


@given(st.sets(_KEYS), _COMMITS)
def test_following_many_commits_at_once_ends_where_following_each_does(
    start: set[int], commits: list[tuple[set[int], set[int]]]
) -> None:
    one_by_one = dict.fromkeys(start, "old")
    pending = PendingWrites(5)
    for number, (added, retired) in enumerate(commits):
        keys = sorted(added)
        texts = [f"{key} of commit {number}" for key in keys]
        for key in retired - added:
            one_by_one.pop(key, None)
        one_by_one |= dict(zip(keys, texts, strict=True))
        vectors = np.full((len(keys), 2), number, np.float32)
        pending.follow(6 + number, keys, vectors, texts, retired)

    keys, vectors, texts = pending.added()
    at_once = {key: text for key, text in dict.fromkeys(start, "old").items() if key not in pending.retired}
    at_once |= dict(zip(keys, texts, strict=True))

    assert at_once == one_by_one
    assert not pending.retired & set(keys)
    assert pending.generation == 5 + len(commits)
    assert len(pending) == len(keys) + len(pending.retired)
    assert [f"{int(row[0])}" for row in vectors] == [text.rsplit(" ", 1)[1] for text in texts]
