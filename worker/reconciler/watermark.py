"""How far back a queue is known to be free of older messages."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

# A message may be on its way for so long, from the queue to its worker's list of prefetched tasks.
WATERMARK_DELAY = timedelta(seconds=2.5)


class Watermark:
    """The latest instant for which a queue has held no older message for the whole of ``WATERMARK_DELAY``.

    Attributes:
        looked_at: When the queue was last looked into.
        safe_before: Steps that were dispatched before this instant have no message in the queue; None: not known for
            long enough.
    """

    def __init__(self) -> None:
        self.looked_at: datetime | None = None
        self.safe_before: datetime | None = None
        self._recent: deque[tuple[datetime, datetime]] = deque()

    def note(self, now: datetime, instant: datetime | None) -> None:
        """Note at ``now`` that the queue has no message from before an instant; None if that cannot be told."""
        self.looked_at = now
        if instant is not None:
            self._recent.append((now, instant))
        while self._recent and self._recent[0][0] <= now - WATERMARK_DELAY:
            self.safe_before = self._recent.popleft()[1]
