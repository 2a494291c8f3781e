"""Workflows of thousands of steps, some with the longest names there may be."""

from celeriac import step, workflow

LONGEST = 100  # characters of a name
CHAIN = 1_000
FAN = 2_000


@step
def origin(number: int) -> int:
    return number


@step
def increase(number: int) -> int:
    return number + 1


@step
def total(numbers: list[int]) -> int:
    return sum(numbers)


@step(name="increase_".ljust(LONGEST, "x"))
def increase_by_long_name(number: int) -> int:
    return number + 1


@step(name="total_".ljust(LONGEST, "x"))
def total_by_long_name(numbers: list[int]) -> int:
    return sum(numbers)


def node_name(number: int) -> str:
    return f"node_{number:05}_".ljust(LONGEST, "n")


@workflow
def chain(number: int):
    for _ in range(CHAIN):
        number = increase(number)
    return number


@workflow(name="chain_".ljust(LONGEST, "x"))
def chain_of_long_names(number: int):
    for i in range(CHAIN):
        number = increase_by_long_name.options(name=node_name(i))(number)
    return number


@workflow
def fan(number: int):
    begun = origin(number)
    return increase(total([increase(begun) for _ in range(FAN)]))


@workflow(name="fan_".ljust(LONGEST, "x"))
def fan_of_long_names(number: int):
    begun = increase_by_long_name.options(name=node_name(99_998))(number)
    parts = [increase_by_long_name.options(name=node_name(i))(begun) for i in range(FAN)]
    return total_by_long_name.options(name=node_name(99_999))(parts)


@workflow
def loose(number: int):
    """Two thousand steps that are all ready when the run starts."""
    for _ in range(FAN):
        increase(number)
