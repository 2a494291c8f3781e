"""The command ``celeriac``."""

from workflows.cli.entry import main

__all__ = ["main"]
