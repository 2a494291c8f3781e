"""The examples do what they say, with real workers."""

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.rows import dict_row

from celeriac import Client
from celeriac.workflows.errors import InputInvalid, RunFailed
from celeriac.workflows.settings import Settings
from examples import outside
from examples.flights import DATA, flight_report, read_flights
from examples.orders import IN_STOCK, order_processing
from tests.support.commands import Celeriac
from tests.support.outcomes import assert_all_completed_once, events_of
from tests.support.processes import BackgroundProcess, WorkerProcess
from tests.support.servers import server_folder

FLIGHTS = DATA / "flights-2013-01.csv.gz"
ORDER = json.loads((DATA / "order.json").read_text())


@pytest.fixture
def here(settings: Settings) -> Settings:
    """As docker-compose.yml has it: both examples in one fleet."""
    return settings.model_copy(update={"imports": ("examples.flights", "examples.orders")})


@pytest.fixture
def client(here: Settings) -> Iterator[Client]:
    with Client(here) as client:
        yield client


@pytest.fixture
def worker(here: Settings, world: None, start_worker: Callable[..., WorkerProcess]) -> WorkerProcess:
    return start_worker(here)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A world outside in which nothing has been done yet."""
    monkeypatch.setenv("EXAMPLES_OUTSIDE", str(tmp_path / "outside.sqlite3"))


def query(settings: Settings, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.require_database_url(), row_factory=dict_row) as connection:
        return connection.execute(statement).fetchall()


# -- Flights


def measured_by_sql(settings: Settings, by: str) -> dict[str, dict[str, float]]:
    """Measure the raw file by a way of its own: its text into a table, aggregates by Postgres."""
    header, *lines = gzip.decompress(FLIGHTS.read_bytes()).decode().splitlines(keepends=True)
    with psycopg.connect(settings.require_database_url(), row_factory=dict_row) as connection:
        connection.execute(f"CREATE TEMPORARY TABLE raw ({', '.join(f'{name} text' for name in header.split(','))})")
        with connection.cursor().copy("COPY raw FROM STDIN (FORMAT csv, NULL 'NA')") as copy:
            copy.write("".join(lines))
        rows = connection.execute(f"""
            SELECT {by} AS code, count(dep_delay) AS departures, count(*) - count(dep_delay) AS cancelled,
                   avg(dep_delay::int)::float AS mean_delay,
                   percentile_cont(0.95) WITHIN GROUP (ORDER BY dep_delay::int) AS p95_delay,
                   (count(*) FILTER (WHERE dep_delay::int <= 15))::float / count(dep_delay) AS on_time
            FROM raw GROUP BY {by}
        """)
        return {row.pop("code"): row for row in rows}


def test_the_flight_report_has_the_numbers_that_sql_finds_in_the_file(here: Settings, client: Client, worker):
    run = client.start(flight_report)
    report = run.result(60)

    assert (report.summary.month, report.summary.rows, report.summary.invalid) == ("2013-01", 27_004, 0)
    by_airport, by_carrier = measured_by_sql(here, "origin"), measured_by_sql(here, "carrier")
    assert {line.code for line in report.airports} == by_airport.keys()
    for measured, expected in [(report.airports, by_airport), (report.worst_carriers, by_carrier)]:
        for line in measured:
            assert {name: getattr(line, name) for name in expected[line.code]} == pytest.approx(expected[line.code])
    # These were counted with awk.
    assert [(line.code, line.departures, line.cancelled, line.p95_delay) for line in report.airports] == [
        ("EWR", 9_655, 238, 95),
        ("JFK", 9_061, 100, 67),
        ("LGA", 7_767, 183, 59),
    ]
    assert [(line.code, line.name) for line in report.worst_carriers] == [
        ("EV", "ExpressJet Airlines Inc."),
        ("9E", "Endeavor Air Inc."),
        ("B6", "JetBlue Airways"),
        ("WN", "Southwest Airlines Co."),
        ("UA", "United Air Lines Inc."),
    ]
    assert_all_completed_once(client)


def test_reporting_a_month_again_leaves_one_copy_of_its_rows(here: Settings, client: Client, worker):
    first, second = client.start(flight_report), client.start(flight_report)  # side by side
    report = first.result(60)
    assert second.result(60) == report
    assert client.start(flight_report).result(60) == report
    rows = query(here, "SELECT * FROM airport_delays ORDER BY airport")
    assert [(row["month"], row["airport"], row["mean_delay"]) for row in rows] == [
        ("2013-01", line.code, line.mean_delay) for line in report.airports
    ]
    assert_all_completed_once(client)


@pytest.fixture
def spoil(tmp_path: Path) -> Callable[[dict[int, str]], str]:
    """``spoil({3: "not a row"})``: a copy of the flights with other text in place of some rows."""

    def write(rows: dict[int, str]) -> str:
        lines = gzip.decompress(FLIGHTS.read_bytes()).decode().splitlines()
        for number, text in rows.items():
            lines[number] = text
        file = tmp_path / "flights.csv.gz"
        file.write_bytes(gzip.compress("\n".join(lines).encode(), compresslevel=1))
        return str(file)

    return write


def test_invalid_rows_are_left_out_counted_and_named(spoil):
    lines = {
        1: "2013,1,1,517,515,soon,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z",
        2: "2013,1,1,533,529,NA,850,830,20,UA,1714,N24211,LGA,IAH,227,1416,5,29,2013-01-01T10:00:00Z",
        3: "2013,1,1,542,540,2,923,850,33,AA,1141,N619AA,LAX,MIA,160,1089,5,40,2013-01-01T10:00:00Z",
        4: "2013,1,1",
    }
    flights = read_flights(spoil(lines))
    assert (flights.summary.rows, flights.summary.invalid) == (27_004, 4)
    assert [problem.split(" Input")[0].split(" Value")[0] for problem in flights.summary.problems] == [
        "row 1: dep_delay",
        "row 2:",
        "row 3: origin",
        "row 4: origin",
    ]
    airports = flights.by_airport.values()
    assert sum(len(departures.delays) + departures.cancelled for departures in airports) == 27_000


def test_a_file_with_many_invalid_rows_fails_the_run_with_the_first_of_them(client: Client, worker, spoil):
    run = client.start(flight_report, spoil(dict.fromkeys(range(1, 401), "nonsense")))
    with pytest.raises(RunFailed, match=r"400 of 27004 rows in .* are invalid, the first in row 1: year Input should"):
        run.result(60)
    missing = client.start(flight_report, "nowhere.csv.gz")
    with pytest.raises(RunFailed, match=r"step 'read_flights' raised FileNotFoundError: .*nowhere\.csv\.gz"):
        missing.result(60)
    assert client.audit() == []


def test_the_demo_runs_twice_and_leaves_nothing_running(start_process: Callable[..., BackgroundProcess]):
    with server_folder() as folder:
        for name in ("first", "second"):
            demo = start_process(
                [sys.executable, "-m", "examples.flights"],
                name=name,
                settings=Settings(data_dir=folder / "data"),
            )
            assert demo.wait(60) == 0, demo.output
            live, _, page = demo.output.partition("Flights from New York, 2013-01: 27,004 rows, 0 of them invalid")
            assert "✓ measure_JFK completed in" in live
            table, _, shown = page.partition("flight_report version 1")
            assert "EWR  Newark Liberty Intl             9,655        238     14.9 min" in table
            assert "✓ save_report" in shown
            assert not using(folder)


def using(folder: Path) -> list[str]:
    """Processes that were started for the embedded servers of a folder."""
    processes = psutil.process_iter(["cmdline", "environ"])
    return [str(p.info["cmdline"]) for p in processes if str(folder) in f"{p.info['cmdline']} {p.info['environ']}"]


# -- Orders


def order(**changes: Any) -> dict[str, Any]:
    return {**ORDER, **changes}


def stock(settings: Settings) -> dict[str, int]:
    return {row["article"]: row["pieces"] for row in query(settings, "SELECT article, pieces FROM stock")}


AFTER_ONE_ORDER = {"mug": IN_STOCK - 4, "teapot": IN_STOCK - 1, "tea": IN_STOCK - 2}


def test_an_order_is_brought_to_its_customer(here: Settings, client: Client, worker):
    run = client.start(order_processing, ORDER)
    shipment = run.result(30)

    assert (shipment.order_id, str(shipment.insured_for)) == ("2013-0001", "114.90")
    assert stock(here) == AFTER_ONE_ORDER
    assert outside.done("payment") == ["114.90 from ada@example.com"]
    assert outside.done("parcel") == ["7 pieces to 12 Analytical Row, London"]
    assert outside.done("mail") == [f"to ada@example.com: order 2013-0001 is on its way as {shipment.tracking}"]
    assert [event.position for event in run.history() if event.type == "StepCompleted"] == [0, 1, 2, 3, 4]
    assert_all_completed_once(client)


def test_nothing_is_done_twice_for_an_order_whose_worker_dies_after_each_effect(
    here: Settings, world: None, client: Client, start_worker: Callable[..., WorkerProcess]
):
    # Each child process dies after the second step that it has run, before that is recorded.
    start_worker(here, concurrency=1, env={"CELERIAC_CRASH_AT": "after_effect_before_record:2"})
    shipment = client.start(order_processing, ORDER).result(60)

    assert events_of(client, "StepLost") == 4
    assert stock(here) == AFTER_ONE_ORDER
    assert len(outside.done("payment")) == 1
    assert len(outside.done("parcel")) == 1
    assert len(outside.done("mail")) == 1
    assert outside.done("mail")[0].endswith(shipment.tracking)
    assert_all_completed_once(client)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lines": []}, "lines: List should have at least 1 item"),
        ({"customer": "Ada"}, "customer: String should match pattern"),
        ({"lines": [{"article": "mug", "quantity": 0, "price": "12.50"}]}, r"lines\[0\]\.quantity: Input should be"),
        ({"lines": [{"article": "mug", "quantity": 1, "price": "12.501"}]}, r"lines\[0\]\.price: Decimal input should"),
    ],
)
def test_an_order_that_is_no_order_is_refused_before_anything_starts(client: Client, changes, reason):
    with pytest.raises(InputInvalid, match=reason):
        client.start(order_processing, order(**changes))
    assert client.list() == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            {"article": "samovar", "quantity": 1, "price": "12.50"},
            "step 'validate' raised OrderRejected: Order 2013-0001: there is no article 'samovar'.",
        ),
        (
            {"article": "mug", "quantity": 1, "price": "1.25"},
            "step 'validate' raised OrderRejected: Order 2013-0001: 'mug' costs 12.50, the order says 1.25.",
        ),
        (
            {"article": "tea", "quantity": IN_STOCK + 1, "price": "7.95"},
            f"step 'reserve' raised OrderRejected: Order 2013-0001: fewer than {IN_STOCK + 1} of 'tea' are left.",
        ),
    ],
)
def test_an_order_that_cannot_be_fulfilled_fails_with_the_reason_and_takes_nothing(
    here: Settings, client: Client, worker, line, reason
):
    run = client.start(order_processing, order(lines=[{"article": "mug", "quantity": 4, "price": "12.50"}, line]))
    with pytest.raises(RunFailed) as failed:
        run.result(30)
    assert failed.value.reason == reason
    assert outside.done("payment") == []
    assert query(here, "SELECT to_regclass('stock')") == [{"to_regclass": None}]  # rolled back, the table too
    assert client.audit() == []


def test_an_order_is_run_from_a_file_by_the_command(settings: Settings, world: None, tmp_path: Path):
    celeriac = Celeriac(settings.model_copy(update={"data_dir": tmp_path / "data"}))
    done = celeriac("run", "examples.orders:order_processing", "--input", "@examples/data/order.json")
    assert done.exit_code == 0, done.err
    assert json.loads(done.out)["insured_for"] == "114.90"
    (tmp_path / "bad.json").write_text(json.dumps(order(lines=[])))
    refused = celeriac("run", "examples.orders:order_processing", "--input", f"@{tmp_path / 'bad.json'}")
    assert refused.exit_code == 1
    [line] = refused.err.splitlines()
    assert line.startswith("Error: Input of workflow 'order_processing' is not valid: ")
