"""Durable workflows for teams that already run Celery.

Everything public is here: ``from celeriac import step, workflow, Client``. A name is
imported when it is first used, so that a module with steps loads neither SQLAlchemy nor
Celery. ``celery -A celeriac worker`` finds ``app``, made from the environment;
``install(app)`` adds workflows to a Celery app of your own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.worker.installation import create_app, install
    from celeriac.workflows.authoring.context import StepContext
    from celeriac.workflows.authoring.definitions import Workflow, workflow
    from celeriac.workflows.authoring.outcome import outcome
    from celeriac.workflows.authoring.steps import Step, step
    from celeriac.workflows.client.async_client import AsyncClient, AsyncRun
    from celeriac.workflows.client.client import Client
    from celeriac.workflows.client.run import Run
    from celeriac.workflows.engine.outcomes import ErrorInfo, Outcome, PublicError
    from celeriac.workflows.engine.retry import GiveUp, Retry, RetryAfter
    from celeriac.workflows.engine.states import RunStatus, StepStatus
    from celeriac.workflows.errors import (
        ArgumentInvalid,
        BrokerUnavailable,
        CeleriacError,
        ConfigurationError,
        DatabaseUnavailable,
        DefinitionError,
        IdempotencyKeyReused,
        ImportFailed,
        InputInvalid,
        InvalidRunState,
        ResultInvalid,
        ResultTimeout,
        RunFailed,
        SchemaMismatch,
        StepError,
        StepTimedOut,
        UnknownRun,
        UnknownStatus,
        UnknownWorkflow,
        WorkerLost,
    )
    from celeriac.workflows.settings import Settings

_MODULES = {
    "worker.installation": ("create_app", "install"),
    "workflows.client.async_client": ("AsyncClient", "AsyncRun"),
    "workflows.client.client": ("Client",),
    "workflows.authoring.context": ("StepContext",),
    "workflows.authoring.definitions": ("Workflow", "workflow"),
    "workflows.errors": (
        "ArgumentInvalid",
        "BrokerUnavailable",
        "CeleriacError",
        "ConfigurationError",
        "DatabaseUnavailable",
        "DefinitionError",
        "IdempotencyKeyReused",
        "ImportFailed",
        "InputInvalid",
        "InvalidRunState",
        "ResultInvalid",
        "ResultTimeout",
        "RunFailed",
        "SchemaMismatch",
        "StepError",
        "StepTimedOut",
        "UnknownRun",
        "UnknownStatus",
        "UnknownWorkflow",
        "WorkerLost",
    ),
    "workflows.authoring.outcome": ("outcome",),
    "workflows.engine.outcomes": ("ErrorInfo", "Outcome", "PublicError"),
    "workflows.engine.retry": ("GiveUp", "Retry", "RetryAfter"),
    "workflows.client.run": ("Run",),
    "workflows.settings": ("Settings",),
    "workflows.engine.states": ("RunStatus", "StepStatus"),
    "workflows.authoring.steps": ("Step", "step"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArgumentInvalid",
    "AsyncClient",
    "AsyncRun",
    "BrokerUnavailable",
    "CeleriacError",
    "Client",
    "ConfigurationError",
    "DatabaseUnavailable",
    "DefinitionError",
    "ErrorInfo",
    "GiveUp",
    "IdempotencyKeyReused",
    "ImportFailed",
    "InputInvalid",
    "InvalidRunState",
    "Outcome",
    "PublicError",
    "ResultInvalid",
    "ResultTimeout",
    "Retry",
    "RetryAfter",
    "Run",
    "RunFailed",
    "RunStatus",
    "SchemaMismatch",
    "Settings",
    "Step",
    "StepContext",
    "StepError",
    "StepStatus",
    "StepTimedOut",
    "UnknownRun",
    "UnknownStatus",
    "UnknownWorkflow",
    "WorkerLost",
    "Workflow",
    "create_app",
    "install",
    "outcome",
    "step",
    "workflow",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, and keep it."""
    if name == "app":  # for ``celery -A celeriac``; not in ``__all__``, because it reads the environment
        return import_module("celeriac.worker.environment").app_from_environment()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"celeriac.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
