"""Executing a step: claim, call, record, follow up."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol
from uuid import UUID

import psycopg
from celery.exceptions import Ignore, Retry, TaskPredicate, WorkerShutdown, WorkerTerminate

from celeriac.worker.failpoints import failpoint
from celeriac.worker.interrupts import time_limit
from celeriac.worker.invocation import EventLoop, describe_error, invoke
from celeriac.worker.retry_decision import wait_before_retry
from celeriac.worker.transactions import StepTransaction
from celeriac.workflows.authoring.context import StepContext
from celeriac.workflows.authoring.steps import Step
from celeriac.workflows.dispatch.dispatch import Dispatch
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.log_fields import attempt_fields
from celeriac.workflows.engine.resolving import RunValues
from celeriac.workflows.engine.templates import needs_run_error
from celeriac.workflows.errors import StepError
from celeriac.workflows.history.records import Attempt, Claim, ClaimNext, Limits, StepKey, Transition
from celeriac.workflows.history.stores import Stores
from celeriac.workflows.settings import Settings

logger = logging.getLogger(__name__)


class StepRequest(Protocol):
    """The part of a Celery task that execution uses."""

    step: Step[..., Any]
    request: Any  # ``chain`` and ``chord`` are the tasks that Celery publishes next


@dataclass(frozen=True, kw_only=True, slots=True)
class NextStep:
    """A step that the completion of another claimed, to run next in this process."""

    graph: Graph
    claim: Claim
    parent: int  # position of the completed step


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """The step's function returned."""

    value: Any
    json: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """The step's function raised, or could not be called."""

    error: BaseException


class _TransactionLost(Exception):
    """The connection of the step's transaction broke before its work was committed."""


class StepExecutor:
    """Executes steps in a process. Shared by the threads of a thread pool.

    Args:
        stores: The stores that record claims and outcomes, and give transactions to
            steps.
        dispatch: Publishes the steps that a completion frees, unless Celery or this
            process continues with them.
        lease: The name of this process's lease.
        settings: The settings, with the limits of steps that set none.
    """

    def __init__(self, stores: Stores, dispatch: Dispatch, lease: str, settings: Settings) -> None:
        self._stores = stores
        self._dispatch = dispatch
        self._lease = lease
        self._settings = settings
        self._retry = settings.retry
        self._loop = EventLoop()

    def claim(self, graph: Graph, run_id: UUID, name: str) -> Claim:
        """Claim a step for this process.

        Raises:
            Ignore: the step is taken, finished, or its run accepts no work. Nothing was
                written.
        """
        position = graph.position[name]
        claim = self._stores.attempts.claim(
            StepKey(run_id=run_id, position=position, name=name),
            lease=self._lease,
            inputs=graph.guaranteed_inputs[position],
            limits=self._limits(graph, position),
        )
        if claim is None:
            raise Ignore
        failpoint("after_claim")
        return claim

    def run(
        self, task: StepRequest, graph: Graph, claim: Claim, choose_next: Callable[[], int | None]
    ) -> tuple[Any, NextStep | None]:
        """Run a claimed step and record its outcome.

        Args:
            task: The Celery task of the step. The chain and chord of its request stay
                in place if Celery should publish them, and are removed if not.
            graph: The graph of the run.
            claim: The attempt, and the values that its step is called with.
            choose_next: Called after the step has returned. Returns the position of the
                step to claim with the completion, if the completion frees it.

        Returns:
            The value that the step returned, and the step to continue with.

        Raises:
            Ignore: the attempt is superseded; its work in the transaction is rolled
                back.
            BaseException: the error that the step raised, which was recorded.
        """
        while True:
            with closing(StepTransaction(self._stores.database)) as transaction:
                outcome = self._execute(task.step, graph, claim, transaction)
                try:
                    returned, transition = self._record(graph, claim, outcome, choose_next, transaction)
                    break
                except _TransactionLost:
                    continue
        failpoint("after_record_before_publish")
        try:
            return returned.value, self._follow_up(task, graph, claim, returned, transition)
        except BaseException:
            if transition.claimed is not None:
                self.release(graph, transition.claimed)
            raise

    def close_attempt(self, graph: Graph, attempt: Attempt, error: BaseException) -> None:
        """Close the attempt after an unexpected error.

        This process keeps renewing its lease, so no other worker would take over. Does
        nothing if the outcome of the attempt is recorded, as after a failure of the
        step itself.
        """
        if isinstance(error, Ignore):
            return
        if is_shutdown(error):
            self.release(graph, attempt)
            return
        transition = self._stores.attempts.fail(attempt, describe_error(error), graph)
        if transition is not None:
            self._dispatch.follow_up.after(attempt.run_id, graph, transition)

    def release(self, graph: Graph, attempt: Attempt) -> None:
        """Make a claimed step ready for another worker at once.

        If Postgres does not answer, the step becomes ready when the lease expires.
        """
        try:
            released = self._stores.attempts.release(attempt)
        except psycopg.Error as error:
            logger.warning(
                "Step %s could not be released: %s",
                attempt.name,
                error,
                extra=attempt_fields(attempt, "release_failed"),
            )
            return
        if released:
            position = attempt.position
            self._dispatch.publisher.dispatch(graph, attempt.run_id, graph.ancestors([position]), [position])

    def _execute(
        self, step: Step[..., Any], graph: Graph, claim: Claim, transaction: StepTransaction
    ) -> Returned | Raised:
        """Call the step's function within its time.

        Raises:
            SystemExit: the worker is being stopped; see ``is_shutdown``.
        """
        try:
            values = self._values(graph, claim)
            with time_limit(self._seconds_for(graph, claim), claim.attempt):
                value, text = invoke(
                    step,
                    graph.nodes[claim.attempt.position],
                    self._context(graph, claim, transaction),
                    values,
                    self._loop,
                )
        except BaseException as error:
            if is_shutdown(error):
                raise
            return Raised(error=error)
        failpoint("after_effect_before_record")
        return Returned(value=value, json=text)

    def _record(
        self,
        graph: Graph,
        claim: Claim,
        outcome: Returned | Raised,
        choose_next: Callable[[], int | None],
        transaction: StepTransaction,
    ) -> tuple[Returned, Transition]:
        """Record the outcome, and commit the step's transaction with it.

        Raises:
            _TransactionLost: the work in the transaction is lost; the step has to run
                again.
            Ignore: the attempt is superseded.
            BaseException: the error of the step, as ``_record_failure`` raises it.
        """
        if isinstance(outcome, Raised):
            if transaction.is_broken:
                self._report_lost(claim, outcome.error)
                raise _TransactionLost from outcome.error
            transaction.close()
            self._record_failure(graph, claim, outcome.error)
        next_step = self._plan(graph, choose_next())
        try:
            return outcome, self._record_completion(graph, claim, outcome, next_step, transaction)
        except Ignore:
            raise
        except BaseException as error:
            if is_shutdown(error):
                raise
            if not transaction.is_broken:
                transaction.close()
                self._record_failure(graph, claim, error)
            # The work in the transaction is lost with its connection, unless the commit
            # was recorded.
            recorded = self._stores.attempts.find_recorded_completion(claim.attempt, next_step)
            if recorded is None:
                self._report_lost(claim, error)
                raise _TransactionLost from error
            return outcome, recorded

    def _record_completion(
        self,
        graph: Graph,
        claim: Claim,
        outcome: Returned,
        next_step: ClaimNext | None,
        transaction: StepTransaction,
    ) -> Transition:
        transaction.check(claim.attempt.name)
        transition = self._stores.attempts.complete(
            claim.attempt, outcome.json, graph, next_step=next_step, transaction=transaction.connection
        )
        if transition is None:
            self._report_superseded(claim)
            raise Ignore
        transaction.commit()
        return transition

    def _record_failure(self, graph: Graph, claim: Claim, error: BaseException) -> NoReturn:
        """Record the failure, and raise the exception for Celery and Flower.

        Raises:
            Ignore: the attempt is superseded.
            Retry: the step will be retried.
            BaseException: the error, because the step will not be retried.
        """
        attempt = claim.attempt
        wait = wait_before_retry(
            graph.nodes[attempt.position],
            self._retry,
            attempt=attempt.attempt - claim.uncounted_attempts,
            lost=claim.lost,
            error=error,
        )
        transition = self._stores.attempts.fail(attempt, describe_error(error), graph, wait)
        if transition is None:
            self._report_superseded(claim)
            raise Ignore from None
        self._dispatch.follow_up.after(attempt.run_id, graph, transition)
        if transition.retry_at is not None:
            raise Retry(exc=_as_exception(error), when=transition.retry_at) from error
        # Celery would take the step's own Ignore, Reject or Retry for its meaning in a
        # task, which is no failure. An error that is no Exception would end a thread of
        # the pool, or the worker.
        if isinstance(error, TaskPredicate) or not isinstance(error, Exception):
            raise StepError(detail=f"Step {attempt.name!r} raised {type(error).__name__}.") from error
        raise error

    def _follow_up(
        self, task: StepRequest, graph: Graph, claim: Claim, returned: Returned, transition: Transition
    ) -> NextStep | None:
        """Dispatch the freed steps that neither Celery nor this process continues with.

        Returns:
            The step that this process continues with.
        """
        by_celery = _left_to_celery(task.request, graph, transition)
        rest = tuple(position for position in transition.ready if position not in by_celery)
        run_id = claim.attempt.run_id
        position = claim.attempt.position
        if by_celery:  # then the run has not ended, and no compensation is to be planned
            self._dispatch.follow_up.dispatch(run_id, graph, rest)
        else:
            self._dispatch.follow_up.after(run_id, graph, transition)
        if transition.claimed is None:
            return None
        inputs = graph.guaranteed_inputs[transition.claimed.position]
        if set(inputs) <= {position}:
            results = {position: returned.json}
            adopted: Claim | None = Claim(attempt=transition.claimed, run_input=claim.run_input, results=results)
        else:
            adopted = self._stores.attempts.adopt(transition.claimed, inputs)
        return None if adopted is None else NextStep(graph=graph, claim=adopted, parent=position)

    def _values(self, graph: Graph, claim: Claim) -> RunValues:
        position = claim.attempt.position
        run_id = claim.attempt.run_id
        outcome_inputs = graph.outcome_inputs[position]
        asks_why = any(map(needs_run_error, graph.nodes[position].arguments.values()))
        return RunValues(
            graph=graph,
            run_input=claim.run_input,
            results=claim.results,
            recorded=self._stores.attempts.recorded_steps(run_id, outcome_inputs) if outcome_inputs else {},
            error=self._stores.attempts.run_error(run_id) if asks_why else None,
        )

    def _context(self, graph: Graph, claim: Claim, transaction: StepTransaction) -> StepContext:
        attempt = claim.attempt
        limits = self._limits(graph, attempt.position)
        return StepContext(
            run_id=attempt.run_id,
            step=attempt.name,
            attempt=attempt.attempt,
            transactions=transaction,
            beat=lambda details: self._stores.attempts.heartbeat(attempt, details, limits),
            heartbeat_details=None if claim.heartbeat_details is None else json.loads(claim.heartbeat_details),
        )

    def _limits(self, graph: Graph, position: int) -> Limits:
        node = graph.nodes[position]
        timeout = self._settings.step_timeout_seconds if node.timeout is None else node.timeout
        return Limits(timeout=timeout, total=node.total_timeout, heartbeat=node.heartbeat_timeout)

    def _seconds_for(self, graph: Graph, claim: Claim) -> float | None:
        limits = self._limits(graph, claim.attempt.position)
        return min((s for s in (limits.timeout, limits.total, claim.seconds_left) if s is not None), default=None)

    def _plan(self, graph: Graph, position: int | None) -> ClaimNext | None:
        if position is None:
            return None
        return ClaimNext(position=position, name=graph.nodes[position].name, limits=self._limits(graph, position))

    @staticmethod
    def _report_superseded(claim: Claim) -> None:
        attempt = claim.attempt
        logger.warning(
            "Attempt %d of step %s is superseded",
            attempt.attempt,
            attempt.name,
            extra=attempt_fields(attempt, "superseded"),
        )

    @staticmethod
    def _report_lost(claim: Claim, error: BaseException) -> None:
        logger.warning(
            "Step %s lost its transaction (%s); running it again",
            claim.attempt.name,
            error,
            extra=attempt_fields(claim.attempt, "transaction_lost"),
        )


def is_shutdown(error: BaseException) -> bool:
    """Return whether an error means that the worker stops, not that the step failed.

    A child process that gets a signal to terminate raises SystemExit at its current
    line, with a code that billiard computes from the signal's number.
    """
    if isinstance(error, SystemExit) and not isinstance(error, WorkerShutdown | WorkerTerminate):
        return isinstance(error.code, int) and -256 < error.code <= -256 + signal.NSIG
    return isinstance(error, WorkerShutdown | WorkerTerminate)


def _left_to_celery(request: Any, graph: Graph, transition: Transition) -> set[int]:
    """Return the freed steps that Celery publishes.

    Removes a chain or chord from the request if its next step is not freed.
    """
    link = _position_of(graph, request.chain[-1]) if request.chain else None
    body = _position_of(graph, request.chord) if request.chord else None
    if link not in transition.ready:
        request.chain = None
    if body not in transition.ready:
        request.chord = None
    return {position for position in (link, body) if position is not None and position in transition.ready}


def _position_of(graph: Graph, signature: Any) -> int:
    """Return the position of the step that a signature is for."""
    return graph.position[signature["kwargs"]["step"]]


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else StepError(detail=repr(error))
