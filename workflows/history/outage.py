"""Waiting through outages of the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

from celeriac.workflows.errors import DatabaseUnavailable
from celeriac.workflows.history.database import is_transient

logger = logging.getLogger(__name__)
T = TypeVar("T")
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


def retry_through_outage(call: Callable[[], T], if_committed: Callable[[], T] | None = None) -> T:
    """Repeat a call until the database answers; return its value.

    A call may have committed although its connection broke. A repeated call then finds
    no row, so if it returns None, the value of ``if_committed`` is returned.

    Args:
        call: The call to repeat. None means that it changed no row.
        if_committed: Finds the transition that an earlier call committed.

    Raises:
        Exception: the call raised an error that does not pass with time.
    """
    pause = _FIRST_PAUSE_SECONDS
    outage = False
    while True:
        try:
            found = call()
            if found is None and outage and if_committed is not None:
                return if_committed()
            return found
        except (psycopg.Error, DBAPIError, DatabaseUnavailable) as error:
            if not isinstance(error, DatabaseUnavailable) and not is_transient(error):
                raise
            if not outage:
                logger.warning("The database does not answer; trying until it does: %s", error)
            outage = True
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
