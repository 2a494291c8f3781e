"""The servers and processes that ``celeriac dev`` and ``celeriac run`` start on this machine."""
