from celeriac.workflows.cli.display import drawing
from celeriac.workflows.engine.graph import (
    FailurePolicy,
    Graph,
    Needs,
    Node,
)
from celeriac.workflows.engine.retry import Retry
from celeriac.workflows.engine.templates import ResultPart

IRREGULAR = Graph(
    workflow="irregular",
    version="1",
    nodes=(
        Node(name="prepare", task="prepare"),
        Node(name="a", task="work", after=("prepare",), queue="fast"),
        Node(name="b", task="work", after=("prepare",), max_attempts=1),
        Node(name="c", task="c", arguments={"x": ResultPart(node="prepare")}),
        Node(name="aggregate", task="aggregate", after=("a", "b", "c")),
        Node(name="validate", task="validate", arguments={"x": ResultPart(node="c")}),
        Node(name="notify", task="notify", after=("aggregate", "validate"), priority=0),
    ),
)


def test_a_graph_is_drawn_as_text_with_the_options_of_its_steps():
    assert drawing.as_text(IRREGULAR).splitlines() == [
        "prepare",
        "├─ a (work, queue fast)",
        "├─ b (work, up to 1 attempt)",
        "└─ c",
        "   validate",
        "aggregate ← a, b, c",
        "notify (priority 0) ← aggregate, validate",
    ]


def test_a_graph_tells_how_its_steps_are_retried_and_when_they_time_out():
    steady = Retry(max_attempts=2, backoff="constant", delay=5)
    picky = Retry(max_attempts=5, retry_on=(OSError,), give_up_on=(PermissionError, FileNotFoundError))
    graph = Graph(
        workflow="patient",
        version="1",
        nodes=(
            Node(name="a", task="a", retry=steady.to_json(), timeout=30.0),
            Node(name="b", task="b", retry=picky.to_json(), max_attempts=4),
            Node(name="c", task="c", total_timeout=600.0, heartbeat_timeout=1.5),
        ),
        timeout=7200.0,
    )
    assert drawing.as_text(graph).splitlines() == [
        "├─ a (up to 2 attempts, waits of 5.0 s, timeout 30.0 s)",
        (
            "├─ b (up to 4 attempts, waits from 1.0 s, exponential, at most 5 min, retries OSError, "
            "gives up on PermissionError, FileNotFoundError)"
        ),
        "└─ c (total timeout 10 min, heartbeat timeout 1.5 s)",
    ]
    assert " · timeout 2 h · " in drawing.summary(graph)


def test_mermaid_and_graphviz_tell_data_from_order():
    mermaid = drawing.as_mermaid(IRREGULAR).splitlines()
    assert mermaid[0] == "flowchart TD"
    assert '    n0["prepare"]' in mermaid
    assert "    n0 -.-> n1" in mermaid
    assert "    n0 --> n3" in mermaid
    dot = drawing.as_dot(IRREGULAR).splitlines()
    assert dot[0] == 'digraph "irregular" {'
    assert "    n0 -> n1 [style=dashed];" in dot
    assert "    n0 -> n3;" in dot
    assert dot[-1] == "}"


def test_every_step_is_in_exactly_one_of_the_canvases():
    found = drawing.published(IRREGULAR)
    positions = [p for _, canvas in found for segment in (*canvas.segments, canvas.body) for p in segment]
    assert sorted(positions) == list(range(7))
    assert found[0][0] == ()
    assert drawing.canvases_as_text(IRREGULAR).splitlines()[0] == "at the start: prepare"


def test_what_belongs_to_another_step_or_to_the_end_of_the_run_is_drawn_as_that():
    nodes = (
        Node(name="pay", task="pay"),
        Node(name="pay.on_error", task="mend", handles="pay"),
        Node(name="report", task="report", after=("pay",), needs=Needs.ALL_DONE),
        Node(name="pay.compensate", task="refund", compensates="pay"),
        Node(name="on_failure", task="alert", hook="on_failure"),
    )
    graph = Graph(workflow="shop", version="1", nodes=nodes, saga=True, failure_policy=FailurePolicy.CONTINUE)
    assert drawing.as_text(graph).splitlines() == [
        "pay",
        "├─ pay.on_error (mend, on error of pay)",
        "└─ report (needs all_done)",
        "pay.compensate (refund, ↩ compensates pay)",
        "on_failure (alert, after the run)",
    ]
    assert "· 3 steps · saga · continues after failures ·" in drawing.summary(graph)
    assert drawing.canvases_as_text(graph) == "at the start: pay\nafter pay: report"
