"""Servers and processes that ``celeriac dev`` and ``run`` start on this machine."""
