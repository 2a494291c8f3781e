"""docker-compose.yml, as far as it can be tested without Docker."""

import subprocess
import sys
import tomllib
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT

FILE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
ONE_SHOT = {"migrate"}
# How the fleet is started everywhere: in the README, in the acceptance tests, and here.
COMMANDS = {
    "migrate": "celeriac migrate",
    "worker": "celery -A celeriac worker",
    "beat": "celery -A celeriac beat",
    "flower": "celery -A celeriac flower",
}


def test_the_file_follows_the_compose_specification():
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_fleet_is_complete():
    assert set(SERVICES) == {"postgres", "redis", *COMMANDS}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_address_only(name: str):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_long_running_service_has_a_health_check(name: str):
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize(("name", "command"), COMMANDS.items())
def test_services_are_started_as_users_start_them(name: str, command: str):
    assert " ".join(SERVICES[name]["command"]).startswith(command)


@pytest.mark.parametrize("name", ["worker", "beat", "flower"])
def test_the_fleet_waits_for_the_migration(name: str):
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_part_of_the_fleet_has_the_same_settings(name: str):
    assert SERVICES[name]["environment"] == SERVICES["worker"]["environment"]
    assert {"CELERIAC_DATABASE_URL", "CELERIAC_BROKER_URL", "CELERIAC_IMPORTS"} == set(SERVICES[name]["environment"])


def test_the_image_runs_a_python_that_the_package_supports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    images = [line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")]
    versions = {image.removeprefix("python:").removesuffix("-slim") for image in images}
    assert len(versions) == 1
    assert f"Programming Language :: Python :: {versions.pop()}" in project["classifiers"]
