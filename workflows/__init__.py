"""Durable workflows for teams that already run Celery."""

from workflows.context import StepContext
from workflows.definitions import Workflow, workflow
from workflows.errors import (
    ArgumentInvalid,
    BrokerUnavailable,
    CeleriacError,
    ConfigurationError,
    DatabaseUnavailable,
    DefinitionError,
    ImportFailed,
    InputInvalid,
    ResultInvalid,
    ResultTimeout,
    RunEnded,
    RunFailed,
    SchemaMismatch,
    StepError,
    StepTimedOut,
    UnknownRun,
    UnknownWorkflow,
    WorkerLost,
)
from workflows.outcomes import ErrorInfo, Outcome, PublicError, outcome
from workflows.retry import GiveUp, Retry, RetryAfter
from workflows.settings import Settings
from workflows.steps import Step, step

__all__ = [
    "ArgumentInvalid",
    "BrokerUnavailable",
    "CeleriacError",
    "ConfigurationError",
    "DatabaseUnavailable",
    "DefinitionError",
    "ErrorInfo",
    "GiveUp",
    "ImportFailed",
    "InputInvalid",
    "Outcome",
    "PublicError",
    "ResultInvalid",
    "ResultTimeout",
    "Retry",
    "RetryAfter",
    "RunEnded",
    "RunFailed",
    "SchemaMismatch",
    "Settings",
    "Step",
    "StepContext",
    "StepError",
    "StepTimedOut",
    "UnknownRun",
    "UnknownWorkflow",
    "WorkerLost",
    "Workflow",
    "outcome",
    "step",
    "workflow",
]
