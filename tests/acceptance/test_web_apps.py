"""The web apps of docs/web-apps.md, as they stand there: each is written to a folder, called, and has its run done."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from celeriac import Client, Settings
from tests.support.processes import ROOT, BackgroundProcess, environment
from tests.support.readme import Reader
from tests.support.servers import Databases, PrivateServers, SharedServers
from tests.support.waiting import wait_until
from tests.support.web_apps import FRAMEWORKS, WebApp

PAGE = (ROOT / "docs" / "web-apps.md").read_text()


@pytest.fixture(scope="module")
def shop(databases: Databases, servers: SharedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A folder with the files of the page, after its shell lines: a migrated database, a worker, Django's tables."""
    folder = tmp_path_factory.mktemp("web-apps")
    processes: list[BackgroundProcess] = []

    def start_process(command: list[str], *, name: str, **more: Any) -> BackgroundProcess:
        processes.append(BackgroundProcess(command, log=folder / f"{name}.log", **more))
        return processes[-1]

    with databases.empty() as database_url:
        reader = Reader(
            folder,
            environment=environment(),
            servers={"CELERIAC_DATABASE_URL": database_url, "CELERIAC_BROKER_URL": servers.broker_url},
            start_process=start_process,
            imports_files=False,
        )
        try:
            reader.follow(PAGE)
            with WebApp("fastapi", folder, reader.environment):
                pass  # it has made the tables of all apps with SQLAlchemy
            yield reader
        finally:
            reader.close()
            for process in processes:
                process.kill()


@pytest.fixture
def client(shop: Reader) -> Iterator[Client]:
    urls = {name: shop.environment[f"CELERIAC_{name.upper()}"] for name in ("database_url", "broker_url")}
    with Client(Settings(**urls)) as client:
        yield client


def purchases(shop: Reader, framework: str, order_id: str) -> int:
    table = "orders_purchase" if framework == "django" else "purchases"
    with psycopg.connect(shop.environment["CELERIAC_DATABASE_URL"]) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table} WHERE id = %s", [order_id]).fetchone()
        return found[0]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_web_app_does_what_its_page_says(framework: str, shop: Reader, client: Client):
    assert shop.environment["first"] == shop.environment["again"]
    with WebApp(framework, shop.folder, shop.environment) as app:
        name = framework.replace(" ", "-")
        order, other = {"id": name, "amount": "12.50"}, {"id": name, "amount": "13.00"}

        status, placed = app("POST", "/orders", order)
        assert status == 202
        path = f"/runs/{placed['run']}"
        wait_until(lambda: app("GET", path)[1]["status"] == "completed", 20)
        assert app("GET", path) == (200, {"status": "completed", "steps": {"charge": "completed", "ship": "completed"}})
        assert client.get(placed["run"]).result() == f"{name} shipped, paid 12.50"
        assert client.get(placed["run"]).view().tags == {"channel": "web"}

        assert app("POST", "/orders", order) == (202, placed)
        assert app("POST", "/orders", other)[0] == 409
        assert app("GET", f"/runs/{uuid4()}")[0] == 404
        assert app("POST", "/orders", {"id": "incomplete"})[0] == 422

        answers = app.at_once([("POST", "/purchases", order)] * 4)
        assert [status for status, _ in answers] == [202] * 4
        assert len({body["run"] for _, body in answers}) == 1
        assert purchases(shop, framework, name) == 1
        assert client.get(answers[0][1]["run"]).result(20) == f"{name} shipped, paid 12.50"
        assert app("POST", "/purchases", other)[0] == 409
        before = len(client.list())
        assert app("POST", "/purchases", {"id": "dear", "amount": "1e12"})[0] == 500  # the column has ten digits
        assert len(client.list()) == before, "the run was rolled back with the row"
        if framework == "async fastapi":
            assert app("GET", f"{path}/result") == (200, {"result": f"{name} shipped, paid 12.50"})


def test_asyncpg_serves_as_well_as_psycopg(shop: Reader, client: Client, tmp_path: Path):
    shutil.copytree(shop.folder / "shop", tmp_path / "shop")
    models = tmp_path / "shop" / "models.py"
    models.write_text(models.read_text().replace("+psycopg", "+asyncpg"))
    with WebApp("async fastapi", tmp_path, shop.environment) as app:
        status, started = app("POST", "/purchases", {"id": "asyncpg", "amount": "12.50"})
        assert status == 202
    assert client.get(started["run"]).result(20) == "asyncpg shipped, paid 12.50"


@pytest.mark.parametrize("framework", ["flask", "django"])
def test_an_app_that_is_loaded_before_the_fork_works_after_it(framework: str, shop: Reader, client: Client):
    with WebApp(framework, shop.folder, shop.environment, forks=True) as app:
        for path in ("/orders", "/purchases"):
            status, started = app("POST", path, {"id": f"forked-{framework}", "amount": "12.50"})
            assert status == 202
            assert client.get(started["run"]).result(20) == f"forked-{framework} shipped, paid 12.50"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_web_app_starts_runs_without_redis_and_answers_503_without_postgres(
    framework: str, shop: Reader, private_servers: PrivateServers
):
    env = {
        **shop.environment,
        "CELERIAC_DATABASE_URL": private_servers.database_url,
        "CELERIAC_BROKER_URL": private_servers.broker_url,
    }
    with WebApp("fastapi", shop.folder, env):
        pass  # it has made the tables
    with WebApp(framework, shop.folder, env) as app:
        private_servers.redis.stop()
        order = {"id": "A-1", "amount": "12.50"}
        status, started = app("POST", "/orders", order)
        assert status == 202
        assert app("GET", f"/runs/{started['run']}")[1]["status"] == "pending"
        private_servers.postgres.stop()
        assert app("POST", "/orders", order)[0] == 503
        assert app("POST", "/purchases", order)[0] in {500, 503}  # the app's own connection fails, or ours
        private_servers.postgres.start()
        assert app("POST", "/orders", order) == (202, started)
