"""Postgres and Redis from wheels, for `celeriac dev`, `celeriac run` and the tests."""

from celeriac.workflows.embedded.postgres import EmbeddedPostgres
from celeriac.workflows.embedded.redis import EmbeddedRedis
from celeriac.workflows.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServers"]
