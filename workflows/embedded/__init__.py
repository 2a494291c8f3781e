"""Postgres and Redis on this machine, out of wheels, for `celeriac dev`, `celeriac run` and the tests."""

from workflows.embedded.postgres import EmbeddedPostgres
from workflows.embedded.redis import EmbeddedRedis
from workflows.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServers"]
