import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from celeriac.workflows.errors import ConfigurationError
from celeriac.workflows.settings import Settings


def test_every_setting_has_a_default_but_for_the_addresses():
    settings = Settings()
    assert settings.database_url is None
    assert settings.broker_url is None
    assert settings.imports == ()
    assert settings.lease == timedelta(seconds=6)


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("CELERIAC_DATABASE_URL", "postgresql://shop:secret@db/shop")
    monkeypatch.setenv("CELERIAC_IMPORTS", "shop.flows, shop.reports,,")
    monkeypatch.setenv("CELERIAC_LEASE_SECONDS", "30")
    monkeypatch.setenv("CELERIAC_PREPARE_STATEMENTS", "false")
    monkeypatch.setenv("CELERIAC_DATA_DIR", "/var/lib/celeriac")
    settings = Settings.from_env()
    assert settings.require_database_url() == "postgresql://shop:secret@db/shop"
    assert settings.imports == ("shop.flows", "shop.reports")
    assert settings.lease_seconds == 30
    assert settings.prepare_statements is False
    assert settings.data_dir == Path("/var/lib/celeriac")


def test_what_is_given_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("CELERIAC_QUEUE", "from-environment")
    assert Settings.from_env(queue="given").queue == "given"


def test_imports_may_be_given_as_a_list_too():
    assert Settings(imports=["shop.flows", "shop.reports"]).imports == ("shop.flows", "shop.reports")


def test_secrets_show_in_no_repr_and_no_text():
    settings = Settings(database_url="postgresql://u:hunter2@db/x", broker_url="redis://:hunter2@cache/0")
    for shown in (repr(settings), str(settings), f"{settings.database_url}", settings.model_dump_json()):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CELERIAC_LEASE_SECONDS", "soon"),
        ("CELERIAC_LEASE_SECONDS", "0.5"),
        ("CELERIAC_RECONCILE_SECONDS", "0"),
        ("CELERIAC_MAX_LOST_ATTEMPTS", "0"),
        ("CELERIAC_INLINE_SECONDS", "-1"),
        ("CELERIAC_PREPARE_STATEMENTS", "perhaps"),
    ],
)
def test_a_variable_that_does_not_hold_what_it_should_is_named(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^Settings are not valid: {variable}: ") as caught:
        Settings.from_env()
    assert "\n" not in str(caught.value)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ConfigurationError, match="CELERIAC_DATABSE_URL"):
        Settings.from_env(databse_url="postgresql://db/x")


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        Settings().queue = "other"


def test_what_is_missing_is_said_with_what_to_do():
    with pytest.raises(ConfigurationError, match="Set CELERIAC_DATABASE_URL to postgresql://"):
        Settings().require_database_url()
    with pytest.raises(ConfigurationError, match="Set CELERIAC_BROKER_URL to redis://"):
        Settings().require_broker_url()


def test_no_package_reads_the_environment_when_it_is_imported():
    code = "import celeriac, celeriac.workflows.client, celeriac.workflows.cli, celeriac.worker.installation"
    bad = {"CELERIAC_LEASE_SECONDS": "soon", "CELERIAC_DATABASE_URL": "nonsense", "CELERIAC_IMPORTS": "no.such.module"}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=bad, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
