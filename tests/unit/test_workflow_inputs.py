"""The input of a workflow: validated, and written as JSON by parameter name."""

import json

import pytest

from celeriac import InputInvalid, workflow
from tests.support.orders import Order, collect, order_processing, validate


def test_input_is_validated_and_written_by_parameter_name_with_defaults():
    assert json.loads(order_processing.encode_input((Order(1),), {})) == {
        "order": {"id": 1, "lines": []},
        "express": False,
    }
    assert order_processing.encode_input((), {"express": "yes", "order": {"id": "1"}}) == order_processing.encode_input(
        (Order(1), True), {}
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ((), {}, "missing argument 'order'. Parameters: order: Order, express: bool (optional)."),
        ((1, 2, 3), {}, "3 positional arguments, where 2 fit. Parameters: order: Order, express: bool (optional)."),
        ((), {"ordr": 1}, "unexpected argument 'ordr'; did you mean 'order'? Parameters: order: Order, express: bool"),
        ((Order(1),), {"order": 2}, "argument 'order' is given twice. Parameters: "),
        (
            ({"id": "x"},),
            {},
            "parameter 'order': id: Input should be a valid integer, unable to parse string as an int",
        ),
        (
            (Order("x"),),
            {},
            "parameter 'order': id: Input should be a valid integer, unable to parse string as an inte",
        ),
        ((Order(1), 7), {}, "parameter 'express': Input should be a valid boolean, unable to interpret input, got 7"),
    ],
)
def test_input_that_does_not_fit_names_the_parameter_and_the_reason(args, kwargs, reason):
    with pytest.raises(InputInvalid) as caught:
        order_processing.encode_input(args, kwargs)
    assert str(caught.value).startswith(f"Input of workflow 'order' is not valid: {reason}")
    assert "\n" not in str(caught.value)


@workflow
def single(order: Order) -> None:
    validate(order)


@workflow
def optional(limit: int | None = 3) -> None:
    collect([limit])


@workflow
def without_input() -> None:
    collect([])


@pytest.mark.parametrize(
    ("definition", "value", "written"),
    [
        (order_processing, {"order": {"id": 1}}, {"order": {"id": 1, "lines": []}, "express": False}),
        (order_processing, {"express": True, "order": {"id": 1}}, {"order": {"id": 1, "lines": []}, "express": True}),
        (single, {"order": {"id": 1}}, {"order": {"id": 1, "lines": []}}),
        (single, {"id": 1}, {"order": {"id": 1, "lines": []}}),
        (optional, {}, {"limit": 3}),
        (optional, None, {"limit": 3}),
        (optional, 5, {"limit": 5}),
        (optional, {"limit": None}, {"limit": None}),
        (without_input, None, {}),
        (without_input, {}, {}),
    ],
)
def test_json_input_is_taken_by_name_or_as_the_only_parameter(definition, value, written):
    assert json.loads(definition.encode_json_input(value)) == written


@pytest.mark.parametrize(
    ("definition", "value", "reason"),
    [
        (order_processing, {"express": True}, "missing argument 'order'. Parameters: order: Order, express: bool (opt"),
        (order_processing, {"order": {}, "x": 1}, "unexpected argument 'x'. Parameters: order: Order"),
        (order_processing, [1], "it must be a JSON object by parameter name. Parameters: order: Order, express: bool"),
        (order_processing, None, "it must be a JSON object by parameter name. Parameters: order: Order, express"),
        (order_processing, {"order": {"id": []}}, "parameter 'order': id: Input should be a valid integer"),
        (single, None, "parameter 'order': Input should be an object, got None"),
        (single, {"ordr": {"id": 1}}, "parameter 'order': id: Field required"),
        (optional, float("nan"), "parameter 'limit': NaN and infinity have no JSON"),
        (without_input, 3, "it must be a JSON object by parameter name. It has no parameters."),
        (without_input, {"a": 1}, "unexpected argument 'a'. It has no parameters."),
    ],
)
def test_json_input_that_does_not_fit_says_what_would(definition, value, reason):
    with pytest.raises(InputInvalid) as caught:
        definition.encode_json_input(value)
    assert str(caught.value).startswith(f"Input of workflow {definition.name!r} is not valid: {reason}")
