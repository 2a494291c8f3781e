"""The worker of one side: the same pool, the same log level and task events for both."""

from __future__ import annotations

import os
import sys

from celery import Celery

from benchmarks import plain
from celeriac import create_app
from celeriac.workflows.settings import Settings

POOL = "prefork"
PROCESSES = 2


def _app(side: str) -> Celery:
    if side == "celery":
        return plain.create_app(os.environ["PLAIN_BROKER_URL"])
    return create_app(Settings.from_env())


def main(side: str, events: str) -> None:
    app = _app(side)
    app.conf.worker_send_task_events = events == "events"
    options = ["--pool", POOL, "--concurrency", str(PROCESSES), "--loglevel", "WARNING", "--hostname", f"{side}@%h"]
    app.worker_main(["worker", *options])


if __name__ == "__main__":
    main(*sys.argv[1:])
