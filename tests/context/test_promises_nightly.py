"""The promises of the context builder over ten thousand random requests: `make test-nightly`."""

from __future__ import annotations

import pytest

from tests.context.promise_cases import draw, violations


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("block", range(10))
def test_no_promise_is_broken_in_ten_thousand_random_prompts(block: int) -> None:
    seeds = range(1_000 * block, 1_000 * (block + 1))
    assert [(seed, broken) for seed in seeds for broken in violations(draw(seed))] == []
