"""What thresholds promise, and when to say that it is not much.

Risk control keeps the mean loss over new questions within the target for the price threshold, given the other one.
That the two are picked one after the other on the same n questions can cost up to 1 / (n + 1) more (see
`fit_thresholds`), so what n questions promise is target + 1 / (n + 1). Where the second part is more than a quarter of
the first, a target of 5 % is no promise of 5 % any more. The held-out half is the other witness: an interval of its
loss that lies above the target is no accident of the draw.
"""

from __future__ import annotations

import math

from attention_core.calibration import Interval
from domain.calibration import Calibration

_TOLERATED = 0.25  # of the target: what picking two thresholds may cost on top of it


def warnings(calibration: Calibration, usable: int, loss: Interval | None) -> tuple[str, ...]:
    """Sentences for people: what is not to be relied on, and what to do. Nothing where attention, and with it the
    thresholds, is switched off.

    `usable` counts the questions that the thresholds were fitted on; `loss` is that on the held-out half.
    """
    if not calibration.uses_attention:
        return ()
    found, target = [], calibration.target
    if loss is not None and loss.low > target:
        found.append(
            f"The thresholds lost {percent(loss.mean)} of the evidence of the held-out questions (95 % interval "
            f"{percent(loss.low)} to {percent(loss.high)}), more than the target of {percent(target)}. Do not rely on "
            "them: calibrate on more questions, choose a smaller --target, or go back to the default thresholds "
            "with `fovea calibrate --reset`."
        )
    if usable < _questions_that_promise(target):
        found.append(
            f"{usable} questions to fit on are too few to promise a loss of {percent(target)}: on average over new "
            f"questions it may be {percent(target + 1 / (usable + 1))}, and more on some. Label about "
            f"{2 * _questions_that_promise(target)} questions in all, about many documents, and calibrate again."
        )
    return tuple(found)


def percent(share: float) -> str:
    """A share as people write it.

    >>> percent(0.05), percent(0.0794)
    ('5 %', '7.9 %')
    """
    return f"{round(100 * share, 1):g} %"


def _questions_that_promise(target: float) -> int:
    """The least number of questions to fit on that needs no warning: 1 / (n + 1) <= a quarter of the target.

    >>> [_questions_that_promise(target) for target in (0.02, 0.05, 0.10)]
    [199, 79, 39]
    """
    return math.ceil(1 / (_TOLERATED * target) - 1 - 1e-9)
