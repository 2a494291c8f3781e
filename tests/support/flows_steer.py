"""Workflows whose steps fail, hang, or wait to be told to stop."""

import ctypes
from contextlib import suppress

from celeriac import (
    Retry,
    RetryAfter,
    StepContext,
    step,
    workflow,
)
from tests.support.flows_chaos import await_gate, leave, rest, tell

TWICE = Retry(max_attempts=2, delay=0.1, jitter=0)


@step
def fail_once(context: StepContext, delay: float) -> int:
    """The first attempt asks for another after ``delay`` seconds."""
    leave(context)
    if context.attempt == 1:
        raise RetryAfter(delay)
    return context.attempt


@workflow
def failing_once(delay: float):
    return tell(fail_once(delay))


# Steps that do not yield. Each second attempt returns at once.


@step(timeout=1, retry=TWICE)
def loop_forever(context: StepContext) -> int:
    leave(context)
    while context.attempt == 1:
        pass
    return context.attempt


@step(timeout=1, retry=TWICE)
def block_interpreter(context: StepContext) -> int:
    """A call into C that keeps the interpreter's lock and that no signal interrupts: a mutex locked twice."""
    leave(context)
    if context.attempt == 1:
        library, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(128)
        library.pthread_mutex_lock(mutex)
        library.pthread_mutex_lock(mutex)
    return context.attempt


@step(timeout=1, retry=TWICE)
def sleep_in_c(context: StepContext) -> int:
    """A call into C that keeps the interpreter's lock, but that a signal ends early."""
    leave(context)
    if context.attempt == 1:
        ctypes.PyDLL(None).sleep(60)
    return context.attempt


@step(timeout=1, retry=TWICE)
def swallow_errors(context: StepContext) -> int:
    leave(context)
    while context.attempt == 1:
        with suppress(Exception):
            rest(60)
    return context.attempt


@workflow
def looping():
    return tell(loop_forever())


@workflow
def blocking():
    return tell(block_interpreter())


@workflow
def sleeping_in_c():
    return tell(sleep_in_c())


@workflow
def swallowing():
    return tell(swallow_errors())


@step(timeout=1, retry=TWICE)
def hang_once(context: StepContext, gate: str) -> int:
    leave(context)
    if context.attempt == 1:
        await_gate(gate)
    return context.attempt


@workflow
def hanging(gate: str):
    return tell(hang_once(gate))


@step(heartbeat_timeout=1, retry=TWICE)
def beat_and_stop(context: StepContext, gate: str) -> int:
    """Lives on heartbeats for longer than their time-out, then falls silent."""
    leave(context)
    if context.heartbeat_details is not None:
        return context.heartbeat_details["page"]
    for page in range(5):
        context.heartbeat({"page": page})
        rest(0.4)
    await_gate(gate)
    return -1


@workflow
def beating(gate: str):
    return tell(beat_and_stop(gate))


# Steps that wait to be told to stop.


@step
def watch(context: StepContext) -> int:
    leave(context)
    for _ in range(1_200):
        if context.cancelled:
            leave(context, "cancelled")
            return 1
        rest(0.05)
    return 0


@workflow
def watching():
    return tell(watch())


@step
def hold_open(context: StepContext, gate: str) -> int:
    leave(context)
    await_gate(gate)
    return 1


@workflow(timeout=1)
def held_for_a_second(gate: str):
    return tell(hold_open(gate))


@workflow
def holding_open(gate: str):
    return tell(hold_open(gate))
