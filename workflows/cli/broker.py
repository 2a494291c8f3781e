"""Ask the broker, and the workers behind the broker, for an answer."""

from __future__ import annotations

from collections.abc import Mapping

from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from celeriac.workflows.cli.display import formatting
from celeriac.workflows.errors import BrokerUnavailable, ConfigurationError

TIMEOUT_SECONDS = 2.0
_ANSWER_SECONDS = 1.0  # for workers to answer


def app_for(broker_url: str) -> Celery:
    """Return a Celery app for questions to the broker; it is never the current app.

    Raises:
        ConfigurationError: Celery cannot use the address. Without this check, Celery
            would raise only after a run has started.
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
            "For Redis, write redis://host:6379/0."
        ) from error
    return app


def reach(app: Celery) -> str:
    """Connect to the broker and return its address without the password.

    Raises:
        BrokerUnavailable: the broker does not answer.
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
    """Return the queues that each worker consumes, by the worker's name.

    Workers that do not answer in time are missing.
    """
    answers = app.control.inspect(timeout=_ANSWER_SECONDS).active_queues() or {}
    return {worker: frozenset(queue["name"] for queue in queues) for worker, queues in answers.items()}
