"""The checks of `celeriac doctor`. Pure: facts in, checks out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.cli.display import formatting
from celeriac.workflows.engine.views import Waiting, WorkerScope

LONG_WAIT = timedelta(minutes=1)  # warn if no worker claims a ready step for so long


class CheckStatus(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"  # runs go on, but perhaps not as intended
    ERROR = "error"  # runs do not start or do not go on
    SKIPPED = "skipped"  # another check has to be ok first


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A finding of the doctor."""

    name: str
    status: CheckStatus
    message: str
    hint: str = ""  # the remedy


def ok(name: str, message: str) -> Check:
    """Return a check that passed."""
    return Check(name=name, status=CheckStatus.OK, message=message)


def warning(name: str, message: str, hint: str) -> Check:
    """Return a check that calls for attention."""
    return Check(name=name, status=CheckStatus.WARNING, message=message, hint=hint)


def error(name: str, message: str, hint: str = "") -> Check:
    """Return a check that failed."""
    return Check(name=name, status=CheckStatus.ERROR, message=message, hint=hint)


def skipped(name: str, needs: str) -> Check:
    """Return a check that cannot be made before another is ok."""
    return Check(name=name, status=CheckStatus.SKIPPED, message=f"not checked: needs {needs} first")


def check_package(expected: Path, found: Path | None) -> Check:
    """Check that Python finds this installation under the name ``celeriac``."""
    if found == expected:
        return ok("package", "celeriac is this installation")
    message = f"'celeriac' is {found or 'not found'} instead of {expected}"
    return error("package", message, "Rename your module, start in another folder, or install celeriac again.")


def check_imports(catalog: Catalog, modules: Sequence[str]) -> Check:
    """Check that the imported modules define workflows."""
    if not modules:
        return warning("imports", "no modules with workflows are named", "Set CELERIAC_IMPORTS, such as shop.flows.")
    found = f"{formatting.count(len(catalog.workflows), 'workflow')} in {', '.join(modules)}"
    if not catalog.workflows:
        return warning("imports", found, "Name modules that define workflows with @workflow.")
    return ok("imports", f"{found}: {formatting.some(sorted(catalog.workflows), limit=5)}")


def check_workers(answering: Collection[str], leasing: Collection[str]) -> Check:
    """Check that workers are alive.

    Args:
        answering: Workers that answer through the broker.
        leasing: Workers that renew their leases in the database.
    """
    start = "Start a worker: celery -A celeriac worker"
    if answering and leasing:
        return ok("workers", f"{formatting.count(len(answering), 'worker')}: {formatting.some(sorted(answering))}")
    if answering:
        return warning(
            "workers",
            f"{formatting.some(sorted(answering))} answers, but keeps no lease in this database",
            "Check that the worker runs steps (`-A celeriac`, or celeriac.install) on the same CELERIAC_DATABASE_URL.",
        )
    if leasing:
        return warning(
            "workers",
            f"{formatting.some(sorted(leasing))} keeps its leases, but does not answer through the broker",
            "Check that the worker uses the same CELERIAC_BROKER_URL. A solo pool does not answer during a step.",
        )
    return error("workers", "no worker is alive, so no step runs", start)


def check_queues(needed: Mapping[str, Collection[str]], consumed: Collection[str]) -> Check:
    """Check that each queue has a consumer.

    Args:
        needed: Steps by queue.
        consumed: Queues that workers consume.
    """
    orphaned = {queue: steps for queue, steps in needed.items() if queue not in consumed}
    if not orphaned:
        return ok("queues", f"all have a consumer: {formatting.some(sorted(needed), limit=5)}")
    message = "; ".join(
        f"no worker takes from queue {queue!r}, where {formatting.some(sorted(steps))} "
        f"{'goes' if len(steps) == 1 else 'go'}"
        for queue, steps in orphaned.items()
    )
    return error("queues", message, f"Start a worker: celery -A celeriac worker -Q {','.join(sorted(orphaned))}")


def check_code(waiting: Collection[Waiting], workers: Collection[WorkerScope]) -> Check:
    """Check that a live worker has the code of each ready step.

    Args:
        waiting: Ready steps of runs that go on.
        workers: Scopes of the live workers. A worker may run any step until its queues
            are known.
    """
    unserved = unserved_steps(waiting, workers)
    if not unserved:
        return ok("code", "workers have the code of every step that is ready")
    message = "; ".join(
        f"no worker{f' on queue {step.queue!r}' if step.queue else ''} has step {step.task!r}, for which "
        f"{_runs(step.runs)}"
        for step in unserved
    )
    return error(
        "code",
        message,
        "Start a worker of the version that has the step, with the step's module in CELERIAC_IMPORTS; "
        "or end runs that nobody needs: celeriac cancel RUN",
    )


def unserved_steps(waiting: Collection[Waiting], workers: Collection[WorkerScope]) -> list[Waiting]:
    """Return the ready steps whose code no worker on the step's queue has.

    Steps whose queue no worker consumes are left out: ``check_queues`` reports the
    queue.
    """
    found = []
    for step in waiting:
        taking = [scope for scope in workers if not (scope.queues and step.queue) or step.queue in scope.queues]
        if taking and not any(step.task in scope.tasks or not scope.queues for scope in taking):
            found.append(step)
    return found


def check_waiting(oldest: timedelta | None) -> Check:
    """Check how long ready steps have waited for a worker."""
    if oldest is None:
        return ok("waiting", "no step waits for a worker")
    message = f"the step that has waited longest for a worker has been ready for {formatting.duration(oldest)}"
    if oldest < LONG_WAIT:
        return ok("waiting", message)
    return warning("waiting", message, "Start more workers, or check that the live workers take from its queue.")


def queues_needed(catalog: Catalog, default: str, waiting: Collection[Waiting] = ()) -> dict[str, set[str]]:
    """Return the steps by queue. Catalog steps without a queue go to ``default``.

    Waiting steps belong to runs of any version, so the catalog may not know them. Those
    without a queue are left out: only the app that dispatched them knows the route.
    """
    needed: dict[str, set[str]] = {}
    for step in waiting:
        if step.queue:
            needed.setdefault(step.queue, set()).add(step.task)
    for workflow in catalog.workflows.values():
        for node in workflow.graph.nodes:
            needed.setdefault(node.queue or default, set()).add(node.task)
    return needed


def _runs(run_ids: Sequence[UUID]) -> str:
    named = formatting.some([str(run_id) for run_id in run_ids])
    return f"run {named} waits" if len(run_ids) == 1 else f"runs {named} wait"
