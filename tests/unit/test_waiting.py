import pytest

from tests.support.waiting import wait_until


def test_waiting_returns_the_first_true_value():
    values = iter([0, None, "", "here", "later"])
    assert wait_until(lambda: next(values), interval=0) == "here"


def test_waiting_in_vain_says_for_what():
    with pytest.raises(AssertionError, match=r"Not within 0 s: the moon falls \(last value: False\)"):
        wait_until(lambda: False, 0, "the moon falls")
