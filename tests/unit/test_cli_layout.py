from hypothesis import given
from hypothesis import strategies as st

from celeriac.workflows.cli.display.layout import COLLAPSE_FROM, arrange


def drawn(names: list[str], edges: list[tuple[str, str]], collapsed: str = "") -> list[str]:
    parents = [[names.index(parent) for parent, child in edges if child == name] for name in names]
    rows = arrange(parents, lambda position: names[position][0] if names[position][0] in collapsed else None)
    lines = []
    for row in rows:
        shown = "+".join(names[position] for position in row.positions)
        joined = ",".join(names[parent] for parent in parents[row.positions[0]]) if row.joins else ""
        lines.append(f"{row.guide}{shown}{' <- ' if joined else ''}{joined}")
    return lines


def test_a_chain_is_not_indented():
    assert drawn(["a", "b", "c"], [("a", "b"), ("b", "c")]) == ["a", "b", "c"]


def test_branches_are_indented_and_their_join_is_not():
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e")]
    assert drawn(["a", "b", "c", "d", "e"], edges) == ["a", "├─ b", "└─ c", "d <- b,c", "e"]


def test_a_graph_that_is_not_series_parallel_names_the_parents_of_its_joins():
    names = ["prepare", "a", "b", "c", "aggregate", "validate", "notify"]
    edges = [("prepare", "a"), ("prepare", "b"), ("prepare", "c")]
    edges += [("a", "aggregate"), ("b", "aggregate"), ("c", "aggregate"), ("c", "validate")]
    edges += [("aggregate", "notify"), ("validate", "notify")]
    assert drawn(names, edges) == [
        "prepare",
        "├─ a",
        "├─ b",
        "└─ c",
        "   validate",
        "aggregate <- a,b,c",
        "notify <- aggregate,validate",
    ]


def test_a_fork_inside_a_branch_stays_inside_of_it():
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("b", "e"), ("d", "f"), ("e", "f")]
    assert drawn(["a", "b", "c", "d", "e", "f"], edges) == ["a", "├─ b", "│  ├─ d", "│  └─ e", "│  f <- d,e", "└─ c"]


def test_several_first_steps_are_branches_of_the_run():
    assert drawn(["a", "b", "c"], [("a", "c"), ("b", "c")]) == ["├─ a", "└─ b", "c <- a,b"]


def test_many_alike_leaves_share_a_line_and_the_others_keep_theirs():
    names = ["root", *(f"x{i}" for i in range(COLLAPSE_FROM)), "y"]
    edges = [("root", name) for name in names[1:]]
    assert drawn(names, edges, collapsed="xy") == ["root", f"├─ {'+'.join(names[1:-1])}", "└─ y"]


def test_a_step_that_others_follow_is_never_collapsed():
    names = ["root", *(f"x{i}" for i in range(COLLAPSE_FROM)), "y"]
    edges = [("root", name) for name in names[1:-1]] + [("x0", "y")]
    assert len(drawn(names, edges, collapsed="x")) == len(names)


def test_a_step_defined_before_its_parent_stands_after_it():
    assert drawn(["b", "a"], [("a", "b")]) == ["a", "b"]


def test_deep_and_wide_graphs_do_not_exhaust_the_stack():
    comb = [[]] + [[i - 1 if i % 2 else max(i - 2, 0)] for i in range(1, 4000)]
    assert len(arrange(comb)) == 4000
    assert len(arrange([[], *([0] for _ in range(2000)), list(range(1, 2001))])) == 2002


@given(
    st.lists(st.integers(min_value=0, max_value=2**16), max_size=25).map(
        lambda masks: [[p for p in range(i) if mask >> p & 1] for i, mask in enumerate(masks)]
    )
)
def test_every_step_is_drawn_once_and_after_its_parents(parents):
    order = [position for row in arrange(parents) for position in row.positions]
    assert sorted(order) == list(range(len(parents)))
    line = {position: number for number, position in enumerate(order)}
    assert all(line[parent] < line[child] for child, its in enumerate(parents) for parent in its)
