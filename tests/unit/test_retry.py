"""Policies: whether a failed attempt is followed by another, and after how long."""

import copy
import json
import pickle  # noqa: TID251 - Celery and multiprocessing pickle exceptions; ours must survive it
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import (
    DefinitionError,
    GiveUp,
    Retry,
    RetryAfter,
)
from celeriac.workflows.engine.retry import error_names


class Declined(Exception):
    class ForGood(Exception):
        pass


class DeclinedForNow(Declined):
    pass


def square(failures: int) -> float:
    return float(failures * failures)


def minutes(failures: int) -> timedelta:
    return timedelta(minutes=failures)


def backwards(failures: int) -> float:
    return -float(failures)


class Waits:
    @staticmethod
    def always_seven(_failures: int) -> int:
        return 7


def waits(policy: Retry, count: int = 5, share: float = 0.0) -> list[float]:
    return [policy.wait(failures, share) for failures in range(1, count + 1)]


# --- how long


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 4, 8, 16]),
        ({"backoff": "exponential", "delay": 3}, [3, 6, 12, 24, 48]),
        ({"backoff": "exponential", "delay": 3, "max_delay": 10}, [3, 6, 10, 10, 10]),
        ({"backoff": "linear", "delay": 3}, [3, 6, 9, 12, 15]),
        ({"backoff": "linear", "delay": 3, "max_delay": 7}, [3, 6, 7, 7, 7]),
        ({"backoff": "constant", "delay": 3}, [3, 3, 3, 3, 3]),
        ({"backoff": "constant", "delay": 3, "max_delay": 2}, [2, 2, 2, 2, 2]),
        ({"backoff": "constant", "delay": 0}, [0, 0, 0, 0, 0]),
        ({"delay": timedelta(milliseconds=500), "max_delay": timedelta(seconds=2)}, [0.5, 1, 2, 2, 2]),
        ({"backoff": "constant", "delay": 3600}, [3600] * 5),
        ({"backoff": "linear", "delay": 100}, [100, 200, 300, 300, 300]),
        ({"backoff": square}, [1, 4, 9, 16, 25]),
        ({"backoff": square, "max_delay": 10}, [1, 4, 9, 10, 10]),
        ({"backoff": minutes, "max_delay": timedelta(hours=1)}, [60, 120, 180, 240, 300]),
        ({"backoff": Waits.always_seven}, [7, 7, 7, 7, 7]),
    ],
)
def test_the_wait_after_each_failure_follows_the_back_off(options, expected):
    assert waits(Retry(**options)) == expected


def test_by_default_a_step_is_tried_three_times_with_exponential_waits_and_some_jitter():
    policy = Retry()
    assert (policy.max_attempts, policy.backoff, policy.delay, policy.jitter) == (3, "exponential", 1.0, 0.1)
    assert (policy.retry_on, policy.give_up_on) == (("builtins.Exception",), ())


policies = st.builds(
    Retry,
    backoff=st.sampled_from(["exponential", "linear", "constant"]) | st.just(square),
    delay=st.floats(0, 1e6),
    max_delay=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)


@given(policy=policies, failures=st.integers(1, 10_000), share=st.floats(0, 1))
def test_jitter_takes_off_no_more_than_its_share_and_adds_nothing(policy, failures, share):
    whole = policy.wait(failures, 0.0)
    jittered = policy.wait(failures, share)
    assert whole * (1 - policy.jitter) - 1e-6 <= jittered <= whole <= policy.max_delay


@given(policy=policies, failures=st.integers(1, 10_000))
def test_no_wait_is_shorter_than_the_one_before(policy, failures):
    assert policy.wait(failures, 0.0) <= policy.wait(failures + 1, 0.0)


@pytest.mark.parametrize("backoff", ["exponential", "linear", "constant"])
def test_any_number_of_failures_has_a_wait(backoff):
    policy = Retry(backoff=backoff, delay=1e300, max_delay=86_400, jitter=0)
    assert policy.wait(10**9, 0.5) == 86_400


@given(number=st.integers(1, 100_000), delay=st.floats(0, 1e6))
def test_an_exponential_wait_never_overflows(number, delay):
    assert 0 <= Retry(delay=delay, max_delay=60).wait(number, 0.0) <= 60


def test_a_back_off_that_returns_no_time_is_refused_when_it_is_asked():
    with pytest.raises(DefinitionError, match="backoff=-1.0 is not a time: give seconds from 0 up, or a timedelta"):
        Retry(backoff=backwards).wait(1, 0.0)


# --- whether


@pytest.mark.parametrize(
    ("options", "error", "retried"),
    [
        ({}, ValueError(), True),
        ({}, Declined(), True),
        ({}, KeyboardInterrupt(), False),
        ({}, SystemExit(1), False),
        ({}, GiveUp("no"), False),
        ({}, RetryAfter(1), True),
        ({"retry_on": Declined}, Declined(), True),
        ({"retry_on": Declined}, DeclinedForNow(), True),
        ({"retry_on": Declined}, Declined.ForGood(), False),
        ({"retry_on": Declined.ForGood}, Declined.ForGood(), True),
        ({"retry_on": DeclinedForNow}, Declined(), False),
        ({"retry_on": [OSError, Declined]}, ConnectionResetError(), True),
        ({"retry_on": [OSError, Declined]}, ValueError(), False),
        ({"retry_on": ()}, ValueError(), False),
        ({"give_up_on": Declined}, ValueError(), True),
        ({"give_up_on": Declined}, DeclinedForNow(), False),
        ({"give_up_on": (DeclinedForNow,)}, Declined(), True),
        ({"retry_on": Declined, "give_up_on": DeclinedForNow}, DeclinedForNow(), False),
        ({"retry_on": BaseException}, GiveUp(), False),
        ({"retry_on": GiveUp}, GiveUp(), False),
        ({"retry_on": Declined}, RetryAfter(1), True),
        ({"give_up_on": RetryAfter}, RetryAfter(1), False),
    ],
)
def test_an_error_is_retried_by_its_class_and_what_that_derives_from(options, error, retried):
    policy = Retry(**options)
    assert policy.retries(error_names(error)) is retried
    assert Retry.from_json(policy.to_json()).retries(error_names(error)) is retried


def test_a_class_is_told_from_another_of_its_name():
    class ValueError(Exception):  # noqa: A001 - the point
        pass

    assert not Retry(retry_on=__builtins__["ValueError"]).retries(error_names(ValueError()))


# --- as data


@given(
    policy=st.builds(
        Retry,
        max_attempts=st.integers(1, 10**6),
        backoff=st.sampled_from(["exponential", "linear", "constant"]) | st.sampled_from([square, minutes]),
        delay=st.floats(0, 1e9),
        max_delay=st.floats(0, 1e9),
        jitter=st.floats(0, 1),
        retry_on=st.lists(st.sampled_from([Exception, OSError, Declined, Declined.ForGood])),
        give_up_on=st.lists(st.sampled_from([KeyError, DeclinedForNow])),
    )
)
def test_a_policy_is_the_same_after_a_trip_through_json(policy):
    again = Retry.from_json(json.loads(json.dumps(policy.to_json())))
    assert again == policy
    assert hash(again) == hash(policy)
    assert waits(again) == waits(policy)


def test_a_back_off_of_your_own_travels_by_its_import_name():
    assert Retry(backoff=square).backoff == f"{__name__}:square"
    assert Retry(backoff=Waits.always_seven).backoff == f"{__name__}:Waits.always_seven"


def test_a_policy_cannot_be_changed():
    with pytest.raises(AttributeError):
        Retry().max_attempts = 5


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_a_wish_to_be_tried_later_survives_pickling(again):
    for error in (RetryAfter(timedelta(minutes=2)), RetryAfter(1.5, "429 Too Many Requests")):
        other = again(error)
        assert (other.delay, str(other)) == (error.delay, str(error))
    assert str(RetryAfter(90)) == "asked to be tried again after 90 s"
    assert str(RetryAfter(90, "too many requests")) == "too many requests"


# --- refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attemps": 3}, "Unknown option 'max_attemps' for Retry; did you mean 'max_attempts'?"),
        ({"retries": 3}, "Unknown option 'retries' for Retry"),
        (
            {"zzz": 3},
            "Unknown option 'zzz' for Retry. Options: backoff, delay, give_up_on, jitter, max_attempts, max_delay",
        ),
        ({"max_attempts": 0}, "Bad option for Retry: max_attempts=0 is not a number from 1 up."),
        ({"max_attempts": 2.5}, "Bad option for Retry: max_attempts=2.5 is not a number from 1 up."),
        ({"max_attempts": True}, "Bad option for Retry: max_attempts=True is not a number from 1 up."),
        ({"max_attempts": None}, "Bad option for Retry: max_attempts=None is not a number from 1 up."),
        ({"jitter": 1.5}, "Bad option for Retry: jitter=1.5 is not a number from 0 to 1."),
        ({"jitter": -0.1}, "Bad option for Retry: jitter=-0.1 is not a number from 0 to 1."),
        ({"jitter": float("nan")}, "Bad option for Retry: jitter=nan is not a number from 0 to 1."),
        ({"jitter": True}, "Bad option for Retry: jitter=True is not a number from 0 to 1."),
        ({"delay": -1}, "delay=-1 is not a time: give seconds from 0 up, or a timedelta."),
        ({"delay": "1s"}, "delay='1s' is not a time: give seconds from 0 up, or a timedelta."),
        ({"delay": float("nan")}, "delay=nan is not a time"),
        ({"max_delay": float("inf")}, "max_delay=inf is not a time"),
        ({"max_delay": timedelta(seconds=-1)}, "max_delay="),
        (
            {"backoff": "exponentail"},
            "Bad option for Retry: backoff='exponentail' is not known; did you mean 'exponential'?",
        ),
        (
            {"backoff": "zzz"},
            "Bad option for Retry: backoff='zzz' is not known. There are: exponential, linear, constant, or a func",
        ),
        ({"backoff": 3}, "Bad option for Retry: backoff=3 cannot be imported by another process. Give a function"),
        ({"retry_on": ValueError()}, "Bad option for Retry: retry_on"),
        ({"retry_on": "ValueError"}, "Bad option for Retry: retry_on"),
        ({"retry_on": [int]}, "Bad option for Retry: retry_on has <class 'int'>, which is not an exception class."),
        ({"give_up_on": int}, "Bad option for Retry: give_up_on has <class 'int'>, which is not an exception class."),
    ],
)
def test_a_policy_that_cannot_work_is_refused(options, message):
    with pytest.raises(DefinitionError) as caught:
        Retry(**options)
    assert str(caught.value).startswith(message)


def test_a_function_that_no_other_process_can_import_is_refused():
    def inside(failures: int) -> float:
        return 1.0

    for backoff in (lambda _failures: 1.0, inside):
        with pytest.raises(DefinitionError, match="cannot be imported by another process. Give a function that a"):
            Retry(backoff=backoff)
