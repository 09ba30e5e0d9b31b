"""When the load of a failover may end: what hangs is not answered."""

from __future__ import annotations

import pytest

from hikkoshi.trials.faults import is_answered
from hikkoshi.trials.sending import Counts


@pytest.mark.parametrize(
    ("earlier", "later", "is_over"),
    [
        (Counts(100, 80, 20), Counts(140, 120, 20), True),
        # A few are still at work when the second ends.
        (Counts(100, 80, 20), Counts(140, 117, 20), True),
        (Counts(100, 80, 20), Counts(140, 119, 21), False),
        # All hang: nothing failed, and nothing was answered.
        (Counts(100, 80, 20), Counts(140, 80, 20), False),
        # One task of two answers; what went to the other hangs.
        (Counts(100, 80, 20), Counts(140, 100, 20), False),
        # All connections of the generator hang, so that it sends nothing more.
        (Counts(140, 80, 20), Counts(140, 80, 20), False),
        # One request a second, and this second none was due.
        (Counts(10, 9, 1), Counts(10, 9, 1), False),
        (Counts(10, 9, 1), Counts(11, 10, 1), True),
    ],
)
def test_the_load_goes_on_until_all_is_answered_well(earlier, later, is_over):
    assert is_answered(earlier, later) is is_over
