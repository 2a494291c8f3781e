"""Which steps of a failed run are tried again when it is retried."""

import pytest

from celeriac.workflows.engine.graph import FailurePolicy, Graph, Needs, Node
from celeriac.workflows.engine.progress import Progress, initial_steps, reset_failed
from celeriac.workflows.engine.states import StepStatus

COMPLETED, FAILED, READY = StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.READY
PENDING, SKIPPED, UPSTREAM_FAILED = StepStatus.PENDING, StepStatus.SKIPPED, StepStatus.UPSTREAM_FAILED


def graph_of(*nodes: Node) -> Graph:
    return Graph(workflow="tested", version="1", nodes=nodes, failure_policy=FailurePolicy.CONTINUE)


def retried(graph: Graph, **statuses: StepStatus) -> tuple[list[str], dict[str, StepStatus]]:
    """Return the names of the steps that are tried again, and the statuses of all steps then."""
    names = [node.name for node in graph.nodes]
    steps = dict(enumerate(initial_steps(graph)))
    for name, status in statuses.items():
        steps[graph.position[name.replace("_on_error", ".on_error")]] = Progress(remaining=0, status=status)
    reset, _ = reset_failed(graph, steps)
    return [names[position] for position in reset], {names[i]: step.status for i, step in steps.items()}


ANYWAY = graph_of(
    Node(name="a", task="a"),
    Node(name="join", task="join", after=("a",), needs=Needs.ALL_DONE),
    Node(name="z", task="z"),
)


def test_a_failure_that_a_join_made_good_is_not_tried_again():
    reset, statuses = retried(ANYWAY, a=FAILED, join=COMPLETED, z=FAILED)
    assert reset == ["z"]
    assert statuses == {"a": FAILED, "join": COMPLETED, "z": READY}


def test_a_failure_whose_join_failed_as_well_is_tried_again_and_the_join_waits_for_it():
    reset, statuses = retried(ANYWAY, a=FAILED, join=FAILED, z=COMPLETED)
    assert reset == ["a", "join"]
    assert statuses["a"] is READY


def test_a_failure_that_one_of_two_joins_made_good_is_tried_again():
    graph = graph_of(
        Node(name="a", task="a"),
        Node(name="anyway", task="anyway", after=("a",), needs=Needs.ALL_DONE),
        Node(name="strict", task="strict", after=("a",)),
    )
    reset, statuses = retried(graph, a=FAILED, anyway=COMPLETED, strict=UPSTREAM_FAILED)
    assert reset == ["a"]
    assert statuses == {"a": READY, "anyway": COMPLETED, "strict": PENDING}


def test_a_failure_that_nothing_depends_on_is_tried_again():
    assert retried(graph_of(Node(name="a", task="a")), a=FAILED) == (["a"], {"a": READY})


HANDLED = graph_of(
    Node(name="a", task="a"),
    Node(name="a.on_error", task="handle", handles="a"),
    Node(name="child", task="child", after=("a",)),
)


@pytest.mark.parametrize("child", [FAILED, COMPLETED])
def test_a_failure_that_its_handler_made_good_is_not_tried_again(child):
    reset, statuses = retried(HANDLED, a=FAILED, a_on_error=COMPLETED, child=child)
    assert reset == ([] if child is COMPLETED else ["child"])
    assert (statuses["a"], statuses["a.on_error"]) == (FAILED, COMPLETED)


def test_a_failure_whose_handler_failed_is_tried_again_and_the_handler_waits_for_it():
    reset, statuses = retried(HANDLED, a=FAILED, a_on_error=FAILED, child=UPSTREAM_FAILED)
    assert reset == ["a"]
    assert statuses == {"a": READY, "a.on_error": PENDING, "child": PENDING}
