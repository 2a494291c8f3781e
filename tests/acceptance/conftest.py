"""Fixtures of the tests with real workers."""

from tests.support.fleet import client, effects, flows, gate, make_client, once, saga_flows, start_worker

__all__ = ["client", "effects", "flows", "gate", "make_client", "once", "saga_flows", "start_worker"]
