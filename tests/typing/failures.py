"""What type checkers make of joins, error handlers, sagas and hooks; read by mypy, never run."""

from typing import assert_type

from celeriac import (
    ErrorInfo,
    Outcome,
    outcome,
    step,
    workflow,
)


def undo(order: str, result: int) -> None: ...


@step(compensate=undo, needs="all_done")
def charge(order: str) -> int:
    return len(order)


@step
def mend(error: ErrorInfo, order: str) -> int:
    return len(order + error.message)


@step
def report(paid: Outcome[int]) -> str:
    assert_type(paid.value, int | None)
    assert_type(paid.error, ErrorInfo | None)
    return str(paid.value)


@workflow(saga=True, failure_policy="continue", on_complete=report, on_failure=mend)
def accepted(order: str) -> str:
    paid = charge.options(on_error=mend)(order)
    assert_type(outcome(paid), Outcome[int])
    return report.options(needs="any_succeeded")(outcome(paid))


@workflow
def rejected(order: str) -> str:
    paid = charge.options(needs="everything")(order)  # type: ignore[arg-type]
    charge.options(on_error="mend")(order)  # type: ignore[arg-type]
    report(paid)  # type: ignore[arg-type]
    return report(outcome(order))  # type: ignore[arg-type]


def options_are_checked() -> None:
    @workflow(failure_policy="never")  # type: ignore[call-overload, untyped-decorator]
    def misspelt() -> None: ...
