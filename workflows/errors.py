"""Every error that Celeriac raises on purpose.

CeleriacError
├── DefinitionError           a @step or @workflow that cannot work, found when its module is imported
├── ConfigurationError        settings that cannot work
│   ├── ImportFailed          a module of CELERIAC_IMPORTS cannot be imported
│   └── SchemaMismatch        the database is not migrated, or migrated by another version
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
└── StepError                 an attempt of a step failed for a reason of the engine's
    ├── ArgumentInvalid       a parent's result does not fit the step's parameter
    ├── ResultInvalid         the step returned what its annotation or JSON cannot hold
    ├── StepTimedOut          the attempt, or all of them together, took too long
    └── WorkerLost            the process that ran the attempt died or stopped answering
"""

from __future__ import annotations

from typing import Any, ClassVar


class CeleriacError(Exception):
    """Something went wrong in Celeriac.

    A subclass states its message as a format string over its data; the data are keyword arguments
    and become attributes, so that a program need not parse the message. Errors survive pickling.
    """

    message: ClassVar[str] = "{detail}"

    def __init__(self, **data: Any) -> None:
        self.data = data
        super().__init__(self.message.format(**data))

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None

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


class SchemaMismatch(ConfigurationError):
    """The database's schema is not the one that this version needs."""

    message = "The database is at schema {found}, this version needs {needed}. Run `celeriac migrate`."


class InputInvalid(CeleriacError):
    """The input of a run does not fit the parameters of its workflow."""

    message = "Input of workflow {workflow!r} is not valid: {reason}"


class UnknownWorkflow(CeleriacError):
    """No workflow of that name is known."""

    message = "Unknown workflow {workflow!r}{hint}"


class UnknownRun(CeleriacError):
    """No run has that id."""

    message = "No run '{run_id}' in this database. `celeriac list` shows the runs there are."


class UnknownStatus(CeleriacError):
    """No state of runs has that name."""

    message = "Unknown status {status!r}. There are: {known}."


class DatabaseUnavailable(CeleriacError):
    """Postgres does not answer."""

    message = "Cannot reach the database at {address}: {reason}. Check CELERIAC_DATABASE_URL and that Postgres is up."


class BrokerUnavailable(CeleriacError):
    """The broker does not answer."""

    message = "Cannot reach the broker at {address}: {reason}. Check CELERIAC_BROKER_URL and that Redis is up."


class RunFailed(CeleriacError):
    """The result was asked of a run that ended without one."""

    message = "Run {run_id} of {workflow!r} {status}: {reason}"


class InvalidRunState(CeleriacError):
    """What was asked of a run makes no sense in the state that it is in."""

    message = "Run {run_id} is {status}; it cannot be {action}."


class IdempotencyKeyReused(CeleriacError):
    """An idempotency key started a run with other input before."""

    message = (
        "Idempotency key {idempotency_key!r} of workflow {workflow!r} started run {run_id} with other input before. "
        "Give each input a key of its own."
    )


class ResultTimeout(CeleriacError, TimeoutError):
    """The run did not end within the time given."""

    message = "Run {run_id} is still {status} after {seconds:g} s. It goes on; ask again later."


class StepError(CeleriacError):
    """An attempt failed for a reason of the engine's, not of the step's own code."""


class ArgumentInvalid(StepError):
    """What a step was to be called with does not fit its parameters."""

    message = "Argument {parameter!r} of step {step!r} is not valid: {reason}"


class ResultInvalid(StepError):
    """What a step returned does not fit its return annotation, or JSON."""

    message = "The result of step {step!r} is not valid: {reason}"


class StepTimedOut(StepError):
    """An attempt, or all attempts of a step together, took longer than they may."""

    message = "Attempt {attempt} of step {step!r} did not end within its time."


class WorkerLost(StepError):
    """The process that ran the attempt died or stopped answering."""

    message = "The worker that ran attempt {attempt} of step {step!r} was lost ({lost} of {limit} allowed)."
