"""The history against a small model of itself: whatever workers and operators do, in whatever order, both agree.

The model takes join rules, error handlers and failure policies from ``progress``, which test_join_rules and
test_partial_failure hold against oracles of their own. What it models itself is who may change a run when.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from celeriac.workflows.client.audit import Audit
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.engine.progress import (
    Progress,
    fails_run,
    initial_steps,
    is_unhandled_failure,
    propagate,
    reset_failed,
)
from celeriac.workflows.engine.states import StepStatus
from celeriac.workflows.history.records import Attempt, StepKey
from tests.support.graphs import IRREGULAR, graph_of, graphs, graphs_with_rules
from tests.support.store import ALIVE, DEAD, Store

MAX_LOST = 2
GOES_ON = ("pending", "running")
OPEN = (*GOES_ON, "paused")
COUNTS = """
    SELECT array_agg(failed ORDER BY position) AS failed, array_agg(skipped ORDER BY position) AS skipped
    FROM workflow_tasks WHERE run_id = :run
"""
TERMINAL = ("completed", "failed", "upstream_failed", "skipped", "cancelled", "terminated")


@dataclass(kw_only=True)
class ModelStep(Progress):
    attempt: int = 0
    lost: int = 0
    before: int = 0  # attempts that do not count
    is_due: bool = False  # of one that waits for its next attempt
    lease: str = ""
    result: str = ""


@dataclass
class ModelRun:
    """A run as it ought to be."""

    id: UUID
    graph: Graph
    status: str = "pending"
    steps: dict[int, ModelStep] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fresh = enumerate(initial_steps(self.graph))
        self.steps = {i: ModelStep(remaining=step.remaining, status=step.status) for i, step in fresh}

    def claim(self, position: int, lease: str) -> bool:
        step = self.steps[position]
        if step.status != "ready" or self.status not in GOES_ON:
            return False
        step.status, step.attempt, step.lease = StepStatus.RUNNING, step.attempt + 1, lease
        self.status = "running"
        return True

    def complete(self, attempt: Attempt, result: str, next_step: int | None) -> tuple[list[int], bool] | None:
        """Return the steps that this frees and whether it claims the next one; None if the attempt is superseded."""
        if not self._runs(attempt):
            return None
        self.steps[attempt.position].result = result
        freed = self._end_step(attempt.position, StepStatus.COMPLETED)
        carried = (
            next_step is not None
            and next_step in freed
            and self.graph.is_simple[attempt.position]
            and self.claim(next_step, attempt.lease)
        )
        freed = [child for child in freed if not carried or child != next_step]
        return (freed if self.status in GOES_ON else []), carried

    def fail(self, attempt: Attempt) -> bool | None:
        """Return whether this ends the run; None if the attempt is superseded."""
        if not self._runs(attempt):
            return None
        was_open = self.status in OPEN
        self._end_step(attempt.position, StepStatus.FAILED)
        return was_open and self.status not in OPEN

    def fail_for_now(self, attempt: Attempt, *, is_due: bool) -> bool:
        step = self.steps[attempt.position]
        if not self._runs(attempt):
            return False
        step.status, step.is_due = StepStatus.RETRYING, is_due
        return True

    def fire(self) -> list[int]:
        if self.status not in GOES_ON:
            return []
        fired = [i for i, step in self.steps.items() if step.status == "retrying" and step.is_due]
        for position in fired:
            self.steps[position].status = StepStatus.READY
        return fired

    def release(self, attempt: Attempt) -> bool:
        step = self.steps[attempt.position]
        if not self._runs(attempt):
            return False
        step.status, step.before = StepStatus.READY, step.before + 1
        return True

    def end(self, status: str) -> bool:
        """End the run by request, or because its time is up."""
        ends = self.status in OPEN
        self.status = status if ends else self.status
        return ends

    def pause(self) -> bool:
        pauses = self.status in GOES_ON
        self.status = "paused" if pauses else self.status
        return pauses

    def resume(self) -> bool:
        resumes = self.status == "paused"
        self.status = self._going_on() if resumes else self.status
        return resumes

    def retry(self) -> bool:
        if self.status != "failed":
            return False
        bare = {position: step.bare() for position, step in self.steps.items()}
        reset, _ = reset_failed(self.graph, bare)
        for position, step in self.steps.items():
            step.assign(bare[position])
            if position in reset:
                step.lost, step.before = 0, step.attempt
            elif step.status == "retrying":
                step.is_due = True
        self.status = self._going_on()
        return True

    def lose(self) -> list[int]:
        """End what dead workers hold; return what is ready again."""
        lost = [i for i, step in self.steps.items() if step.status == "running" and step.lease == DEAD]
        given_up = [position for position in lost if self._gives_up(position)]
        for position in lost:
            self.steps[position].lost += 1
            if position not in given_up:
                self.steps[position].status = StepStatus.READY
        for position in given_up:
            self._end_step(position, StepStatus.FAILED)
        return [position for position in lost if position not in given_up]

    def _gives_up(self, position: int) -> bool:
        step, limit = self.steps[position], self.graph.nodes[position].max_attempts
        return step.lost + 1 >= MAX_LOST or (limit is not None and step.attempt - step.before >= limit)

    def _runs(self, attempt: Attempt) -> bool:
        step = self.steps[attempt.position]
        return step.status == "running" and step.attempt == attempt.attempt

    def _end_step(self, position: int, status: StepStatus) -> list[int]:
        """End a step, all that follows from it, and the run if that was its end; return the steps that are free."""
        self.steps[position].status = status
        decided = propagate(self.graph, self.steps, position)
        if any(fails_run(self.graph, *step) for step in [(position, status), *decided]):
            self.end("failed")
        elif all(self.steps[i].status.is_terminal for i in self.graph.ends):
            unhandled = any(is_unhandled_failure(self.graph, i, step.status) for i, step in self.steps.items())
            self.end("failed" if unhandled else "completed")
        return [child for child, decision in decided if decision is StepStatus.READY]

    def _going_on(self) -> str:
        return "running" if any(step.attempt for step in self.steps.values()) else "pending"


class Fleet(RuleBasedStateMachine):
    """What operators, and any number of workers, living, dead and superseded, do to a few runs."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[ModelRun] = []
        self.ended: dict[tuple[int, int | None], str] = {}
        self.control = self.store.control
        self.transitions = self.store.transitions

    runs_started = Bundle("runs_started")
    attempts = Bundle("attempts")  # none is ever taken out: superseded ones come back as zombies

    @rule(
        target=runs_started,
        graph=graphs(6)
        | graphs_with_rules(6)
        | graphs_with_rules(6)
        | st.just(graph_of(IRREGULAR))
        | st.just(graph_of(IRREGULAR, max_attempts=1)),
    )
    def start(self, graph: Graph) -> ModelRun:
        run = ModelRun(self.store.start(graph, '{"n": 1}'), graph)
        self.runs.append(run)
        return run

    @rule(target=attempts, run=runs_started, data=st.data(), lease=st.sampled_from([ALIVE, ALIVE, DEAD]))
    def deliver(self, run: ModelRun, data: st.DataObject, lease: str):
        """A message arrives; perhaps for a step that is taken, done or not free yet."""
        attempt = self._claim(run, data.draw(st.integers(0, len(run.graph.nodes) - 1)), lease)
        return multiple() if attempt is None else attempt

    @rule(target=attempts, attempt=attempts, data=st.data())
    def complete(self, attempt: Attempt, data: st.DataObject):
        children = self._run_of(attempt).graph.dependents[attempt.position]
        carried = data.draw(st.sampled_from(children)) if children and data.draw(st.booleans()) else None
        claimed = self._complete(attempt, carried)
        return multiple() if claimed is None else claimed

    @rule(run=runs_started, data=st.data())
    def work_on(self, run: ModelRun, data: st.DataObject) -> None:
        """Living workers take what is ready, so that more runs come to their ends than chance would have."""
        for _ in range(data.draw(st.integers(1, len(run.graph.nodes)))):
            ready = [position for position, step in run.steps.items() if step.status == "ready"]
            if not ready:
                return
            attempt = self._claim(run, data.draw(st.sampled_from(ready)), ALIVE)
            if attempt is None:
                return
            if data.draw(st.integers(0, 2)):
                self._complete(attempt, None)
            else:
                self.fail(attempt)

    def _claim(self, run: ModelRun, position: int, lease: str) -> Attempt | None:
        step = StepKey(run_id=run.id, position=position, name=run.graph.nodes[position].name)
        inputs = [parent for parent in run.graph.parents[position] if run.steps[parent].status == "completed"]
        claim = self.store.attempts.claim(step, lease=lease, inputs=inputs)
        assert (claim is not None) == run.claim(position, lease)
        if claim is None:
            return None
        assert claim.attempt.attempt == run.steps[position].attempt
        assert claim.run_input == '{"n": 1}'
        assert claim.results == {parent: run.steps[parent].result for parent in inputs}
        return claim.attempt

    def _complete(self, attempt: Attempt, carried: int | None) -> Attempt | None:
        """Complete an attempt; return the attempt of the next step if the completion claimed it."""
        run = self._run_of(attempt)
        was, result = run.status, f'"{attempt.name} {attempt.attempt}"'
        completion = self.store.complete(
            attempt, result, next_step=None if carried is None else run.graph.nodes[carried].name
        )
        expected = run.complete(attempt, result, carried)
        if expected is None:
            assert completion is None
            return None
        assert completion is not None
        freed, claimed = expected
        assert list(completion.ready) == freed
        assert (completion.claimed is not None) == claimed
        assert completion.run_ended == (was in OPEN and run.status not in OPEN)
        assert completion.run_status == run.status
        return completion.claimed

    @rule(attempt=attempts)
    def fail(self, attempt: Attempt) -> None:
        assert self.store.fail(attempt) == self._run_of(attempt).fail(attempt)

    @rule(attempt=attempts, is_due=st.booleans())
    def fail_for_now(self, attempt: Attempt, is_due: bool) -> None:  # drawn
        expected = self._run_of(attempt).fail_for_now(attempt, is_due=is_due)
        failed = self.store.fail(attempt, 0 if is_due else 3_600)
        assert failed == (False if expected else None)

    @rule()
    def fire_retries(self) -> None:
        fired = [(due.run_id, due.position) for due in self.store.reconciling.fire_retries(1_000)]
        mine = {run.id for run in self.runs}
        expected = [(run.id, position) for run in self.runs for position in run.fire()]
        assert sorted(found for found in fired if found[0] in mine) == sorted(expected)

    @rule(attempt=attempts)
    def time_out(self, attempt: Attempt) -> None:
        """The reconciler finds an attempt that takes too long."""
        self.store.execute(
            "UPDATE workflow_tasks SET timeout_at = now() - interval '1 s'"
            " WHERE run_id = :run AND position = :position AND attempt = :attempt AND status = 'running'",
            run=attempt.run_id,
            position=attempt.position,
            attempt=attempt.attempt,
        )
        late = [found.attempt for found in self.store.reconciling.timed_out(grace=timedelta(0), batch=1_000)]
        expected = self._run_of(attempt).fail(attempt)
        assert (attempt in late) == (expected is not None)
        assert self.store.fail(attempt) == expected

    @rule(attempt=attempts)
    def release(self, attempt: Attempt) -> None:
        assert self.store.attempts.release(attempt) == self._run_of(attempt).release(attempt)

    @rule(run=runs_started)
    def pause(self, run: ModelRun) -> None:
        assert bool(self.control.pause([run.id])) == run.pause()

    @rule(run=runs_started)
    def resume(self, run: ModelRun) -> None:
        assert bool(self.control.resume([run.id])) == run.resume()

    @rule(run=runs_started, how=st.sampled_from(["cancelled", "terminated"]))
    def end(self, run: ModelRun, how: str) -> None:
        act = self.control.cancel if how == "cancelled" else self.control.terminate
        assert bool(act([run.id], None)) == run.end(how)

    @rule(run=runs_started)
    def time_out_run(self, run: ModelRun) -> None:
        self.store.execute("UPDATE workflow_runs SET timeout_at = now() - interval '1 s' WHERE id = :run", run=run.id)
        assert (self.transitions.time_out(run.id, run.graph) is not None) == run.end("failed")

    @rule(run=runs_started)
    def retry(self, run: ModelRun) -> None:
        """Only so does anything that has ended go on."""
        kept = ("completed", "cancelled", "terminated")
        self.ended = {
            what: status for what, status in self.ended.items() if self.runs[what[0]] is not run or status in kept
        }
        assert (self.transitions.retry(run.id, run.graph, 3_600) is not None) == run.retry()

    @rule()
    def lose_what_dead_workers_hold(self) -> None:
        mine = {run.id for run in self.runs}  # earlier examples have left theirs in the same database
        lost = [(found.run_id, found.position) for found in self.store.lose(MAX_LOST) if found.run_id in mine]
        assert sorted(lost) == sorted((run.id, position) for run in self.runs for position in run.lose())

    @rule(attempt=attempts)
    def ask_whether_its_completion_landed(self, attempt: Attempt) -> None:
        step = self._run_of(attempt).steps[attempt.position]
        find_recorded_completion = self.store.attempts.find_recorded_completion(attempt, None) is not None
        assert find_recorded_completion == (step.status == "completed" and step.attempt == attempt.attempt)

    @invariant()
    def the_tables_say_what_the_model_says(self) -> None:
        for run in self.runs:
            found, tasks = self.store.reader.projections(run.id)
            assert found.status == run.status
            steps = run.steps.values()
            assert [(task.status, task.remaining, task.attempt, task.lost) for task in tasks] == [
                (step.status, step.remaining, step.attempt, step.lost) for step in steps
            ]
            counts = self.store.row(COUNTS, run=run.id)
            assert (counts.failed, counts.skipped) == (
                [step.failed for step in steps],
                [step.skipped for step in steps],
            )

    @invariant()
    def what_has_ended_stays_as_it_ended(self) -> None:
        for number, run in enumerate(self.runs):
            found = {None: run.status, **{i: step.status for i, step in run.steps.items()}}
            for what, status in found.items():
                if (number, what) in self.ended:
                    assert self.ended[number, what] == status
                elif status in TERMINAL:
                    self.ended[number, what] = status

    def teardown(self) -> None:
        audit = Audit(self.store.reader, self.store.runs)
        assert [wrong for _, wrong in audit.audit(run.id for run in self.runs) if wrong] == []

    def _run_of(self, attempt: Attempt) -> ModelRun:
        return next(run for run in self.runs if run.id == attempt.run_id)


def test_whatever_workers_and_operators_do_the_history_agrees_with_a_model_of_it(store):
    machine = type("FleetOnAStore", (Fleet,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
