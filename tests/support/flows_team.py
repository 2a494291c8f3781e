"""A team's own Celery app, with tasks, routes, signals and a Redis result backend of its own, that runs workflows too.

``celery -A tests.support.flows_team worker`` makes the app from the environment.
"""

from typing import Any

from celery import Celery, signals

import celeriac
from celeriac.workflows.settings import Settings
from tests.support.effects import Effects

SIGNALS = ("task_prerun", "task_postrun", "task_success", "task_failure")
ROUTES = {"second": {"queue": "team-second"}}


def make_app(settings: Settings) -> Celery:
    """The app as the team has it, before it knows of workflows."""
    broker = settings.require_broker_url()
    app = Celery("team", broker=broker, backend=broker, set_as_current=False)
    app.conf.update(
        task_default_queue="team",
        task_routes=ROUTES,
        result_expires=60,
        broker_transport_options={"visibility_timeout": 2},
    )

    @app.task(name="team.plus", shared=False)
    def plus(x: int, y: int) -> int:
        return x + y

    @app.task(name="team.total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="team.broken", shared=False)
    def broken() -> None:
        raise ValueError("as the team wrote it")

    return app


def observed_app() -> Celery:
    """The team's app with workflows installed, and with signals that note which tasks they fire for."""
    settings = Settings.from_env()
    app = make_app(settings)
    celeriac.install(app, settings)
    for name in SIGNALS:
        getattr(signals, name).connect(_note(name), weak=False)
    return app


def _note(name: str) -> Any:
    def note(sender: Any, **_: Any) -> None:
        Effects.of_environment().write(f"signal.{name} 0 0 {sender.name}")

    return note


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = observed_app()
    return globals()["app"]
