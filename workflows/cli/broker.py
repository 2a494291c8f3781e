"""Asking the broker, and the workers behind it, whether they are there."""

from __future__ import annotations

from collections.abc import Mapping

from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from workflows.cli import words
from workflows.errors import BrokerUnavailable, ConfigurationError

TIMEOUT_SECONDS = 2.0
_ANSWER_SECONDS = 1.0  # how long workers are given to answer


def reach(app: Celery) -> str:
    """Return the broker's address, without its password, if it answers.

    Raises:
        BrokerUnavailable: it does not.
        ConfigurationError: it is of a kind that Celery does not know.
    """
    connection = app.connection_for_read(connect_timeout=TIMEOUT_SECONDS)
    try:
        address = connection.as_uri()
    except KeyError as error:
        raise ConfigurationError(
            detail=f"CELERIAC_BROKER_URL names a kind of broker that Celery does not know: {error.args[0]}. "
            "It should read redis://host:6379/0."
        ) from error
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=TIMEOUT_SECONDS)
    except (OperationalError, KombuError, OSError) as error:
        raise BrokerUnavailable(address=address, reason=words.one_line(str(error)).rstrip(".")) from error
    return str(address)


def consumers(app: Celery) -> Mapping[str, frozenset[str]]:
    """Return the queues that each worker takes from, by the worker's name, of those that answer in time."""
    answers = app.control.inspect(timeout=_ANSWER_SECONDS).active_queues() or {}
    return {worker: frozenset(queue["name"] for queue in queues) for worker, queues in answers.items()}


def app_for(broker_url: str) -> Celery:
    """Return a Celery app that serves for asking, and is nobody's current app."""
    app = Celery("celeriac-command", broker=broker_url, set_as_current=False)
    app.conf.broker_transport_options = {
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS + _ANSWER_SECONDS,
    }
    return app
