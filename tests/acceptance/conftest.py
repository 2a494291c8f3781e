"""Fixtures of the tests with real workers."""

from tests.support.fleet import (
    client,
    effects,
    flows,
    gate,
    make_client,
    once,
    saga_flows,
    short_lease_flows,
    start_worker,
)

__all__ = [
    "client",
    "effects",
    "flows",
    "gate",
    "make_client",
    "once",
    "saga_flows",
    "short_lease_flows",
    "start_worker",
]
