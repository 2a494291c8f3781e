"""What `make demo` does: one run from start to end, its result, and then how it went.

It is `celeriac run` followed by `celeriac show`, on servers that last for both: those that are configured, or else
embedded ones, with their data in `.celeriac`.
"""

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from celeriac import CeleriacError, Client, Settings
from celeriac.workflows.cli.local.servers import servers
from celeriac.workflows.cli.main import celeriac


def run_and_show(target: str, as_text: Callable[[Any], str]) -> None:
    """Run the workflow ``module:workflow`` live, print its result as text, then show the run. Nothing stays running."""
    module = target.partition(":")[0]
    try:
        with servers(Settings.from_env(imports=module)) as settings:
            run = json.loads(_output_of(settings, "run", target, "--concurrency", "2", "--json"))
            with Client(settings) as client:
                print(f"\n{as_text(client.get(run['id']).result())}\n")
            _celeriac(settings, "show", run["id"])
    except CeleriacError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:  # while servers start; the command itself knows what to do
        sys.exit(130)


def _output_of(settings: Settings, *arguments: str) -> str:
    with redirect_stdout(io.StringIO()) as output:  # the live progress goes to standard error
        _celeriac(settings, *arguments)
    return output.getvalue()


def _celeriac(settings: Settings, *arguments: str) -> None:
    """Run the command in this process, which ends with its exit code if it fails."""
    addresses = ["--database-url", settings.require_database_url(), "--broker-url", settings.require_broker_url()]
    try:
        celeriac([*addresses, *arguments], prog_name="celeriac")
    except SystemExit as ended:
        if ended.code:
            raise
