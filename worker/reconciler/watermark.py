"""The instant before which a queue is known to have no messages."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

# How long a message may take from the queue to its worker's list of prefetched tasks.
WATERMARK_DELAY = timedelta(seconds=2.5)


class Watermark:
    """The latest instant before which a queue had no message for ``WATERMARK_DELAY``.

    Attributes:
        looked_at: When the queue was last read.
        safe_before: Steps that were dispatched before this instant have no message in
            the queue; None if this has not been known for long enough.
    """

    def __init__(self) -> None:
        self.looked_at: datetime | None = None
        self.safe_before: datetime | None = None
        self._recent: deque[tuple[datetime, datetime]] = deque()

    def note(self, now: datetime, instant: datetime | None) -> None:
        """Note that, at ``now``, the queue has no message from before ``instant``.

        Args:
            now: When the queue was read.
            instant: None if the instant is not known.
        """
        self.looked_at = now
        if instant is not None:
            self._recent.append((now, instant))
        while self._recent and self._recent[0][0] <= now - WATERMARK_DELAY:
            self.safe_before = self._recent.popleft()[1]
