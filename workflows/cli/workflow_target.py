"""Find the workflow that ``module:workflow`` names."""

from __future__ import annotations

import sys
from typing import Any

from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.authoring.definitions import Workflow
from celeriac.workflows.errors import UnknownWorkflow
from celeriac.workflows.text import did_you_mean


def find_workflow(target: str) -> tuple[str, Workflow[..., Any]]:
    """Import the module of ``module:workflow`` and return its name and the workflow.

    Raises:
        ImportFailed: the module cannot be imported.
        UnknownWorkflow: the target has no module, or the module has no such workflow.
    """
    module, colon, name = target.partition(":")
    if not colon or not module or not name:
        raise UnknownWorkflow(workflow=target, hint=". Write module:workflow, such as shop.flows:order_processing.")
    workflows = Catalog.load([module]).workflows
    # The variable may have another name than the workflow.
    variable = getattr(sys.modules[module], name, None)
    if isinstance(variable, Workflow):
        return module, variable
    if name not in workflows:
        known = f"{module} has {', '.join(sorted(workflows))}." if workflows else f"{module} has no workflows."
        raise UnknownWorkflow(workflow=name, hint=f"{did_you_mean(name, workflows) or '.'} {known}")
    return module, workflows[name]
