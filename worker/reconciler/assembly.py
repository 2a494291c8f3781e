"""The reconciler of a process, made of its connections."""

from __future__ import annotations

from celeriac.worker.queues import queues_of
from celeriac.worker.reconciler.reconciler import Reconciler
from celeriac.worker.runtime import Runtime


def reconciler_of(runtime: Runtime) -> Reconciler:
    """Return a reconciler on the connections of this process."""
    process = runtime.process
    queues = queues_of(process.dispatch.publisher.app)
    return Reconciler(process.stores, process.dispatch, process.attempt_timeouts, queues, runtime.settings)
