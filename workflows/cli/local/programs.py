"""The programs of a fleet on this machine: command lines and the common environment."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.settings import Settings

_CELERY = (sys.executable, "-m", "celery", "--quiet", "-A", "celeriac")  # no banner


def worker(*, queues: Iterable[str], pool: str, concurrency: int | None, name: str, alone: bool) -> list[str]:
    """Return the command line of a worker.

    Args:
        queues: The queues to consume.
        pool: Celery's pool: prefork, threads or solo.
        concurrency: Steps that run at a time; None: as many as processors.
        name: The worker's name, unique on this machine.
        alone: Whether the worker is the only worker; then it skips the search for
            others at the start, which takes a second.
    """
    command = [*_CELERY, "worker", "--loglevel", "INFO", "--pool", pool, "--hostname", f"{name}@%h"]
    command += ["--queues", ",".join(queues)]
    if concurrency is not None:
        command += ["--concurrency", str(concurrency)]
    if alone:
        command += ["--without-mingle", "--without-gossip"]
    return command


def beat(*, data_dir: Path) -> list[str]:
    """Return the command line of the scheduler, with its file in the data folder."""
    return [*_CELERY, "beat", "--loglevel", "INFO", "--pidfile=", "--schedule", str(data_dir / "beat-schedule")]


def flower(*, port: int) -> list[str]:
    """Return the command line of Flower, for this machine only."""
    return [*_CELERY, "flower", "--address=127.0.0.1", f"--port={port}"]


def queues(settings: Settings, catalog: Catalog) -> list[str]:
    """Return the queues that the steps of a catalog go to, the default queue first."""
    nodes = chain.from_iterable(workflow.graph.nodes for workflow in catalog.workflows.values())
    of_nodes = {node.queue for node in nodes}
    of_steps = {step.default_options.queue for step in catalog.steps.values()}
    return [settings.queue, *sorted({queue for queue in of_nodes | of_steps if queue} - {settings.queue})]


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a program that uses ``settings``.

    The program can import modules of the current folder.
    """
    return {**os.environ, **addresses(settings), "PYTHONPATH": _with_current_folder(os.environ)}


def addresses(settings: Settings) -> dict[str, str]:
    """Return variables that lead another process to the same servers and workflows."""
    return {
        "CELERIAC_DATABASE_URL": settings.require_database_url(),
        "CELERIAC_BROKER_URL": settings.require_broker_url(),
        "CELERIAC_IMPORTS": ",".join(settings.imports),
    }


def exports(settings: Settings) -> list[str]:
    """Return shell lines that lead commands to the same servers and workflows."""
    return [f"export {name}={shlex.quote(value)}" for name, value in addresses(settings).items()]


def _with_current_folder(environ: Mapping[str, str]) -> str:
    others = environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([str(Path.cwd()), *filter(None, others)]))
