"""What happens when a message for a step arrives: claim, run, complete, and carry on."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery.exceptions import Ignore, WorkerShutdown, WorkerTerminate

from worker.crashpoints import reach
from worker.invocation import EventLoop, describe_error, invoke
from worker.transactions import StepTransaction
from workflows.graph import Graph
from workflows.history.attempts import AttemptStore, Claim, Completion, Next
from workflows.history.database import Database
from workflows.publisher import Publisher
from workflows.wakeup import Wakeups

if TYPE_CHECKING:
    from worker.task import StepTask

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """A step that the completion of another has claimed, to be run next in the same process."""

    graph: Graph
    claim: Claim
    parent: int  # position of the step before


class Delivery:
    """Runs one step after another in a process. Shared by the threads of a thread pool.

    Args:
        attempts: Where claims and outcomes are recorded.
        database: Where steps get their transactions.
        publisher: Hands on what a completion frees and nothing else carries.
        wakeups: Tells those who wait for a run that it ended.
        lease: Name of this process's lease.
    """

    def __init__(
        self, *, attempts: AttemptStore, database: Database, publisher: Publisher, wakeups: Wakeups, lease: str
    ) -> None:
        self._attempts = attempts
        self._database = database
        self._publisher = publisher
        self._wakeups = wakeups
        self._lease = lease
        self._loop = EventLoop()

    def claim(self, graph: Graph, run_id: UUID, name: str) -> Claim:
        """Claim a step for this process.

        Raises:
            Ignore: someone else has it, it is done, or its run does not go on. Nothing is touched.
        """
        position = graph.position[name]
        claim = self._attempts.claim(run_id, position, name, self._lease, graph.inputs[position])
        if claim is None:
            raise Ignore
        reach("after_claim")
        return claim

    def run(
        self, task: StepTask, graph: Graph, claim: Claim, choose_next: Callable[[], int | None]
    ) -> tuple[Any, Carried | None]:
        """Run a claimed step and record its outcome.

        Args:
            task: The Celery task of the step; its request's chain and chord are left in place if Celery is to carry
                them on, and taken away if not.
            graph: The graph of the run.
            claim: The attempt and what it is called with.
            choose_next: Called when the step has returned; the step to carry on with, if that frees it.

        Returns:
            What the step returned, and the step that was claimed to carry on with.

        Raises:
            Ignore: the attempt is superseded; what it did in its transaction is rolled back.
            BaseException: what the step raised; it is recorded.
        """
        while True:
            transaction = StepTransaction(self._database)
            planned = None
            try:
                value, result = invoke(task.step, graph, claim, transaction, self._loop)
                reach("after_effect_before_record")
                planned = self._plan(graph, choose_next())
                completion = self._record(graph, claim, result, planned, transaction)
            except BaseException as error:
                if isinstance(error, Ignore) or is_shutdown(error):
                    raise
                if not transaction.is_broken:
                    transaction.close()
                    self._fail(claim, error)
                    raise
                # The work in the transaction is lost with its connection, unless the commit had landed.
                landed = self._attempts.landed(claim.attempt, planned)
                if landed is None:
                    logger.warning("Step %s lost its transaction (%s); running it again", claim.attempt.name, error)
                    continue
                completion = landed
            finally:
                transaction.close()
            reach("after_record_before_publish")
            return value, self._go_on(task, graph, claim, result, completion)

    @staticmethod
    def _plan(graph: Graph, position: int | None) -> Next | None:
        if position is None:
            return None
        return Next(position=position, name=graph.nodes[position].name)

    def _record(
        self, graph: Graph, claim: Claim, result: str, planned: Next | None, transaction: StepTransaction
    ) -> Completion:
        position = claim.attempt.position
        completion = self._attempts.complete(
            claim.attempt,
            result,
            dependents=graph.dependents[position],
            is_sink=position in graph.sinks,
            next_step=planned,
            transaction=transaction.connection,
        )
        if completion is None:
            logger.warning("Attempt %d of step %s is superseded", claim.attempt.attempt, claim.attempt.name)
            raise Ignore
        transaction.commit()
        return completion

    def _fail(self, claim: Claim, error: BaseException) -> None:
        ended = self._attempts.fail(claim.attempt, describe_error(error))
        if ended is None:
            logger.warning("Attempt %d of step %s is superseded", claim.attempt.attempt, claim.attempt.name)
            raise Ignore from None
        if ended:
            self._wakeups.wake(claim.attempt.run_id)

    def _go_on(self, task: StepTask, graph: Graph, claim: Claim, result: str, completion: Completion) -> Carried | None:
        """Split what the completion freed between Celery, this process, and the publisher."""
        request, run_id, position = task.request, claim.attempt.run_id, claim.attempt.position
        loose = set(completion.ready) if completion.goes_on else set()
        link = _step_of(graph, request.chain[-1]) if request.chain else None
        body = _step_of(graph, request.chord) if request.chord else None
        if link not in loose:
            request.chain = None
        if body not in loose:
            request.chord = None
        loose -= {link, body}
        if loose:
            self._publisher.dispatch(graph, run_id, graph.ancestors(loose), loose)
        if completion.run_ended:
            self._wakeups.wake(run_id)
        if completion.next is None:
            return None
        inputs = graph.inputs[completion.next.position]
        if set(inputs) <= {position}:
            carried: Claim | None = Claim(
                attempt=completion.next, run_input=claim.run_input, results={position: result}
            )
        else:
            carried = self._attempts.adopt(completion.next, inputs)
        return None if carried is None else Carried(graph=graph, claim=carried, parent=position)


def is_shutdown(error: BaseException) -> bool:
    """Return whether an error is the worker's being stopped, as opposed to the step's failing.

    A child that gets a signal to terminate raises SystemExit, wherever it is, with a code that billiard
    makes of the signal's number.
    """
    if isinstance(error, SystemExit) and not isinstance(error, WorkerShutdown | WorkerTerminate):
        return isinstance(error.code, int) and -256 < error.code <= -256 + signal.NSIG
    return isinstance(error, WorkerShutdown | WorkerTerminate | KeyboardInterrupt)


def _step_of(graph: Graph, signature: Any) -> int:
    """Return the position of the step that a signature is for."""
    return graph.position[signature["kwargs"]["step"]]


class Budget:
    """How long a process carries on before it lets the broker decide again who is next."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def is_used(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._until
