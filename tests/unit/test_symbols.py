import collections
import copy
import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, NewType, NotRequired, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, field_serializer, model_serializer
from typing_extensions import TypedDict

from celeriac import DefinitionError, step, workflow
from celeriac.workflows.engine.templates import InputPart, ResultPart

T = TypeVar("T")


class Color(Enum):
    RED = "r"


@dataclass
class Item:
    price: Decimal
    tags: list[str]
    cached: int = field(init=False)

    @property
    def label(self) -> str:
        return ""


@dataclass
class Box(Generic[T]):
    content: T
    many: list[T]


class Bounds(NamedTuple):
    low: int
    high: Item


class Address(TypedDict):
    street: str
    number: NotRequired[int]


class Photo(BaseModel):
    id: int = Field(alias="photoId")
    raw: bytes = b""
    hidden: int = Field(default=0, exclude=True)

    @computed_field
    @property
    def size(self) -> int:
        return 0

    def render(self) -> str:
        return ""


class Base64Photo(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    raw: bytes = b""


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int = 0


class Written(BaseModel):
    id: int = 0

    @model_serializer
    def write(self) -> dict[str, int]:
        return {"number": self.id}


class PartlyWritten(BaseModel):
    at: int = 0

    @field_serializer("at")
    def write(self, value: int) -> dict[str, int]:
        return {"seconds": value}


Items = RootModel[list[Item]]
ItemId = NewType("ItemId", int)


def read(annotation: Any, use: Any) -> Any:
    """Return the path that ``use`` takes into a result of ``annotation``."""

    def source() -> Any: ...

    source.__annotations__ = {"return": annotation}
    declared = step(source)

    def example() -> Any:
        return use(declared())

    returns = workflow(example).graph.returns
    return returns.path if isinstance(returns, ResultPart) else returns


@pytest.mark.parametrize(
    ("annotation", "use", "path"),
    [
        (Item, lambda s: s.price, ("price",)),
        (Item, lambda s: s.tags[0], ("tags", 0)),
        (Item, lambda s: s.tags[-1], ("tags", -1)),
        (Item | None, lambda s: s.price, ("price",)),
        (Item | Photo, lambda s: s.price, ("price",)),
        (Annotated[Item, "note"], lambda s: s.price, ("price",)),
        (Box[Item], lambda s: s.content.price, ("content", "price")),
        (Box[Item], lambda s: s.many[0].anything, ("many", 0, "anything")),
        (Photo, lambda s: s.id, ("id",)),
        (Open, lambda s: s.anything.at[3].all, ("anything", "at", 3, "all")),
        (Written, lambda s: s.number, ("number",)),
        (Written, lambda s: s["number"], ("number",)),
        (PartlyWritten, lambda s: s.at.seconds, ("at", "seconds")),
        (Base64Photo, lambda s: s.raw, ("raw",)),
        (Bounds, lambda s: s.high.price, (1, "price")),
        (Bounds, lambda s: s[1].price, (1, "price")),
        (Address, lambda s: s["street"], ("street",)),
        (Address, lambda s: s["number"], ("number",)),
        (Items, lambda s: s.root[0].price, (0, "price")),
        (dict[str, Item], lambda s: s["a"].price, ("a", "price")),
        (dict[int, Item], lambda s: s[7].price, ("7", "price")),
        (dict[date, int], lambda s: s[date(2026, 1, 2)], ("2026-01-02",)),
        (dict, lambda s: s["a"].b, ("a", "b")),
        (list, lambda s: s[0].b, (0, "b")),
        (tuple, lambda s: s[0].b, (0, "b")),
        (collections.deque[Item], lambda s: s[0].price, (0, "price")),
        (tuple[Item, ...], lambda s: s[5].price, (5, "price")),
        (tuple[int, Item], lambda s: s[-1].price, (-1, "price")),
        (Any, lambda s: s.a["b"][0], ("a", "b", 0)),
        (object, lambda s: s.a, ("a",)),
    ],
)
def test_fields_and_items_of_a_result_are_found_in_its_json(annotation, use, path):
    assert read(annotation, use) == path


@pytest.mark.parametrize(
    ("annotation", "use", "message"),
    [
        (Item, lambda s: s.prize, "cannot use 'source.prize' (…): Item has no field 'prize'; did you mean 'price'?"),
        (Item, lambda s: s.label, "'source.label' (…): Item computes it, and only fields travel; compute it inside a"),
        (Item, lambda s: s.cached, "'source.cached' (…): Item has no field 'cached'"),
        (Item, lambda s: s["price"], "\"source['price']\" (…): Item has fields, not items; write .price."),
        (Item, lambda s: s[0], "'source[0]' (…): Item has fields, not items."),
        (Box[Item], lambda s: s.content.prize, "'source.content.prize' (…): Item has no field 'prize'; did you mean"),
        (Item | Bounds, lambda s: s.nothing, "Bounds has no field 'nothing'"),
        (Bounds | Box[int], lambda s: s.low.x, "int has no fields that travel with it"),
        (Photo, lambda s: s.size, "Photo computes it, and only fields travel"),
        (Photo, lambda s: s.render(), "Photo computes it, and only fields travel"),
        (Photo, lambda s: s.hidden, "Photo excludes it from its JSON"),
        (Photo, lambda s: s.raw, "Photo writes bytes as UTF-8 text, and they would be read as base64; pass the whole"),
        (Bounds, lambda s: s[2], "Bounds has 2 items, so none at 2"),
        (Address, lambda s: s.street, "Address has items, not fields; write ['street']"),
        (Address, lambda s: s["stret"], "Address has no key 'stret'; did you mean 'street'?"),
        (dict[str, int], lambda s: s.a, "dict[str, int] has items, not fields; write ['a']"),
        (dict[int, int], lambda s: s["a"], "its keys are int, so none is 'a'"),
        (list[int], lambda s: s["a"], "list[int] is indexed by number, not by 'a'"),
        (list[int], lambda s: s.a, "list[int] has items, not fields"),
        (list[int], lambda s: s[1:], "a slice is not one item; take it inside a step"),
        (set[int], lambda s: s[0], "set[int] has no order, so no item 0"),
        (tuple[int, str], lambda s: s[2], "tuple[int, str] has 2 items, so none at 2"),
        (str, lambda s: s[0], "str has no items that travel with it; take it apart inside a step"),
        (str, lambda s: s.upper(), "str has no fields that travel with it"),
        (ItemId, lambda s: s.real, "int has no fields that travel with it"),
        (datetime, lambda s: s.year, "datetime has no fields that travel with it"),
        (Color, lambda s: s.value, "Color has no fields that travel with it"),
        (None, lambda s: s.a, "it is always None"),
        (Any, lambda s: s[1.5], "the keys of JSON are texts and indexes, not 1.5"),
        (dict[str, Bounds] | list[Bounds], lambda s: s.low, "has items, not fields"),
        (Box[int] | Bounds, lambda s: s.content.x, "int has no fields"),
    ],
)
def test_what_is_not_in_the_json_of_a_result_is_refused_with_the_reason(annotation, use, message):
    with pytest.raises(DefinitionError) as caught:
        read(annotation, use)
    assert str(caught.value).startswith("Workflow 'example' cannot use ")
    assert message in re.sub(r"\([^()]*test_symbols\.py:\d+\)", "(…)", str(caught.value))


class Low(NamedTuple):
    price: int


def test_field_that_members_of_a_union_keep_in_different_places_is_refused():
    with pytest.raises(DefinitionError, match="may have it in different places; take it apart inside a step"):
        read(Low | Item, lambda s: s.price)


def test_field_that_all_members_of_a_union_have_is_of_either_type():
    @dataclass
    class Other:
        price: Item

    assert read(Item | Other, lambda s: s.price.tags) == ("price", "tags")
    with pytest.raises(DefinitionError, match="has no field 'nothing'"):
        read(Item | Other, lambda s: s.price.nothing)


def test_tuple_of_known_length_can_be_unpacked():
    def use(symbol: Any) -> Any:
        low, high = symbol
        first, *rest = high.tags[0], low
        assert len(symbol) == 2
        return [first, *rest]

    template = read(Bounds, use)
    assert [part.path for part in template.items] == [(1, "tags", 0), (0,)]


def test_parameter_is_known_by_its_annotation_too():
    @step
    def show(price: Decimal) -> None: ...

    @workflow
    def example(item: Item) -> None:
        show(item.price)

    assert example.graph.nodes[0].arguments == {"price": InputPart(parameter="item", path=("price",))}
    with pytest.raises(DefinitionError, match=r"Workflow 'wrong' cannot use 'item\.prize'"):

        @workflow
        def wrong(item: Item) -> None:
            show(item.prize)


BRANCH = "branch on the result 'source'"
COMPARE = "compare the result 'source'"
ITERATE = "count or iterate over the result 'source'"
TEXT = "make text of the result 'source'"
CALCULATE = "calculate with the result 'source'"


@pytest.mark.parametrize(
    ("use", "action", "advice"),
    [
        (lambda s: 1 if s else 2, BRANCH, "Decide inside a step: if, while, and, or and not need a value."),
        (lambda s: s and 1, BRANCH, "Decide inside a step"),
        (lambda s: s or 1, BRANCH, "Decide inside a step"),
        (lambda s: not s, BRANCH, "Decide inside a step"),
        (lambda s: all([s]), BRANCH, "Decide inside a step"),
        (lambda s: s == 1, COMPARE, "Compare inside a step."),
        (lambda s: s != 1, COMPARE, "Compare inside a step."),
        (lambda s: s < 1, COMPARE, "Compare inside a step."),
        (lambda s: 1 >= s, COMPARE, "Compare inside a step."),
        (lambda s: 1 in s, COMPARE, "Compare inside a step."),
        (lambda s: s in [1], COMPARE, "Compare inside a step."),
        (lambda s: sorted([s, s]), COMPARE, "Compare inside a step."),
        (lambda s: max(s, 1), COMPARE, "Compare inside a step."),
        (lambda s: [x for x in s], ITERATE, "Loop inside a step; to unpack a tuple, annotate it with its items."),  # noqa: C416
        (lambda s: list(s), ITERATE, "Loop inside a step"),
        (lambda s: [*s], ITERATE, "Loop inside a step"),
        (lambda s: len(s), ITERATE, "Loop inside a step"),
        (lambda s: list(reversed(s)), "iterate over the result 'source'", "Loop inside a step."),
        (lambda s: next(s), "iterate over the result 'source'", "Loop inside a step."),
        (lambda s: f"{s}", TEXT, "Build texts, paths and messages inside a step."),
        (lambda s: f"{s:>3}", TEXT, "Build texts"),
        (lambda s: "%s" % s, TEXT, "Build texts"),  # noqa: UP031
        (lambda s: str(s), TEXT, "Build texts"),
        (lambda s: print(s), TEXT, "Build texts"),
        (lambda s: bytes(s), TEXT, "Build texts"),
        (lambda s: Path(s), TEXT, "Build texts"),
        (lambda s: s + 1, CALCULATE, "Calculate inside a step."),
        (lambda s: 1 - s, CALCULATE, "Calculate inside a step."),
        (lambda s: "a" + s, CALCULATE, "Calculate inside a step."),
        (lambda s: s @ s, CALCULATE, "Calculate inside a step."),
        (lambda s: s | s, CALCULATE, "Calculate inside a step."),
        (lambda s: -s, CALCULATE, "Calculate inside a step."),
        (lambda s: abs(s), CALCULATE, "Calculate inside a step."),
        (lambda s: sum([s]), CALCULATE, "Calculate inside a step."),
        (lambda s: int(s), CALCULATE, "Calculate inside a step."),
        (lambda s: float(s), CALCULATE, "Calculate inside a step."),
        (lambda s: round(s, 2), CALCULATE, "Calculate inside a step."),
        (lambda s: math.floor(s), CALCULATE, "Calculate inside a step."),
        (lambda s: range(s), CALCULATE, "Calculate inside a step."),
        (lambda s: [1, 2][s], CALCULATE, "Calculate inside a step."),
        (lambda s: s(), "call the result 'source'", "Only steps can be called; call methods of values inside a step."),
        (lambda s: {s: 1}, "hash the result 'source'", "Symbols cannot be keys of a dict or members of a set"),
        (lambda s: {s}, "hash the result 'source'", "Symbols cannot be keys of a dict or members of a set"),
        (lambda s: setattr(s, "a", 1), "change the result 'source'", "Return the changed value from a step."),
        (lambda s: s.__setitem__("a", 1), "change the result 'source'", "Return the changed value from a step."),
        (lambda s: delattr(s, "a"), "change the result 'source'", "Return the changed value from a step."),
        (lambda s: copy.deepcopy(s), "copy or pickle the result 'source'", "Pass it to steps as it is."),
    ],
)
def test_whatever_needs_the_value_of_a_symbol_says_what_to_do_instead(use, action, advice):
    with pytest.raises(DefinitionError) as caught:
        read(Any, use)
    message = str(caught.value)
    assert message.startswith(f"Workflow 'example' cannot {action} (")
    assert "): its graph is built before there are values. " + advice in message


def test_refusal_names_the_line_in_the_users_code():
    line = test_refusal_names_the_line_in_the_users_code.__code__.co_firstlineno + 4

    def use(symbol: Any) -> Any:
        return 1 if symbol.paid else 2

    with pytest.raises(DefinitionError, match=rf"the result 'source.paid' \(\S*test_symbols\.py:{line}\)"):
        read(Any, use)


def test_refusal_names_the_users_line_when_the_standard_library_asked():
    with pytest.raises(DefinitionError, match=r"\(\S*test_symbols\.py:\d+\)"):
        read(Any, lambda s: copy.deepcopy([s]))


def test_symbol_shows_what_it_stands_for():
    shown = []
    read(Item, lambda s: shown.extend([repr(s.tags[0]), f"{s!r}"]))
    assert shown == [
        "<the result 'source.tags[0]' of workflow 'example'>",
        "<the result 'source' of workflow 'example'>",
    ]
