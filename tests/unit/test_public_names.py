import ast
import subprocess
import sys
from pathlib import Path

import pytest

import celeriac

PUBLIC = [
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


def test_public_names_change_on_purpose_only():
    assert celeriac.__all__ == PUBLIC
    assert all(hasattr(celeriac, name) for name in PUBLIC)


def test_every_error_that_celeriac_raises_is_public():
    def family(error):
        return [error, *(each for child in error.__subclasses__() for each in family(child))]

    ours = [error for error in family(celeriac.CeleriacError) if error.__module__ == "celeriac.workflows.errors"]
    assert {error.__name__ for error in ours} <= set(celeriac.__all__)


def test_type_checkers_are_told_of_the_names_that_are_imported_lazily():
    tree = ast.parse(Path(celeriac.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {alias.name: node.module for node in block.body for alias in node.names}
    assert told == {name: f"celeriac.{module}" for name, module in celeriac._HOME.items()}
    assert sorted(told) == celeriac.__all__


def test_a_module_with_steps_loads_neither_the_database_nor_the_broker():
    code = (
        "import sys; from celeriac import Retry, Settings, StepContext, outcome, step, workflow\n"
        "heavy = {'sqlalchemy', 'psycopg', 'celery', 'kombu', 'redis'}\n"
        "print({name.partition('.')[0] for name in sys.modules} & heavy)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_an_unknown_name_is_refused_as_any_module_does():
    with pytest.raises(AttributeError, match="module 'celeriac' has no attribute 'workflwo'"):
        _ = celeriac.workflwo
    assert "Client" in dir(celeriac)
