"""Both sides as a client sees them: start work, wait until all of it is done, ask for a result."""

from __future__ import annotations

from typing import Any, Protocol

from celery import Celery
from sqlalchemy import text

from benchmarks import flows, plain
from benchmarks.shapes import Shape
from celeriac import Client
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.settings import Settings

NUMBER = 1  # what every run starts with
_TIMEOUT = 60.0  # seconds for a result


class Side(Protocol):
    """One of the two."""

    name: str

    def start(self, shape: Shape) -> None:
        """Start one run."""

    def unfinished(self) -> int:
        """Return how many of the runs started have not ended. Cheap enough to be asked all the time."""

    def result(self, shape: Shape) -> Any:
        """Start one run, wait for its result as a user would, and return it."""

    def close(self) -> None:
        """Close the connections."""


class PlainCelery:
    """Canvas, with results in Redis."""

    name = "Celery"

    def __init__(self, broker_url: str) -> None:
        self._app: Celery = plain.create_app(broker_url)
        self._keys: list[bytes] = []

    def start(self, shape: Shape) -> None:
        """Start one run."""
        result = plain.canvas(self._app, shape, NUMBER).apply_async()
        self._keys.append(self._app.backend.get_key_for_task(result.id))

    def unfinished(self) -> int:
        """Return how many have not ended, as their results tell."""
        done = self._app.backend.client.exists(*self._keys) if self._keys else 0
        if done == len(self._keys):
            self._keys.clear()
            return 0
        return len(self._keys) - int(done)

    def result(self, shape: Shape) -> Any:
        """Start one run and return its result."""
        return plain.canvas(self._app, shape, NUMBER).apply_async().get(timeout=_TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        # Results that are garbage only when Python exits would reconnect to a Redis that is gone, to unsubscribe.
        self._app.backend.result_consumer.subscribed_to.clear()
        self._app.close()


class Celeriac:
    """Runs, with their history in Postgres."""

    name = "Celeriac"

    def __init__(self, settings: Settings) -> None:
        self._client = Client(settings, catalog=Catalog.of(*flows.WORKFLOWS.values()))

    def start(self, shape: Shape) -> None:
        """Start one run."""
        self._client.start(flows.WORKFLOWS[shape], NUMBER)

    def unfinished(self) -> int:
        """Return how many have not ended, as the history tells."""
        with self._client.services.stores.database.autocommit() as connection:
            statement = text("SELECT count(*) FROM workflow_runs WHERE status IN ('pending', 'running')")
            return int(connection.execute(statement).scalar_one())

    def result(self, shape: Shape) -> Any:
        """Start one run and return its result."""
        return self._client.start(flows.WORKFLOWS[shape], NUMBER).result(timeout=_TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
