"""The watermark: the instant before which a queue has had no messages for a while."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from celeriac.worker.reconciler.watermark import WATERMARK_DELAY, Watermark

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=1)


def after(seconds: float, since: datetime = NOON) -> datetime:
    return since + timedelta(seconds=seconds)


def test_no_instant_is_safe_at_first():
    mark = Watermark()
    assert mark.safe_before is None
    mark.note(NOON, LONG_AGO)
    mark.note(NOON + WATERMARK_DELAY - timedelta(seconds=0.1), LONG_AGO)
    assert mark.safe_before is None


def test_an_instant_is_safe_once_it_was_known_for_long_enough():
    mark = Watermark()
    mark.note(NOON, LONG_AGO)
    mark.note(NOON + WATERMARK_DELAY, NOON)
    assert mark.safe_before == LONG_AGO


def test_the_latest_safe_instant_counts():
    mark = Watermark()
    mark.note(NOON, LONG_AGO)
    mark.note(after(1), after(1, LONG_AGO))
    mark.note(after(1) + WATERMARK_DELAY, NOON)
    assert mark.safe_before == after(1, LONG_AGO)


def test_a_safe_instant_stays_safe_while_the_queue_cannot_be_read():
    mark = Watermark()
    mark.note(NOON, LONG_AGO)
    mark.note(NOON + WATERMARK_DELAY, None)
    mark.note(NOON + 10 * WATERMARK_DELAY, None)
    assert mark.safe_before == LONG_AGO


def test_no_instant_becomes_safe_while_the_queue_cannot_be_read():
    mark = Watermark()
    mark.note(NOON, None)
    mark.note(NOON + 10 * WATERMARK_DELAY, None)
    assert mark.safe_before is None


def test_it_remembers_when_it_was_last_noted():
    mark = Watermark()
    assert mark.looked_at is None
    mark.note(NOON, None)
    assert mark.looked_at == NOON


def test_it_keeps_no_more_than_it_needs():
    mark = Watermark()
    for second in range(1_000):
        mark.note(after(second), LONG_AGO)
    assert len(mark._recent) <= WATERMARK_DELAY.total_seconds() + 1


@given(st.lists(st.tuples(st.integers(0, 5_000), st.none() | st.integers(0, 1_000)), max_size=50))
def test_it_answers_with_the_last_instant_that_is_old_enough(notes):
    mark, now, noted = Watermark(), NOON, []
    for pause, seconds in notes:
        now += timedelta(milliseconds=pause)
        instant = None if seconds is None else after(seconds, LONG_AGO)
        mark.note(now, instant)
        noted.append((now, instant))
        old_enough = [instant for when, instant in noted if instant is not None and when <= now - WATERMARK_DELAY]
        assert mark.safe_before == (old_enough[-1] if old_enough else None)
