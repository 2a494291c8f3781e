"""Every error that Celeriac raises on purpose.

CeleriacError
├── DefinitionError           a @step or @workflow cannot work, found at its import
├── ConfigurationError        the settings cannot work
│   ├── ImportFailed          a module of CELERIAC_IMPORTS cannot be imported
│   └── SchemaMismatch        the schema is missing, or of another version
├── InputInvalid              the input of a run does not fit the workflow's parameters
├── UnknownWorkflow           no workflow of that name in the imported modules
├── UnknownRun                no run of that id in this database
├── UnknownStatus             no state of runs has that name
├── DatabaseUnavailable       Postgres does not answer
├── BrokerUnavailable         the broker does not answer
├── RunFailed                 the result was asked of a run that failed
├── IdempotencyKeyReused      an idempotency key started a run with other input before
├── InvalidRunState           the status of a run does not allow the request
├── ResultTimeout             the run did not end within the time given
└── StepError                 an attempt failed, but the step's code did not raise
    ├── ArgumentInvalid       a parent's result does not fit the step's parameter
    ├── ResultInvalid         the step's result does not fit its annotation, or JSON
    ├── StepTimedOut          the attempt, or all of them together, took too long
    └── WorkerLost            the attempt's process died or stopped answering
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar
from uuid import UUID


class CeleriacError(Exception):
    """Celeriac cannot do its work, for a reason that the message gives.

    The data of an error are keyword arguments and become attributes, so that a program
    need not parse the message. A subclass states its message as a format string over
    its data, and declares each of them in its body; a class without a message of its
    own takes ``detail``. Errors survive pickling and copying.

    Raises:
        TypeError: data are missing, or are not declared.
    """

    message: ClassVar[str] = "{detail}"
    _declared: ClassVar[frozenset[str]] = frozenset({"detail"})

    data: dict[str, Any]  # as passed to the constructor
    detail: str  # the message, with the data in it

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "message" in vars(cls):
            cls._declared = frozenset(inspect.get_annotations(cls))

    def __init__(self, **data: Any) -> None:
        if data.keys() != self._declared:
            raise TypeError(f"{type(self).__name__} takes {sorted(self._declared)}, not {sorted(data)}.")
        super().__init__(self.message.format(**data))
        self.data = data
        self.detail = str(self)
        vars(self).update(data)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.data)

    def to_json(self) -> dict[str, Any]:
        """Return ``{"type": …, "message": …}`` as stored in the history."""
        return {"type": type(self).__name__, "message": str(self)}


def _rebuild(cls: type[CeleriacError], data: dict[str, Any]) -> CeleriacError:
    return cls(**data)


class DefinitionError(CeleriacError):
    """A step or workflow is defined in a way that cannot work."""


class ConfigurationError(CeleriacError):
    """A setting is missing or cannot work."""


class ImportFailed(ConfigurationError):
    """A module with workflows cannot be imported."""

    message = "Cannot import {module!r}: {reason}. Check CELERIAC_IMPORTS and the folder you start in."

    module: str
    reason: str


class SchemaMismatch(ConfigurationError):
    """The database's schema is not that which this version needs."""

    message = "The database is at schema {found}, this version needs {needed}. Run `celeriac migrate`."

    found: str
    needed: str


class InputInvalid(CeleriacError):
    """The input of a run does not fit the parameters of its workflow."""

    message = "Input of workflow {workflow!r} is not valid: {reason}"

    workflow: str
    reason: str


class UnknownWorkflow(CeleriacError):
    """No workflow of that name is known."""

    message = "Unknown workflow {workflow!r}{hint}"

    workflow: str
    hint: str  # the end of the sentence


class UnknownRun(CeleriacError):
    """No run has that id."""

    message = "No run '{run_id}' in this database. `celeriac list` shows the runs there are."

    run_id: UUID | str


class UnknownStatus(CeleriacError):
    """No state of runs has that name."""

    status: str
    known: str

    message = "Unknown status {status!r}. There are: {known}."


class DatabaseUnavailable(CeleriacError):
    """Postgres does not answer."""

    message = "Cannot reach the database at {address}: {reason}. Check CELERIAC_DATABASE_URL and that Postgres is up."

    address: str  # without the password
    reason: str


class BrokerUnavailable(CeleriacError):
    """The broker does not answer."""

    message = "Cannot reach the broker at {address}: {reason}. Check CELERIAC_BROKER_URL and that Redis is up."

    address: str  # without the password
    reason: str


class RunFailed(CeleriacError):
    """The result was asked of a run that ended without a result."""

    message = "Run {run_id} of {workflow!r} {status}: {reason}"

    run_id: UUID | str
    workflow: str
    status: str
    step: str | None  # the step that failed; None if the run failed without one
    type: str | None  # name of the exception's class
    reason: str
    public_message: str  # fit to be shown to anybody


class InvalidRunState(CeleriacError):
    """The status of a run does not allow the request."""

    message = "Run {run_id} is {status}; it cannot be {action}."

    run_id: UUID | str
    status: str
    action: str  # as a participle: 'paused'


class IdempotencyKeyReused(CeleriacError):
    """An idempotency key started a run with other input before."""

    workflow: str
    idempotency_key: str
    run_id: UUID | str

    message = (
        "Idempotency key {idempotency_key!r} of workflow {workflow!r} started run {run_id} with other input before. "
        "Give each input a key of its own."
    )


class ResultTimeout(CeleriacError, TimeoutError):
    """The run did not end within the time given."""

    message = "Run {run_id} is still {status} after {seconds:g} s. It goes on; ask again later."

    run_id: UUID | str
    status: str
    seconds: float


class StepError(CeleriacError):
    """An attempt failed for a reason of the engine's, not of the step's own code."""


class ArgumentInvalid(StepError):
    """An argument of a step does not fit its parameter."""

    message = "Argument {parameter!r} of step {step!r} is not valid: {reason}"

    step: str
    parameter: str
    reason: str


class ResultInvalid(StepError):
    """The result of a step does not fit its return annotation, or JSON."""

    message = "The result of step {step!r} is not valid: {reason}"

    step: str
    reason: str


class StepTimedOut(StepError):
    """An attempt, or all attempts of a step together, took longer than they may."""

    message = "Attempt {attempt} of step {step!r} did not end within its time."

    step: str
    attempt: int


class WorkerLost(StepError):
    """The process that ran the attempt died or stopped answering."""

    message = "The worker that ran attempt {attempt} of step {step!r} was lost ({lost} of {limit} allowed)."

    step: str
    attempt: int
    lost: int  # attempts of the step that were lost
    limit: int
