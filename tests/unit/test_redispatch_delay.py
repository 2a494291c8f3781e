"""How long a step is left alone whose messages vanish."""

import pytest

from celeriac.worker.reconciler.redispatch import redispatch_delay


@pytest.mark.parametrize(
    ("dispatches", "seconds"), [(0, 0), (1, 0), (2, 0), (3, 8), (4, 16), (5, 32), (6, 60), (7, 60), (1_000, 60)]
)
def test_a_step_is_dispatched_again_at_once_three_times_and_then_at_least_once_a_minute(dispatches, seconds):
    assert redispatch_delay(dispatches).total_seconds() == seconds
