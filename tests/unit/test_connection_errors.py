"""Which errors of the driver mean that the database is away for a while."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import exc

from celeriac.workflows.history.database import is_connection_error, is_transient

AWAY = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.ConnectionFailure)
PASSING = (
    errors.ReadOnlySqlTransaction,  # a server that has failed over, until it is the primary
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.TooManyConnections,
    errors.DiskFull,
    errors.LockNotAvailable,
    errors.IoError,
)
LASTING = (errors.UniqueViolation, errors.UndefinedTable, errors.InvalidPassword, errors.SyntaxError)


def forms(error: psycopg.Error) -> tuple[psycopg.Error | exc.DBAPIError, ...]:
    """The error as the driver raises it, and as SQLAlchemy does."""
    return error, exc.DBAPIError("SELECT 1", {}, error)


@pytest.mark.parametrize("kind", AWAY)
def test_a_server_that_ends_or_refuses_sessions_is_away(kind):
    for error in forms(kind("…")):
        assert is_connection_error(error)
        assert is_transient(error)


@pytest.mark.parametrize("error", [psycopg.OperationalError("no route"), psycopg.InterfaceError("closed")])
def test_a_connection_that_breaks_without_a_word_is_a_server_that_is_away(error):
    for form in forms(error):
        assert is_connection_error(form)
        assert is_transient(form)


@pytest.mark.parametrize("kind", PASSING)
def test_a_statement_that_a_server_cannot_execute_now_may_succeed_later(kind):
    for error in forms(kind("…")):
        assert not is_connection_error(error)
        assert is_transient(error)


@pytest.mark.parametrize("kind", LASTING)
def test_a_statement_that_is_wrong_stays_wrong(kind):
    for error in forms(kind("…")):
        assert not is_connection_error(error)
        assert not is_transient(error)
