"""Asking the broker, and the workers behind it, whether they are there."""

from __future__ import annotations

from collections.abc import Mapping

from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from celeriac.workflows.cli.display import formatting
from celeriac.workflows.errors import BrokerUnavailable, ConfigurationError

TIMEOUT_SECONDS = 2.0
_ANSWER_SECONDS = 1.0  # how long workers are given to answer


def app_for(broker_url: str) -> Celery:
    """Return a Celery app that serves for asking, and is nobody's current app.

    Raises:
        ConfigurationError: Celery cannot use the address, which it would find out only when a run is already started.
    """
    app = Celery("celeriac-command", broker=broker_url, set_as_current=False)
    app.conf.broker_transport_options = {
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_timeout": TIMEOUT_SECONDS + _ANSWER_SECONDS,
    }
    try:
        app.connection_for_read().get_transport_cls()
    except (KeyError, ImportError, ValueError) as error:
        raise ConfigurationError(
            detail=f"CELERIAC_BROKER_URL is not an address that Celery can use: {error.args[0]}. "
            "For Redis it reads redis://host:6379/0."
        ) from error
    return app


def reach(app: Celery) -> str:
    """Return the broker's address, without its password, if it answers.

    Raises:
        BrokerUnavailable: it does not.
    """
    connection = app.connection_for_read(connect_timeout=TIMEOUT_SECONDS)
    address = str(connection.as_uri())
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=TIMEOUT_SECONDS)
    except (OperationalError, KombuError, OSError) as error:
        raise BrokerUnavailable(address=address, reason=formatting.one_line(str(error)).rstrip(".")) from error
    return address


def consumers(app: Celery) -> Mapping[str, frozenset[str]]:
    """Return the queues that each worker takes from, by the worker's name, of those that answer in time."""
    answers = app.control.inspect(timeout=_ANSWER_SECONDS).active_queues() or {}
    return {worker: frozenset(queue["name"] for queue in queues) for worker, queues in answers.items()}
