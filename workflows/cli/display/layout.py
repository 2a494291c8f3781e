"""The layout of a graph on a page: a column of lines, forks indented, every step once.

A step with a single parent stands below that parent: on the same level as an only
child, indented if it has siblings. A step with several parents is a join: it stands on
the level of its immediate dominator (the last step that all its paths have in common),
after the branches, and names its parents. So a line that names no parents follows the
nearest line above it, in any graph, and a chain of 1,000 steps is not indented at all.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

COLLAPSE_FROM = 6  # so many alike siblings share a line

_TOP = -1  # stands for the run itself, the parent of all steps without parents
_BRANCH = ("├─ ", "│  ")  # drawn before a branch, and before the lines below it
_LAST_BRANCH = ("└─ ", "   ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the page."""

    positions: tuple[int, ...]  # a step, or collapsed siblings
    guide: str  # drawn before the step: '│  ├─ '
    joins: bool  # whether the line names its parents


def arrange(parents: Sequence[Sequence[int]], alike: Callable[[int], Hashable | None] | None = None) -> list[Row]:
    """Return the rows of a graph from top to bottom.

    Args:
        parents: For each position, the positions of its parents. There must be no
            cycle.
        alike: A key for each position. Leaf siblings with the same key collapse if
            there are ``COLLAPSE_FROM`` or more; siblings whose key is None do not.
            None: nothing collapses.
    """
    below: dict[int, list[int]] = {position: [] for position in range(_TOP, len(parents))}
    for position, dominator in _dominators(parents).items():
        below[dominator].append(position)
    keys = [None if below[position] or alike is None else alike(position) for position in range(len(parents))]

    rows: list[Row] = []
    # The stack holds the lines to draw, the next on top: the positions of a line, the
    # guide before it, and the guide before the lines below it.
    stack: list[tuple[tuple[int, ...], str, str]] = []

    def push_below(position: int, level: str) -> None:
        children = below[position]
        branches = _collapsed([child for child in children if len(parents[child]) <= 1], keys)
        joins = [(child,) for child in children if len(parents[child]) > 1]
        stack.extend((line, level, level) for line in reversed(joins))
        if len(branches) == 1:
            stack.append((branches[0], level, level))
            return
        for number, line in enumerate(reversed(branches)):
            fork, pass_by = _LAST_BRANCH if number == 0 else _BRANCH
            stack.append((line, level + fork, level + pass_by))

    push_below(_TOP, "")
    while stack:
        positions, guide, level = stack.pop()
        rows.append(Row(positions=positions, guide=guide, joins=len(parents[positions[0]]) > 1))
        if len(positions) == 1:
            push_below(positions[0], level)
    return rows


def _dominators(parents: Sequence[Sequence[int]]) -> dict[int, int]:
    """Return the immediate dominator of each position, in topological order.

    By Cooper, Harvey and Kennedy.
    """
    dominator: dict[int, int] = {}
    depth = {_TOP: 0}
    for position in _topological(parents):
        common = parents[position][0] if parents[position] else _TOP
        for other in parents[position][1:]:
            common = _nearest_common(common, other, dominator, depth)
        dominator[position] = common
        depth[position] = depth[common] + 1
    return dominator


def _nearest_common(one: int, other: int, dominator: Mapping[int, int], depth: Mapping[int, int]) -> int:
    """Return where the paths from two positions up to the top first meet."""
    while one != other:
        if depth[one] < depth[other]:
            one, other = other, one
        one = dominator[one]
    return one


def _topological(parents: Sequence[Sequence[int]]) -> Iterable[int]:
    """Yield every position after its parents, otherwise in order of definition."""
    children: list[list[int]] = [[] for _ in parents]
    for child, its_parents in enumerate(parents):
        for parent in its_parents:
            children[parent].append(child)
    missing = [len(its_parents) for its_parents in parents]
    free = [position for position, count in enumerate(missing) if count == 0]
    while free:
        position = heapq.heappop(free)
        yield position
        for child in children[position]:
            missing[child] -= 1
            if missing[child] == 0:
                heapq.heappush(free, child)


def _collapsed(branches: Sequence[int], keys: Sequence[Hashable | None]) -> list[tuple[int, ...]]:
    """Return the branches as lines; alike branches share the line of the first."""
    count = Counter(keys[position] for position in branches)
    lines: dict[Hashable, list[int]] = {}
    for position in branches:
        key = keys[position]
        collapses = key is not None and count[key] >= COLLAPSE_FROM
        lines.setdefault((key,) if collapses else position, []).append(position)
    return [tuple(positions) for positions in lines.values()]
