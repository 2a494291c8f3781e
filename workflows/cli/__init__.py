"""The command ``celeriac``."""

from celeriac.workflows.cli.entry import main

__all__ = ["main"]
