import sys
import textwrap

import pytest

from celeriac import (
    CeleriacError,
    DefinitionError,
    ImportFailed,
    UnknownWorkflow,
    step,
    workflow,
)
from celeriac.workflows.authoring.catalog import Catalog


@step
def charge() -> None: ...


@step
def unused() -> None: ...


@workflow
def order_processing() -> None:
    charge()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """``module("flows", code)``: a module that can be imported for as long as the test lasts."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def write(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


FLOWS = """
    from celeriac import step, workflow

    @step
    def {step}(n: int) -> int:
        return n

    @workflow
    def {workflow}(n: int) -> int:
        return {step}(n)
"""


def test_catalog_knows_what_it_was_made_of_and_the_steps_in_use():
    catalog = Catalog.of(order_processing, unused)
    assert catalog.workflows == {"order_processing": order_processing}
    assert catalog.steps == {"charge": charge, "unused": unused}
    assert catalog.workflow("order_processing") is order_processing


def test_catalog_cannot_be_changed():
    with pytest.raises(TypeError):
        Catalog.of(order_processing).workflows["x"] = order_processing


def test_two_catalogs_know_nothing_of_each_other():
    assert Catalog.of(unused).workflows == {}
    assert Catalog.of(order_processing).steps == {"charge": charge}


def test_unknown_workflow_is_told_with_the_nearest_and_all():
    with pytest.raises(UnknownWorkflow) as caught:
        Catalog.of(order_processing).workflow("order_procesing")
    assert str(caught.value) == (
        "Unknown workflow 'order_procesing'; did you mean 'order_processing'? Known: order_processing."
    )
    with pytest.raises(UnknownWorkflow) as caught:
        Catalog.of(order_processing).workflow("zzz")
    assert str(caught.value) == "Unknown workflow 'zzz'. Known: order_processing."


def test_unknown_workflow_in_an_empty_catalog_says_what_to_set():
    with pytest.raises(UnknownWorkflow) as caught:
        Catalog.of().workflow("order")
    assert str(caught.value) == (
        "Unknown workflow 'order': no workflows are imported. Set CELERIAC_IMPORTS to the modules that define them."
    )


def test_modules_are_imported_and_searched(module):
    module("flows_a", FLOWS.format(step="double", workflow="doubling"))
    module(
        "flows_b", "from flows_a import doubling\n" + textwrap.dedent(FLOWS.format(step="halve", workflow="halving"))
    )
    catalog = Catalog.load(["flows_b", "flows_a"])
    assert catalog.workflows.keys() == {"doubling", "halving"}
    assert catalog.steps.keys() == {"double", "halve"}


def test_step_that_only_a_workflow_reaches_is_known(module):
    module("hidden", FLOWS.format(step="double", workflow="doubling"))
    module("visible", "from hidden import doubling")
    assert Catalog.load(["visible"]).steps.keys() == {"double"}


def test_loading_nothing_gives_an_empty_catalog():
    assert Catalog.load([]).workflows == {}


@pytest.mark.parametrize("kind", ["steps", "workflows"])
def test_two_of_one_name_are_refused_with_both_modules(module, kind):
    module("shop", FLOWS.format(step="same" if kind == "steps" else "one", workflow="flow1"))
    module("billing", FLOWS.format(step="same" if kind == "steps" else "two", workflow="flow2"))
    if kind == "workflows":
        module("billing", FLOWS.format(step="two", workflow="flow1"))
    name = "same" if kind == "steps" else "flow1"
    what = "steps" if kind == "steps" else "workflows of version '1'"
    with pytest.raises(DefinitionError) as caught:
        Catalog.load(["shop", "billing"])
    assert str(caught.value) == (
        f"Two {what} are named {name!r}: that of shop and that of billing. Rename one of them with name=…."
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(:\n    pass", "SyntaxError: invalid syntax (broken.py:1)"),
        ("import os\n\nnowhere.start()", "NameError: name 'nowhere' is not defined (broken.py:3)"),
        ("import surely_not_there", "ModuleNotFoundError: No module named 'surely_not_there' (broken.py:1)"),
        ("from celeriac import worklow", "ImportError: cannot import name 'worklow' from 'celeriac' "),
        ("raise RuntimeError('two\\nlines.')", "RuntimeError: two lines (broken.py:1)"),
        ("raise SystemExit", "SystemExit (broken.py:1)"),
        ("import json\njson.loads('{')", "JSONDecodeError: Expecting property name enclosed in double quotes: "),
        (
            "from celeriac import step\n@step\ndef f(*a): ...",
            "Parameter '*a' of step 'f' takes any number of arguments (broken.py:2). Arguments travel by name: declare",
        ),
    ],
)
def test_module_that_cannot_be_imported_gives_one_line_with_the_cause_and_the_place(module, code, reason):
    module("broken", code)
    with pytest.raises(ImportFailed) as caught:
        Catalog.load(["broken"])
    assert str(caught.value).startswith(f"Cannot import 'broken': {reason}")
    assert str(caught.value).endswith(". Check CELERIAC_IMPORTS and the folder you start in.")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, CeleriacError)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("surely_not_there", "there is no module 'surely_not_there'"),
        ("surely_not_there.flows", "there is no module 'surely_not_there'"),
        ("celeriac.flowz", "there is no module 'celeriac.flowz'"),
        ("flows.py", "there is no module 'flows.py' (write the name of the module, not of its file)"),
        ("shop/flows", "there is no module 'shop/flows' (write the name of the module, not of its file)"),
        (".flows", "it is not the whole name of a module, as 'shop.flows' is"),
        ("", "it is not the whole name of a module, as 'shop.flows' is"),
    ],
)
def test_module_that_is_not_there_says_so(module, name, reason):
    module("flows", "")
    with pytest.raises(ImportFailed) as caught:
        Catalog.load([name])
    assert str(caught.value) == (
        f"Cannot import {name!r}: {reason}. Check CELERIAC_IMPORTS and the folder you start in."
    )
