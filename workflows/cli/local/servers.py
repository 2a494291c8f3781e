"""The servers of a command: configured, or embedded while the command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from celeriac.workflows.cli import broker
from celeriac.workflows.embedded import EmbeddedServers
from celeriac.workflows.settings import Settings


@contextmanager
def servers(settings: Settings) -> Iterator[Settings]:
    """Yield settings that name a database and a broker.

    An embedded server takes the place of each that ``settings`` do not name.

    Raises:
        ConfigurationError: the embedded servers are not installed, do not start, or are
            in use; or Celery does not know this kind of broker.
    """
    if settings.broker_url is not None:
        broker.app_for(settings.require_broker_url())  # refuse before a server starts
    if settings.database_url is not None and settings.broker_url is not None:
        yield settings
        return
    with EmbeddedServers(settings.data_dir) as embedded:
        yield settings.model_copy(
            update={
                "database_url": settings.database_url or SecretStr(embedded.database_url),
                "broker_url": settings.broker_url or SecretStr(embedded.broker_url),
            }
        )
