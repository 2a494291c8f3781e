import workflows

PUBLIC = [
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


def test_public_names_change_on_purpose_only():
    assert workflows.__all__ == PUBLIC
    assert all(hasattr(workflows, name) for name in PUBLIC)


def test_every_error_that_celeriac_raises_is_public():
    def family(error):
        return [error, *(each for child in error.__subclasses__() for each in family(child))]

    ours = [error for error in family(workflows.CeleriacError) if error.__module__ == "workflows.errors"]
    assert {error.__name__ for error in ours} <= set(workflows.__all__)
