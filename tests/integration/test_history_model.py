"""The history against a small model of itself: whatever workers and operators do, in whatever order, both agree."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from celeriac.workflows.client.audit import Audit
from celeriac.workflows.engine.graph import Graph
from celeriac.workflows.history.records import Attempt, StepKey
from tests.support.graphs import IRREGULAR, graph_of, graphs
from tests.support.store import ALIVE, DEAD, Store

MAX_LOST = 2
GOES_ON = ("pending", "running")
OPEN = (*GOES_ON, "paused")
TERMINAL = ("completed", "failed", "cancelled", "terminated")


@dataclass
class ModelStep:
    remaining: int
    status: str
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
    steps: list[ModelStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = [ModelStep(len(parents), "pending" if parents else "ready") for parents in self.graph.parents]

    def claim(self, position: int, lease: str) -> bool:
        step = self.steps[position]
        if step.status != "ready" or self.status not in GOES_ON:
            return False
        step.status, step.attempt, step.lease = "running", step.attempt + 1, lease
        self.status = "running"
        return True

    def complete(self, attempt: Attempt, result: str, next_step: int | None) -> tuple[list[int], bool] | None:
        step = self.steps[attempt.position]
        if step.status != "running" or step.attempt != attempt.attempt:
            return None
        step.status, step.result = "completed", result
        freed = []
        for child in self.graph.dependents[attempt.position]:
            self.steps[child].remaining -= 1
            if self.steps[child].remaining == 0:
                self.steps[child].status = "ready"
                freed.append(child)
        carried = next_step in freed and self.claim(next_step, attempt.lease)
        if self.status in ("running", "paused") and all(
            self.steps[sink].status == "completed" for sink in self.graph.sinks
        ):
            self.status = "completed"
        return [child for child in freed if not carried or child != next_step], carried

    def fail(self, attempt: Attempt) -> bool | None:
        step = self.steps[attempt.position]
        if step.status != "running" or step.attempt != attempt.attempt:
            return None
        step.status = "failed"
        return self._end()

    def fail_for_now(self, attempt: Attempt, *, is_due: bool) -> bool:
        step = self.steps[attempt.position]
        if step.status != "running" or step.attempt != attempt.attempt:
            return False
        step.status, step.is_due = "retrying", is_due
        return True

    def fire(self) -> list[int]:
        if self.status not in GOES_ON:
            return []
        fired = [i for i, step in enumerate(self.steps) if step.status == "retrying" and step.is_due]
        for position in fired:
            self.steps[position].status = "ready"
        return fired

    def release(self, attempt: Attempt) -> bool:
        step = self.steps[attempt.position]
        if step.status != "running" or step.attempt != attempt.attempt:
            return False
        step.status, step.before = "ready", step.before + 1
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
        for step in self.steps:
            if step.status == "failed":
                step.status, step.lost, step.before = "ready", 0, step.attempt
            elif step.status == "retrying":
                step.is_due = True
        self.status = self._going_on()
        return True

    def _going_on(self) -> str:
        return "running" if any(step.attempt for step in self.steps) else "pending"

    def lose(self) -> list[int]:
        """End what dead workers hold; return what is ready again."""
        lost = [i for i, step in enumerate(self.steps) if step.status == "running" and step.lease == DEAD]
        for position in lost:
            step, limit = self.steps[position], self.graph.nodes[position].max_attempts
            step.lost += 1
            gives_up = step.lost >= MAX_LOST or (limit is not None and step.attempt - step.before >= limit)
            step.status = "failed" if gives_up else "ready"
            if gives_up:
                self._end()
        return [position for position in lost if self.steps[position].status == "ready"]

    def _end(self) -> bool:
        return self.end("failed")


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
        graph=graphs(6) | st.just(graph_of(IRREGULAR)) | st.just(graph_of(IRREGULAR, max_attempts=1)),
    )
    def start(self, graph: Graph) -> ModelRun:
        run = ModelRun(self.store.start(graph, '{"n": 1}'), graph)
        self.runs.append(run)
        return run

    @rule(target=attempts, run=runs_started, data=st.data(), lease=st.sampled_from([ALIVE, ALIVE, DEAD]))
    def deliver(self, run: ModelRun, data: st.DataObject, lease: str):
        """A message arrives; perhaps for a step that is taken, done or not free yet."""
        position = data.draw(st.integers(0, len(run.graph.nodes) - 1))
        step = StepKey(run_id=run.id, position=position, name=run.graph.nodes[position].name)
        claim = self.store.attempts.claim(step, lease=lease, inputs=run.graph.parents[position])
        assert (claim is not None) == run.claim(position, lease)
        if claim is None:
            return multiple()
        assert claim.attempt.attempt == run.steps[position].attempt
        assert claim.run_input == '{"n": 1}'
        assert claim.results == {parent: run.steps[parent].result for parent in run.graph.parents[position]}
        return claim.attempt

    @rule(target=attempts, attempt=attempts, data=st.data())
    def complete(self, attempt: Attempt, data: st.DataObject):
        run = self._run_of(attempt)
        was = run.status
        children = run.graph.dependents[attempt.position]
        carried = data.draw(st.sampled_from(children)) if children and data.draw(st.booleans()) else None
        result = f'"{attempt.name} {attempt.attempt}"'
        completion = self.store.complete(
            attempt, result, next_step=None if carried is None else run.graph.nodes[carried].name
        )
        expected = run.complete(attempt, result, carried)
        if expected is None:
            assert completion is None
            return multiple()
        assert completion is not None
        freed, claimed = expected
        assert list(completion.ready) == (freed if was in GOES_ON else []), "only a run that goes on is dispatched"
        assert (completion.claimed is not None) == claimed
        assert completion.run_ended == (run.status == "completed")
        assert completion.run_status == run.status
        return completion.claimed if completion.claimed is not None else multiple()

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
        self.ended = {
            what: status for what, status in self.ended.items() if self.runs[what[0]] is not run or status != "failed"
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
            assert [(task.status, task.remaining, task.attempt, task.lost) for task in tasks] == [
                (step.status, step.remaining, step.attempt, step.lost) for step in run.steps
            ]

    @invariant()
    def what_has_ended_stays_as_it_ended(self) -> None:
        for number, run in enumerate(self.runs):
            found = {None: run.status, **{i: step.status for i, step in enumerate(run.steps)}}
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
