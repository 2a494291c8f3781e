"""From the body of a workflow to its graph."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from celeriac import DefinitionError, workflow
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.templates import Constant, DictOf, InputPart, ListOf, ResultPart
from tests.support.orders import (
    Order,
    Parcel,
    charge,
    collect,
    order_processing,
    order_processing_body,
    post,
    ship,
    validate,
)


def test_body_becomes_a_graph():
    assert order_processing.graph == Graph(
        workflow="order",
        version="7",
        nodes=(
            Node(name="validate", task="validate", arguments={"order": InputPart(parameter="order")}),
            Node(
                name="charge",
                task="charge",
                arguments={"order": InputPart(parameter="order"), "note": Constant(value="hi")},
                after=("validate",),
                queue="fast",
                priority=3,
                max_attempts=2,
            ),
            Node(
                name="ship",
                task="ship",
                arguments={
                    "order": ResultPart(node="validate"),
                    "amount": ResultPart(node="charge", path=("amount",)),
                    "labels": ListOf(
                        items=(Constant(value="a"), ResultPart(node="charge", path=("order", "lines", 0)))
                    ),
                },
            ),
            Node(
                name="collect",
                task="collect",
                arguments={
                    "parts": ListOf(items=(ResultPart(node="validate"), InputPart(parameter="express"))),
                    "by_name": DictOf(
                        items=(
                            ("paid", ResultPart(node="charge")),
                            ("parcel", ListOf(items=(ResultPart(node="ship", path=("id",)),))),
                        )
                    ),
                },
            ),
            Node(name="validate-2", task="validate", arguments={"order": InputPart(parameter="order")}),
        ),
        returns=ResultPart(node="ship"),
    )
    assert Graph.from_json(json.loads(json.dumps(order_processing.graph.to_json()))) == order_processing.graph


def test_calling_the_same_body_again_gives_the_same_graph():
    again = workflow(name="order", version="7")(order_processing_body)
    assert again.graph.hash == order_processing.graph.hash


def test_workflow_tells_what_it_is():
    assert (order_processing.name, order_processing.version) == ("order", "7")
    assert order_processing.module == "tests.support.orders"
    assert order_processing.steps == {"validate": validate, "charge": charge, "ship": ship, "collect": collect}
    assert repr(order_processing) == "<workflow 'order' of tests.support.orders>"

    @workflow
    def bare() -> None:
        """Do nothing much."""
        collect([])

    assert (bare.name, bare.version, bare.__doc__) == ("bare", "1", "Do nothing much.")


def graph_of(body: Callable[..., Any]) -> Graph:
    return workflow(body).graph


def test_step_used_often_is_numbered_and_names_given_are_kept():
    def often() -> None:
        collect([])
        collect.options(name="collect-2")([])
        collect([])
        collect.options(name="last")([])

    assert [node.name for node in graph_of(often).nodes] == ["collect", "collect-2", "collect-3", "last"]


def test_constants_are_converted_to_what_the_parameter_takes():
    def constants() -> None:
        charge(Order(1, ["a"]))
        charge({"id": "2"})
        post(Parcel(id=3))
        collect((date(2026, 1, 2), timedelta(hours=1), {Decimal(1)}))

    values = [part.value for node in graph_of(constants).nodes for part in node.arguments.values()]
    assert values == [
        {"id": 1, "lines": ["a"]},
        {"id": 2, "lines": []},
        {"id": 3, "size": 0},
        ["2026-01-02", "PT1H", ["1"]],
    ]


def test_constants_beside_symbols_are_converted_to_what_is_expected_there():
    def mixed(number: int) -> None:
        validate({"id": number, "lines": ("a", "b")})
        post({"id": "3", "size": validate({"id": 1}).id})

    first, _, second = graph_of(mixed).nodes
    assert first.arguments["order"] == DictOf(
        items=(("id", InputPart(parameter="number")), ("lines", Constant(value=["a", "b"])))
    )
    assert second.arguments["parcel"].items[0] == ("id", Constant(value=3))


def test_keys_of_a_dict_beside_symbols_become_texts():
    def keys(order: Order) -> None:
        collect([], by_name={1: order, date(2026, 1, 2): 3})

    assert graph_of(keys).nodes[0].arguments["by_name"] == DictOf(
        items=(("1", InputPart(parameter="order")), ("2026-01-02", Constant(value=3)))
    )


def test_defaults_of_steps_are_left_to_the_step():
    def defaults(order: Order) -> None:
        charge(order)

    assert graph_of(defaults).nodes[0].arguments.keys() == {"order"}


def test_order_without_data_may_be_given_by_a_part_of_a_result_and_is_not_doubled():
    def ordered(order: Order) -> None:
        first, second = validate(order), validate(order)
        charge.options(after=(first.lines[0], second, first))(second)

    assert graph_of(ordered).nodes[2].after == ("validate",)
    assert graph_of(ordered).nodes[2].parents == ("validate-2", "validate")


def test_use_with_options_may_be_shared_by_workflows():
    urgent = charge.options(queue="urgent", priority=0)

    def sharing(order: Order) -> None:
        urgent(order)
        urgent(order)

    assert [(node.name, node.queue) for node in graph_of(sharing).nodes] == [
        ("charge", "urgent"),
        ("charge-2", "urgent"),
    ]


@pytest.mark.parametrize(
    ("returned", "template"),
    [
        (lambda _, paid: paid.amount, ResultPart(node="charge", path=("amount",))),
        (lambda order, _: order.id, InputPart(parameter="order", path=("id",))),
        (lambda *_: None, None),
        (lambda *_: 3, Constant(value=3)),
        (
            lambda _, paid: {"paid": [paid], "at": date(2026, 1, 2)},
            DictOf(items=(("paid", ListOf(items=(ResultPart(node="charge"),))), ("at", Constant(value="2026-01-02")))),
        ),
    ],
)
def test_result_of_a_run_may_be_made_of_results_input_and_constants(returned, template):
    def returning(order: Order):
        return returned(order, charge(order))

    assert graph_of(returning).returns == template


def test_result_comes_back_as_annotated():
    assert order_processing.decode_result('{"id":3}') == Parcel(id=3)


def test_result_without_an_annotation_comes_back_as_the_step_has_it():
    @workflow
    def unannotated(order: Order):
        return charge(order).amount

    assert unannotated.decode_result('"1.5"') == Decimal("1.5")


def test_result_that_no_longer_fits_says_so():
    with pytest.raises(
        DefinitionError, match="This run's result does not fit what workflow 'order' now says that it ret"
    ):
        order_processing.decode_result('{"id":"x"}')


def test_plain_functions_can_describe_parts_of_a_graph():
    def paid_parcel(order: Order) -> Parcel:
        return ship(order, amount=charge(order).amount)

    def composed(order: Order) -> list[Parcel]:
        return [paid_parcel(order) for _ in range(2)]

    assert [node.name for node in graph_of(composed).nodes] == ["charge", "ship", "charge-2", "ship-2"]


def test_workflow_may_be_defined_while_another_is_built():
    inner: list[Any] = []

    def outer(order: Order) -> None:
        inner.append(workflow(refused_free))
        validate(order)

    def refused_free() -> None:
        collect([])

    assert [node.name for node in graph_of(outer).nodes] == ["validate"]
    assert [node.name for node in inner[0].graph.nodes] == ["collect"]
