from datetime import timedelta

import pytest

from celeriac.workflows.cli.display import formatting


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0 ms"),
        (0.0004, "0 ms"),
        (0.012, "12 ms"),
        (0.9996, "1.0 s"),
        (1.24, "1.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7380, "2 h 3 min"),
        (187_200, "2 d 4 h"),
        (172_860, "2 d"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds, expected):
    assert formatting.duration(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (90_000, "1 d")]
)
def test_an_age_is_told_in_its_largest_unit(seconds, expected):
    assert formatting.age(timedelta(seconds=seconds)) == expected


def test_a_long_list_is_cut_and_counted():
    assert formatting.some(["a", "b", "c", "d"]) == "a, b, c, d"
    assert formatting.some([str(number) for number in range(2000)]) == "0, 1, 2 and 1,997 more"


def test_a_message_of_several_lines_becomes_one():
    assert (
        formatting.one_line("connection failed:\n\tIs the server running?\n")
        == "connection failed: Is the server running?"
    )


def test_one_is_not_many():
    assert (formatting.count(1, "run"), formatting.count(0, "run"), formatting.count(2000, "run")) == (
        "1 run",
        "0 runs",
        "2,000 runs",
    )
