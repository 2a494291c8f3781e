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
    RunFailed,
    SchemaMismatch,
    StepError,
    UnknownRun,
    UnknownWorkflow,
    WorkerLost,
)
from workflows.settings import Settings
from workflows.steps import Step, step

__all__ = [
    "ArgumentInvalid",
    "BrokerUnavailable",
    "CeleriacError",
    "ConfigurationError",
    "DatabaseUnavailable",
    "DefinitionError",
    "ImportFailed",
    "InputInvalid",
    "ResultInvalid",
    "ResultTimeout",
    "RunFailed",
    "SchemaMismatch",
    "Settings",
    "Step",
    "StepContext",
    "StepError",
    "UnknownRun",
    "UnknownWorkflow",
    "WorkerLost",
    "Workflow",
    "step",
    "workflow",
]
