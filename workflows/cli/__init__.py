"""The command ``celeriac``."""
