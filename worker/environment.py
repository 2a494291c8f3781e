"""The app of ``celery -A celeriac``, made from the environment."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from celery import Celery

from celeriac.worker.installation import create_app
from celeriac.workflows.errors import CeleriacError
from celeriac.workflows.settings import Settings


@cache
def app_from_environment() -> Celery:
    """Return the app with the settings of the environment; the same app at each call.

    Raises:
        SystemExit: a setting is missing or invalid; the message says which, and Celery
            prints it.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        return create_app(Settings.from_env())
    except CeleriacError as error:
        raise SystemExit(f"celeriac: {error}") from None
