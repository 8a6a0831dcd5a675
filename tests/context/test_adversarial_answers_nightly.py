"""Forged answers of fifty other seeds, none shown as verified: `make test-nightly`."""

from __future__ import annotations

import pytest

from tests.context.attacks import ATTACKS, forged_answers, passing


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1_000, 1_050))
def test_no_forged_answer_of_another_seed_is_shown_as_verified(seed: int) -> None:
    forged = forged_answers(seed, per_attack=42)
    assert len(forged) >= 1_500
    assert [(attack, *forgery) for attack in ATTACKS for forgery in passing(forged, attack)] == []
