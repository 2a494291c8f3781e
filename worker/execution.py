"""What happens when a message for a step arrives: claim, run, complete, and carry on."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

import psycopg
from celery.exceptions import Ignore, Retry, TaskPredicate, WorkerShutdown, WorkerTerminate

from celeriac.worker.failpoints import failpoint
from celeriac.worker.interrupts import time_limit
from celeriac.worker.invocation import EventLoop, describe_error, invoke
from celeriac.worker.retry_decision import wait_before_retry
from celeriac.worker.transactions import StepTransaction
from celeriac.workflows.authoring.context import StepContext
from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.dispatch.publisher import Publisher
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.resolving import RunValues
from celeriac.workflows.engine.templates import needs_run_error
from celeriac.workflows.errors import StepError
from celeriac.workflows.history.attempts import (
    Attempt,
    AttemptStore,
    Claim,
    ClaimNext,
    Completion,
    Limits,
)
from celeriac.workflows.history.database import Database
from celeriac.workflows.settings import Settings

if TYPE_CHECKING:
    from celeriac.worker.task import StepTask

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """A step that the completion of another has claimed, to be run next in the same process."""

    graph: Graph
    claim: Claim
    parent: int  # position of the step before


class _Superseded(Exception):
    """The attempt may not record anything any more."""


class StepExecutor:
    """Runs one step after another in a process. Shared by the threads of a thread pool.

    Args:
        attempts: Where claims and outcomes are recorded.
        database: Where steps get their transactions.
        publisher: Hands on what a completion frees and nothing else carries.
        wakeups: Tells those who wait for a run that it ended.
        aftermath: Does what follows on failures and the ends of runs.
        lease: Name of this process's lease.
        settings: For the limits of steps that have none of their own.
    """

    def __init__(
        self,
        *,
        attempts: AttemptStore,
        database: Database,
        publisher: Publisher,
        wakeups: Wakeups,
        follow_up: FollowUp,
        lease: str,
        settings: Settings,
    ) -> None:
        self._attempts = attempts
        self._database = database
        self._publisher = publisher
        self._wakeups = wakeups
        self._follow_up = follow_up
        self._lease = lease
        self._settings = settings
        self._retry = settings.retry
        self._loop = EventLoop()

    def claim(self, graph: Graph, run_id: UUID, name: str) -> Claim:
        """Claim a step for this process.

        Raises:
            Ignore: someone else has it, it is done, or its run does not go on. Nothing is touched.
        """
        position = graph.position[name]
        claim = self._attempts.claim(
            run_id, position, name, self._lease, graph.guaranteed_inputs[position], self._limits(graph, position)
        )
        if claim is None:
            raise Ignore
        failpoint("after_claim")
        return claim

    def run(
        self, task: StepTask, graph: Graph, claim: Claim, choose_next: Callable[[], int | None]
    ) -> tuple[Any, NextStep | None]:
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
                values = self._values(graph, claim)
                with time_limit(self._seconds_for(graph, claim), claim.attempt):
                    value, result = invoke(
                        task.step,
                        graph.nodes[claim.attempt.position],
                        self._context(graph, claim, transaction),
                        values,
                        self._loop,
                    )
                failpoint("after_effect_before_record")
                planned = self._plan(graph, choose_next())
                completion = self._record(graph, claim, result, planned, transaction)
            except _Superseded:
                raise Ignore from None
            except BaseException as error:
                if is_shutdown(error):
                    raise
                if not transaction.is_broken:
                    transaction.close()
                    self._fail(graph, claim, error)
                # The work in the transaction is lost with its connection, unless the commit had landed.
                find_recorded_completion = self._attempts.find_recorded_completion(claim.attempt, planned)
                if find_recorded_completion is None:
                    logger.warning("Step %s lost its transaction (%s); running it again", claim.attempt.name, error)
                    continue
                completion = find_recorded_completion
            finally:
                transaction.close()
            failpoint("after_record_before_publish")
            try:
                return value, self._go_on(task, graph, claim, result, completion)
            except BaseException:
                if completion.next is not None:
                    self.release(graph, completion.next)
                raise

    def give_up(self, graph: Graph, attempt: Attempt, error: BaseException) -> None:
        """See to it that an error leaves no attempt open: its process lives on, and keeps its lease.

        Does nothing if the outcome of the attempt is recorded, as it is when the step itself failed.
        """
        if isinstance(error, Ignore):
            return
        if is_shutdown(error):
            self.release(graph, attempt)
        else:
            failure = self._attempts.fail(attempt, describe_error(error), graph)
            if failure is not None:
                self._follow_up.of_failure(attempt.run_id, graph, failure)

    def _values(self, graph: Graph, claim: Claim) -> RunValues:
        position, run_id = claim.attempt.position, claim.attempt.run_id
        outcome_inputs = graph.outcome_inputs[position]
        asks_why = any(map(needs_run_error, graph.nodes[position].arguments.values()))
        return RunValues(
            graph=graph,
            run_input=claim.run_input,
            results=claim.results,
            recorded=self._attempts.recorded_steps(run_id, outcome_inputs) if outcome_inputs else {},
            error=self._attempts.run_error(run_id) if asks_why else None,
        )

    def _limits(self, graph: Graph, position: int) -> Limits:
        node = graph.nodes[position]
        timeout = self._settings.step_timeout_seconds if node.timeout is None else node.timeout
        return Limits(timeout=timeout, total=node.total_timeout, heartbeat=node.heartbeat_timeout)

    def _seconds_for(self, graph: Graph, claim: Claim) -> float | None:
        limits = self._limits(graph, claim.attempt.position)
        return min((s for s in (limits.timeout, limits.total, claim.seconds_left) if s is not None), default=None)

    def _context(self, graph: Graph, claim: Claim, transaction: StepTransaction) -> StepContext:
        attempt = claim.attempt
        limits = self._limits(graph, attempt.position)
        return StepContext(
            run_id=attempt.run_id,
            step=attempt.name,
            attempt=attempt.attempt,
            transactions=transaction,
            beat=lambda details: self._attempts.heartbeat(attempt, details, limits),
            heartbeat_details=None if claim.heartbeat_details is None else json.loads(claim.heartbeat_details),
        )

    def _plan(self, graph: Graph, position: int | None) -> ClaimNext | None:
        if position is None:
            return None
        return ClaimNext(position=position, name=graph.nodes[position].name, limits=self._limits(graph, position))

    def _record(
        self, graph: Graph, claim: Claim, result: str, planned: ClaimNext | None, transaction: StepTransaction
    ) -> Completion:
        transaction.check(claim.attempt.name)
        completion = self._attempts.complete(
            claim.attempt,
            result,
            graph,
            next_step=planned,
            transaction=transaction.connection,
        )
        if completion is None:
            logger.warning("Attempt %d of step %s is superseded", claim.attempt.attempt, claim.attempt.name)
            raise _Superseded
        transaction.commit()
        return completion

    def _fail(self, graph: Graph, claim: Claim, error: BaseException) -> NoReturn:
        """Record the failure, and raise what tells Celery and Flower of it.

        Raises:
            Ignore: the attempt is superseded.
            Retry: the step is tried again later.
            BaseException: the error, if it is not.
        """
        attempt = claim.attempt
        wait = wait_before_retry(
            graph.nodes[attempt.position],
            self._retry,
            attempt=attempt.attempt - claim.uncounted_attempts,
            lost=claim.lost,
            error=error,
        )
        failure = self._attempts.fail(attempt, describe_error(error), graph, wait)
        if failure is None:
            logger.warning("Attempt %d of step %s is superseded", attempt.attempt, attempt.name)
            raise Ignore from None
        self._follow_up.of_failure(attempt.run_id, graph, failure)
        if failure.retry_at is not None:
            raise Retry(exc=_as_exception(error), when=failure.retry_at) from error
        # Celery would take the step's own Ignore, Reject or Retry for what it means in a task, which is no failure;
        # and what is no Exception would end a thread of the pool, or the worker.
        if isinstance(error, TaskPredicate) or not isinstance(error, Exception):
            raise StepError(detail=f"Step {attempt.name!r} raised {type(error).__name__}.") from error
        raise error

    def release(self, graph: Graph, attempt: Attempt) -> None:
        """Let another worker run the step at once. If that cannot be recorded, it will when the lease expires."""
        try:
            released = self._attempts.release(attempt)
        except psycopg.Error as error:
            logger.warning("Step %s could not be handed back: %s", attempt.name, error)
            return
        if released:
            position = attempt.position
            self._publisher.dispatch(graph, attempt.run_id, graph.ancestors([position]), [position])

    def _go_on(
        self, task: StepTask, graph: Graph, claim: Claim, result: str, completion: Completion
    ) -> NextStep | None:
        """Split what the completion freed between Celery, this process, and the publisher."""
        request, run_id, position = task.request, claim.attempt.run_id, claim.attempt.position
        loose = set(completion.ready) if completion.accepts_work else set()
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
        if graph.saga and not completion.accepts_work and not completion.run_ended:
            self._follow_up.undo(run_id, graph)  # if it is to be undone, and waited for this step
        if completion.next is None:
            return None
        inputs = graph.guaranteed_inputs[completion.next.position]
        if set(inputs) <= {position}:
            carried: Claim | None = Claim(
                attempt=completion.next, run_input=claim.run_input, results={position: result}
            )
        else:
            carried = self._attempts.adopt(completion.next, inputs)
        return None if carried is None else NextStep(graph=graph, claim=carried, parent=position)


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else StepError(detail=repr(error))


def is_shutdown(error: BaseException) -> bool:
    """Return whether an error is the worker's being stopped, as opposed to the step's failing.

    A child that gets a signal to terminate raises SystemExit, wherever it is, with a code that billiard
    makes of the signal's number.
    """
    if isinstance(error, SystemExit) and not isinstance(error, WorkerShutdown | WorkerTerminate):
        return isinstance(error.code, int) and -256 < error.code <= -256 + signal.NSIG
    return isinstance(error, WorkerShutdown | WorkerTerminate)


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
