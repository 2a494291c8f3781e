import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.workflows.engine.templates import (
    Constant,
    DictOf,
    InputPart,
    ListOf,
    MissingPart,
    OutcomePart,
    ResultPart,
    RunError,
    evaluate,
    from_json,
    needs_run_error,
    outcome_sources,
    result_sources,
    to_json,
)


@dataclass
class Known:
    """Values that are written down."""

    run_input: str
    results: Mapping[str, str]
    outcomes: Mapping[str, Any] = field(default_factory=dict)

    def result(self, node: str) -> str:
        return self.results[node]

    def outcome(self, node: str) -> Any:
        return self.outcomes[node]

    def run_error(self) -> Any:
        return {"type": "ValueError", "message": "The run failed."}


INPUT = json.dumps({"order": {"id": 7, "lines": [{"sku": "a"}, {"sku": "b"}]}})
RESULTS = {"charge": '{"amount": "12.50", "parts": [1, 2]}', "ship": '"sent"'}
VALUES = Known(INPUT, RESULTS)

keys = st.text(max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)
paths = st.lists(st.integers(0, 5) | keys, max_size=3).map(tuple)
leaves = (
    st.builds(Constant, value=plain)
    | st.builds(InputPart, parameter=keys, path=paths)
    | st.builds(ResultPart, node=keys, path=paths)
    | st.builds(OutcomePart, node=keys, path=paths)
    | st.builds(RunError, path=paths)
)
templates = st.recursive(
    leaves,
    lambda inner: (
        st.builds(ListOf, items=st.lists(inner, max_size=3).map(tuple))
        | st.builds(DictOf, items=st.dictionaries(keys, inner, max_size=3).map(lambda d: tuple(d.items())))
    ),
    max_leaves=10,
)


def value_of(template):
    return json.loads(evaluate(template, VALUES))


@given(templates)
def test_a_template_is_stored_as_json_and_read_back_as_itself(template):
    assert from_json(json.loads(json.dumps(to_json(template)))) == template


@given(plain)
def test_a_constant_is_itself(value):
    assert value_of(Constant(value=value)) == value


@given(st.lists(plain), st.dictionaries(keys, plain))
def test_lists_and_dicts_keep_their_order_and_their_keys(items, pairs):
    template = ListOf(items=tuple(Constant(value=item) for item in items))
    assert value_of(template) == items
    template = DictOf(items=tuple((key, Constant(value=value)) for key, value in pairs.items()))
    assert list(value_of(template).items()) == list(pairs.items())


class Asked(Known):
    """Values that remember which were asked for."""

    def __init__(self) -> None:
        super().__init__("{}", {})
        self.nodes: set[tuple[str, str]] = set()

    def result(self, node: str) -> str:
        self.nodes.add(("result", node))
        return "{}"

    def outcome(self, node: str) -> Any:
        self.nodes.add(("outcome", node))
        return {}


@given(templates)
def test_result_and_outcome_sources_are_what_evaluation_asks_for(template):
    asked = Asked()
    results = {("result", node) for node in result_sources(template)}
    told = results | {("outcome", node) for node in outcome_sources(template)}
    try:
        evaluate(template, asked)
    except MissingPart:
        assert asked.nodes <= told
    else:
        assert asked.nodes == told


def test_parts_of_outcomes_and_of_the_runs_error_are_found_by_path():
    values = Known("{}", {}, {"charge": {"status": "failed", "error": {"type": "ValueError"}}})
    assert evaluate(OutcomePart(node="charge", path=("error", "type")), values) == '"ValueError"'
    assert evaluate(RunError(path=("message",)), values) == '"The run failed."'
    assert needs_run_error(ListOf(items=(Constant(value=1), RunError())))
    assert not needs_run_error(OutcomePart(node="charge"))
    with pytest.raises(MissingPart, match="the outcome of 'charge' has no 'value'"):
        evaluate(OutcomePart(node="charge", path=("value",)), values)


def test_parts_of_the_input_and_of_results_are_found_by_path():
    assert value_of(InputPart(parameter="order", path=("lines", 1, "sku"))) == "b"
    assert value_of(ResultPart(node="charge", path=("parts", 0))) == 1
    assert value_of(ResultPart(node="charge", path=("parts", -1))) == 2
    assert value_of(ResultPart(node="ship")) == "sent"


def test_a_whole_result_is_passed_on_as_the_very_text_that_is_stored():
    text = '{"amount": 1.50000000000000000001,\n "big": 12345678901234567890123}'
    assert evaluate(ResultPart(node="charge"), Known("{}", {"charge": text})) == text


def test_symbols_inside_lists_and_dicts_are_filled_in():
    template = DictOf(
        items=(
            ("id", InputPart(parameter="order", path=("id",))),
            ("seen", ListOf(items=(ResultPart(node="ship"), Constant(value=3)))),
        )
    )
    assert value_of(template) == {"id": 7, "seen": ["sent", 3]}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (InputPart(parameter="customer"), "the input has no 'customer'"),
        (InputPart(parameter="order", path=("lines", 2)), "the input['order']['lines'] has no 2"),
        (ResultPart(node="charge", path=("currency",)), "the result of 'charge' has no 'currency'"),
        (ResultPart(node="ship", path=("id",)), "the result of 'ship' has no 'id'"),
        (ResultPart(node="charge", path=("parts", "x")), "the result of 'charge'['parts'] has no 'x'"),
        (ListOf(items=(ResultPart(node="charge", path=(0,)),)), "the result of 'charge' has no 0"),
    ],
)
def test_a_part_that_is_not_there_is_named(template, message):
    with pytest.raises(MissingPart) as caught:
        value_of(template)
    assert str(caught.value) == message


@pytest.mark.parametrize("data", [{}, {"symbol": "a"}, {"constnat": 1}])
def test_what_is_no_template_is_refused(data):
    with pytest.raises(ValueError, match="Not a template"):
        from_json(data)
