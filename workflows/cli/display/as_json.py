"""Views as plain JSON data, for programs that read the command's output."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from celeriac.workflows.engine.views import RunView

_RUN = TypeAdapter(RunView)


def run_to_json(view: RunView, *, steps: bool = False) -> dict[str, Any]:
    """Return a run as plain JSON data, with its steps if ``steps`` is true."""
    data: dict[str, Any] = _RUN.dump_python(view, mode="json", exclude=None if steps else {"steps"})
    return data
