"""The Celery side: the app that runs steps, and what keeps it honest.

``celery -A worker worker`` starts a worker with the settings of the environment. A team with an app of its
own calls ``install(app)``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from celery import Celery

from worker.installation import create_app, install
from workflows.errors import CeleriacError
from workflows.settings import Settings

app: Celery

__all__ = ["create_app", "install"]


def __getattr__(name: str) -> Any:
    """Make the app when ``celery -A worker`` asks for it, so that importing this package reads no environment."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = _app_from_environment()
    return globals()["app"]


def _app_from_environment() -> Celery:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return create_app(Settings.from_env())
    except CeleriacError as error:
        raise SystemExit(f"celeriac: {error}") from None
