"""What `celeriac doctor` makes of what it finds. Pure: facts in, checks out."""

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

LONG_WAIT = timedelta(minutes=1)  # a ready step that nobody claims for so long is worth a look


class CheckStatus(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"  # it works, but perhaps not as meant
    ERROR = "error"  # runs will not start or not go on
    SKIPPED = "skipped"  # cannot be told before another check is ok


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    status: CheckStatus
    message: str  # what was found
    hint: str = ""  # what to do


def ok(name: str, message: str) -> Check:
    """Return a check that came out well."""
    return Check(name=name, status=CheckStatus.OK, message=message)


def warning(name: str, message: str, hint: str) -> Check:
    """Return a check that is worth a look."""
    return Check(name=name, status=CheckStatus.WARNING, message=message, hint=hint)


def error(name: str, message: str, hint: str = "") -> Check:
    """Return a check that came out badly."""
    return Check(name=name, status=CheckStatus.ERROR, message=message, hint=hint)


def skipped(name: str, needs: str) -> Check:
    """Return a check that has to wait for another."""
    return Check(name=name, status=CheckStatus.SKIPPED, message=f"not looked at: {needs} first")


def check_package(expected: Path, found: Path | None) -> Check:
    """Judge whether Python finds this installation under the name ``celeriac``."""
    if found == expected:
        return ok("package", "celeriac is that of this installation")
    what = f"'celeriac' is {found or 'not found'} instead of {expected}"
    return error("package", what, "Rename your module, start in another folder, or install celeriac again.")


def check_imports(catalog: Catalog, modules: Sequence[str]) -> Check:
    """Judge what the imported modules define."""
    if not modules:
        return warning("imports", "no modules with workflows are named", "Set CELERIAC_IMPORTS, such as shop.flows.")
    found = f"{formatting.count(len(catalog.workflows), 'workflow')} in {', '.join(modules)}"
    if not catalog.workflows:
        return warning("imports", found, "Name the modules that define some with @workflow.")
    return ok("imports", f"{found}: {formatting.some(sorted(catalog.workflows), limit=5)}")


def check_workers(answering: Collection[str], leasing: Collection[str]) -> Check:
    """Judge whether somebody runs steps.

    Args:
        answering: Workers that answer through the broker.
        leasing: Processes that keep their leases alive in the database.
    """
    start = "Start one: celery -A celeriac worker"
    if answering and leasing:
        return ok("workers", f"{formatting.count(len(answering), 'worker')}: {formatting.some(sorted(answering))}")
    if answering:
        return warning(
            "workers",
            f"{formatting.some(sorted(answering))} answers, but keeps no lease in this database",
            "Check that it runs steps (`-A celeriac`, or celeriac.install) with the same CELERIAC_DATABASE_URL.",
        )
    if leasing:
        return warning(
            "workers",
            f"{formatting.some(sorted(leasing))} keeps its leases, but does not answer through the broker",
            "Check that it uses the same CELERIAC_BROKER_URL. A solo pool does not answer while it runs a step.",
        )
    return error("workers", "no worker is alive, so no step runs", start)


def check_queues(needed: Mapping[str, Collection[str]], consumed: Collection[str]) -> Check:
    """Judge whether each queue has a consumer.

    Args:
        needed: Steps by the queue that they go to.
        consumed: Queues that workers take from.
    """
    orphaned = {queue: steps for queue, steps in needed.items() if queue not in consumed}
    if not orphaned:
        return ok("queues", f"all have a consumer: {formatting.some(sorted(needed), limit=5)}")
    what = "; ".join(
        f"no worker takes from queue {queue!r}, where {formatting.some(sorted(steps))} "
        f"{'goes' if len(steps) == 1 else 'go'}"
        for queue, steps in orphaned.items()
    )
    return error("queues", what, f"Start a worker for it: celery -A celeriac worker -Q {','.join(sorted(orphaned))}")


def check_code(waiting: Collection[Waiting], workers: Collection[WorkerScope]) -> Check:
    """Judge whether a living worker has the code of each ready step.

    Args:
        waiting: Ready steps of runs that go on.
        workers: What living workers run; one whose queues are not known yet may run anything.
    """
    unserved = unserved_steps(waiting, workers)
    if not unserved:
        return ok("code", "workers have the code of every step that is ready")
    what = "; ".join(
        f"no worker{f' on queue {step.queue!r}' if step.queue else ''} has step {step.task!r}, for which "
        f"{_runs(step.runs)}"
        for step in unserved
    )
    return error(
        "code",
        what,
        "Start a worker of the version that has it, with its module in CELERIAC_IMPORTS; "
        "or end runs that nobody needs: celeriac cancel RUN",
    )


def unserved_steps(waiting: Collection[Waiting], workers: Collection[WorkerScope]) -> list[Waiting]:
    """Return the ready steps that no worker has the code of, of those that take from the step's queue.

    Where nobody takes from the queue, that is what is wrong, and ``check_queues`` tells it.
    """
    found = []
    for step in waiting:
        taking = [scope for scope in workers if not (scope.queues and step.queue) or step.queue in scope.queues]
        if taking and not any(step.task in scope.tasks or not scope.queues for scope in taking):
            found.append(step)
    return found


def check_waiting(oldest: timedelta | None) -> Check:
    """Judge how long ready steps wait for a worker."""
    if oldest is None:
        return ok("waiting", "no step waits for a worker")
    what = f"the step that has waited longest for a worker is ready for {formatting.duration(oldest)}"
    if oldest < LONG_WAIT:
        return ok("waiting", what)
    return warning("waiting", what, "Start more workers, or look whether the ones there are take from its queue.")


def queues_needed(catalog: Catalog, default: str, waiting: Collection[Waiting] = ()) -> dict[str, set[str]]:
    """Return the steps that go to each queue; those of the catalog that have none go to ``default``.

    Steps that wait belong to runs of any version, so that the catalog may not know them. Where those without a queue
    are routed, only the app that dispatched them knows.
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
