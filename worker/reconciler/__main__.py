"""Reconciling from the command line.

``celeriac reconcile`` starts ``python -m celeriac.worker.reconciler``, for a look, or
for a fleet whose workers must not reconcile. Safe beside running workers.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time

import click
from celery import Celery

from celeriac.worker.reconciler.assembly import reconciler_of
from celeriac.worker.reconciler.reconciler import Reconciled
from celeriac.worker.reconciler.watermark import WATERMARK_DELAY
from celeriac.worker.runtime import Runtime
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.errors import CeleriacError
from celeriac.workflows.history import schema
from celeriac.workflows.settings import Settings


@click.command()
@click.option("--once", is_flag=True, help="Stop when all work that is lost now has been recovered.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each pass that did something.")
def main(*, once: bool, as_json: bool) -> None:
    """Redispatch lost steps and end attempts whose worker died, until interrupted."""
    try:
        settings = Settings.from_env()
        runtime = Runtime(_app(settings), settings, Catalog.of())
        schema.check(runtime.process.stores.database)
        _reconcile(runtime, once=once, as_json=as_json)
    except CeleriacError as error:
        click.echo(f"celeriac: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(0)


def _app(settings: Settings) -> Celery:
    app = Celery("celeriac", broker=settings.require_broker_url(), set_as_current=False)
    app.conf.task_default_queue = settings.queue
    return app


def _reconcile(runtime: Runtime, *, once: bool, as_json: bool) -> None:
    reconciler = reconciler_of(runtime)
    total = Reconciled()
    # After so long, a message that is not in its queue is not on its way either.
    until = time.monotonic() + WATERMARK_DELAY.total_seconds() + 2 * runtime.settings.reconcile_seconds
    while True:
        done = reconciler.run_once()
        total = Reconciled(**{key: value + getattr(done, key) for key, value in dataclasses.asdict(total).items()})
        if done and not once:
            _print(done, as_json=as_json)
        if once and time.monotonic() > until:
            _print(total, as_json=as_json)
            return
        time.sleep(runtime.settings.reconcile_seconds)


def _print(done: Reconciled, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done)))
    else:
        click.echo(
            f"{done.redispatched} steps dispatched again, {done.lost} attempts lost with their worker "
            f"({done.failed} of them for good), {done.recounted} counts repaired"
        )


if __name__ == "__main__":
    main()
