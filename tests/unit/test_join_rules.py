"""Join rules: what each makes of every combination of outcomes of three parents, and when it can tell."""

from itertools import permutations, product

import pytest

from celeriac.workflows.engine.graph import (
    FailurePolicy,
    Graph,
    Needs,
    Node,
)
from celeriac.workflows.engine.progress import initial_steps, propagate
from celeriac.workflows.engine.states import StepStatus

C, F, B, S = StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED
RUNS, UPSTREAM_FAILED, SKIPPED = StepStatus.READY, StepStatus.UPSTREAM_FAILED, StepStatus.SKIPPED

# The decision on the join, by its rule, and by how many of its three parents completed, are failures (failed or
# upstream_failed), and were skipped.
TABLE = {
    #                 all_succeeded  all_done  any_succeeded  none_failed  one_failed
    (3, 0, 0): (RUNS, RUNS, RUNS, RUNS, SKIPPED),
    (2, 1, 0): (UPSTREAM_FAILED, RUNS, RUNS, UPSTREAM_FAILED, RUNS),
    (1, 2, 0): (UPSTREAM_FAILED, RUNS, RUNS, UPSTREAM_FAILED, RUNS),
    (0, 3, 0): (UPSTREAM_FAILED, RUNS, UPSTREAM_FAILED, UPSTREAM_FAILED, RUNS),
    (2, 0, 1): (SKIPPED, RUNS, RUNS, RUNS, SKIPPED),
    (1, 1, 1): (UPSTREAM_FAILED, RUNS, RUNS, UPSTREAM_FAILED, RUNS),
    (0, 2, 1): (UPSTREAM_FAILED, RUNS, UPSTREAM_FAILED, UPSTREAM_FAILED, RUNS),
    (1, 0, 2): (SKIPPED, RUNS, RUNS, RUNS, SKIPPED),
    (0, 1, 2): (UPSTREAM_FAILED, RUNS, UPSTREAM_FAILED, UPSTREAM_FAILED, RUNS),
    (0, 0, 3): (SKIPPED, RUNS, SKIPPED, RUNS, SKIPPED),
}
RULES = (Needs.ALL_SUCCEEDED, Needs.ALL_DONE, Needs.ANY_SUCCEEDED, Needs.NONE_FAILED, Needs.ONE_FAILED)
# After the ends of how many parents the rule has made up its mind, if they end in this order.
EAGER = {
    (Needs.ALL_SUCCEEDED, (C, F, C)): 2,
    (Needs.ALL_SUCCEEDED, (S, C, C)): 3,
    (Needs.ALL_DONE, (F, C, C)): 3,
    (Needs.ANY_SUCCEEDED, (F, C, F)): 2,
    (Needs.ANY_SUCCEEDED, (F, F, F)): 3,
    (Needs.NONE_FAILED, (C, F, C)): 2,
    (Needs.NONE_FAILED, (C, S, C)): 3,
    (Needs.ONE_FAILED, (C, F, C)): 2,
    (Needs.ONE_FAILED, (C, B, C)): 2,
    (Needs.ONE_FAILED, (C, C, C)): 3,
}


def join(needs: Needs) -> Graph:
    parents = [Node(name=name, task=name) for name in ("a", "b", "c")]
    tail = Node(name="join", task="join", after=("a", "b", "c"), needs=needs)
    return Graph(workflow="tested", version="1", nodes=(*parents, tail), failure_policy=FailurePolicy.CONTINUE)


def verdicts(needs: Needs, ends: dict[int, StepStatus]) -> list[StepStatus]:
    """The join's status after each parent's end, in this order."""
    graph = join(needs)
    steps = dict(enumerate(initial_steps(graph)))
    found = []
    for position, end in ends.items():
        steps[position].status = end
        propagate(graph, steps, position)
        found.append(steps[3].status)
    return found


@pytest.mark.parametrize(
    ("needs", "ends"), [(needs, ends) for needs in RULES for ends in product([C, F, B, S], repeat=3)]
)
def test_a_join_becomes_what_the_table_says_in_whatever_order_its_parents_end(needs, ends):
    key = (ends.count(C), ends.count(F) + ends.count(B), ends.count(S))
    for order in permutations(range(3)):
        assert verdicts(needs, {i: ends[i] for i in order})[-1] is TABLE[key][RULES.index(needs)]


@pytest.mark.parametrize(("needs", "ends"), EAGER)
def test_a_join_that_can_tell_does_not_wait_for_its_other_parents(needs, ends):
    found = verdicts(needs, dict(enumerate(ends)))
    decided = EAGER[needs, ends]
    assert found[: decided - 1] == [StepStatus.PENDING] * (decided - 1)
    assert StepStatus.PENDING not in found[decided - 1 :]


def test_the_table_has_every_combination():
    counts = {(ends.count(C), ends.count(F), ends.count(S)) for ends in product([C, F, S], repeat=3)}
    assert set(TABLE) == counts
