"""How an error is recorded: type, message, and the traceback from the step's own code on."""

import json

import pytest

from celeriac import StepContext, step
from celeriac.worker.invocation import EventLoop, describe_error, invoke
from celeriac.workflows.engine.graph import Graph, Node
from celeriac.workflows.engine.resolving import RunValues
from celeriac.workflows.errors import ResultInvalid


def raised(function) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def test_an_error_is_described_by_type_message_and_traceback():
    def refuse():
        raise ValueError("no stock")

    described = describe_error(raised(refuse))
    assert described["type"] == "ValueError"
    assert described["message"] == "no stock"
    assert described["traceback"].startswith("Traceback (most recent call last):")
    assert 'raise ValueError("no stock")' in described["traceback"]
    assert described["traceback"].endswith("ValueError: no stock\n")


@step
def refuse_at_once() -> None:
    raise KeyError("in the step's code")


def test_the_traceback_begins_at_the_steps_code_and_not_at_the_engines():
    node = Node(name="refuse", task="refuse_at_once")
    values = RunValues(graph=Graph(workflow="w", version="1", nodes=(node,)), run_input="{}")
    error = raised(lambda: invoke(refuse_at_once, node, StepContext.detached("refuse"), values, EventLoop()))
    error.__traceback__ = error.__traceback__.tb_next.tb_next  # without the test's own frames, as in a worker
    assert error.__traceback__.tb_frame.f_code.co_name == "invoke"
    shown = describe_error(error)["traceback"]
    assert "in refuse_at_once" in shown
    assert "worker/invocation.py" not in shown
    assert "steps.py" not in shown


def test_the_cause_of_an_error_is_in_its_traceback():
    def refuse():
        try:
            {}["key"]
        except KeyError as error:
            raise RuntimeError("not configured") from error

    assert "KeyError: 'key'" in describe_error(raised(refuse))["traceback"]


def test_of_a_traceback_that_is_too_long_the_end_is_kept():
    def refuse():
        raise ValueError("x" * 100_000 + " the end")

    traceback = describe_error(raised(refuse))["traceback"]
    assert len(traceback) == 20_000
    assert traceback.endswith("the end\n")


def test_an_error_of_the_engines_own_has_no_traceback():
    assert describe_error(ResultInvalid(step="charge", reason="NaN has no JSON")) == {
        "type": "ResultInvalid",
        "message": "The result of step 'charge' is not valid: NaN has no JSON",
    }


def test_an_error_that_cannot_be_printed_is_described_all_the_same():
    class Sly(Exception):
        def __str__(self):
            raise RuntimeError("no")

    described = describe_error(raised(lambda: (_ for _ in ()).throw(Sly())))
    assert described["type"] == "Sly"
    assert described["message"] == "<RuntimeError while printing the error>"


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "\x1b[2Jgone", "é ☃", '"}'])
def test_whatever_is_in_a_message_it_can_be_stored_as_json_text(text):
    def refuse():
        raise ValueError(text)

    described = describe_error(raised(refuse))
    assert json.loads(json.dumps(described)) == described
    json.dumps(described, ensure_ascii=False).encode()


def test_exits_and_interrupts_of_a_step_are_errors_too():
    described = describe_error(raised(lambda: (_ for _ in ()).throw(SystemExit(3))))
    assert (described["type"], described["message"]) == ("SystemExit", "3")
