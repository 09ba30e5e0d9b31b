from __future__ import annotations

import pytest

from hikkoshi.load.knee import Knee, Objectives, Step, find_knee

LIMITS = Objectives(max_p99_s=0.3, max_failed_share=0.01, min_achieved=0.95)
GOOD = [Step(rate, rate, 0.01, 0.0) for rate in (100, 200, 300)]


@pytest.mark.parametrize(
    ("steps", "rate", "broke_at", "words"),
    [
        (GOOD, 300, None, "every step kept"),
        ([*GOOD, Step(400, 400, 0.5, 0)], 300, 400, "p99 was 500 ms (at most 300 ms)"),
        ([*GOOD, Step(400, 399, 0.1, 0.02)], 300, 400, "2 % failed (at most 1 %)"),
        ([*GOOD, Step(400, 350, 0.1, 0)], 300, 400, "350.0/s of 400.0/s succeeded in time"),
        # A step that holds again above a broken one is luck.
        ([Step(250, 250, 1.0, 0), *GOOD], 200, 250, "p99 was 1 s"),
        ([Step(400, 400, 0.5, 0, is_valid=False), *GOOD], 300, None, "the generator was"),
        ([Step(10, 0, None, 0)], None, 10, "nothing was answered"),
        ([], None, None, "no step"),
    ],
)
def test_the_knee_is_the_last_step_before_the_first_broken(
    steps: list[Step], rate: float | None, broke_at: float | None, words: str
) -> None:
    knee = find_knee(steps, LIMITS)
    assert (knee.rate, knee.broke_at) == (rate, broke_at)
    assert knee.is_bounded is (broke_at is not None)
    assert words in knee.why


def test_the_answer_is_a_plain_value() -> None:
    assert find_knee(GOOD[:1], LIMITS) == Knee(100, False, None, "every step kept the objectives")
