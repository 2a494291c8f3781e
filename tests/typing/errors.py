"""What type checkers know of the data of errors; read by mypy, never run."""

from typing import Any, assert_type
from uuid import UUID

from celeriac import (
    CeleriacError,
    ConfigurationError,
    InvalidRunState,
    ResultTimeout,
    RunFailed,
)


def data_have_their_types(failed: RunFailed, late: ResultTimeout, refused: InvalidRunState) -> None:
    assert_type(failed.run_id, UUID | str)
    assert_type(failed.step, str | None)
    assert_type(failed.public_message, str)
    assert_type(late.seconds, float)
    assert_type(refused.action, str)


def every_error_has_its_message_and_its_data(error: CeleriacError) -> None:
    assert_type(error.detail, str)
    assert_type(error.data, dict[str, Any])


def other_data_are_refused(failed: RunFailed, wrong: ConfigurationError) -> None:
    print(failed.stauts)  # type: ignore[attr-defined]
    print(wrong.module)  # type: ignore[attr-defined]
