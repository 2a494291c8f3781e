"""The reconciler's thread in a worker's parent process."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from celeriac.worker.reconciler.assembly import reconciler_of
from celeriac.worker.runtime import Runtime
from celeriac.workflows.errors import CeleriacError

logger = logging.getLogger(__name__)
LEADER_LEASE = "leader:reconciler"
_LEADER_LEASE_LENGTH = timedelta(seconds=3)
_DROP_LEASES_EVERY = 1_000  # passes


class ReconcilerThread:
    """Runs the reconciler while this worker holds the leader lease.

    The lease spares the other workers the work. Two leaders at once do no harm.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celeriac-reconciler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the pass that is under way."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        reconciler = reconciler_of(self._runtime)
        leases = self._runtime.process.stores.leases
        me = f"{self._runtime.hostname}:{self._runtime.token}"
        passes = 0
        pause = self._runtime.settings.reconcile_seconds
        while not self._stop.wait(pause):
            pause = self._runtime.settings.reconcile_seconds
            try:
                if leases.acquire_leader_lease(LEADER_LEASE, worker=me, lease=_LEADER_LEASE_LENGTH):
                    reconciler.run_once()
                    pause = reconciler.seconds_to_next_pass(pause)
                    passes += 1
                    if passes % _DROP_LEASES_EVERY == 0:
                        leases.drop_old()
            except CeleriacError as error:
                logger.warning("Not reconciled: %s", error)
            except Exception:
                # The thread must live: without it lost work stays lost, until another
                # worker becomes the leader.
                logger.exception("Not reconciled")
