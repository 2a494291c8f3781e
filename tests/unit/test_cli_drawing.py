from workflows.cli import drawing
from workflows.graph import Graph, Node
from workflows.templates import ResultPart

IRREGULAR = Graph(
    workflow="irregular",
    version="1",
    nodes=(
        Node(name="prepare", step="prepare"),
        Node(name="a", step="work", after=("prepare",), queue="fast"),
        Node(name="b", step="work", after=("prepare",), max_attempts=1),
        Node(name="c", step="c", arguments={"x": ResultPart(node="prepare")}),
        Node(name="aggregate", step="aggregate", after=("a", "b", "c")),
        Node(name="validate", step="validate", arguments={"x": ResultPart(node="c")}),
        Node(name="notify", step="notify", after=("aggregate", "validate"), priority=0),
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
    positions = [p for _, canvas in found for stretch in (*canvas.stretches, canvas.body) for p in stretch]
    assert sorted(positions) == list(range(7))
    assert found[0][0] == ()
    assert drawing.canvases_as_text(IRREGULAR).splitlines()[0] == "at the start: prepare"
