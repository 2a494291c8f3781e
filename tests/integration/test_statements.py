"""The named statements: each is valid on the migrated schema, described, and used."""

import ast
import re
from functools import cache
from pathlib import Path

import psycopg
import pytest

from celeriac.workflows.history import statements
from celeriac.workflows.history.statements import (
    FILES,
    driver_sql,
    load,
    statement,
)

ROOT = Path(__file__).parents[2]
FOLDER = Path(statements.__file__).parent / "sql"
NAMES = [name for file in FILES for name in load(file)]
EXECUTING = {"statement", "driver_sql", "execute", "execute_all", "scalar", "_take", "_change", "_runs"}
PARAMETER = re.compile(r"%\((\w+)\)s")


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_prepares_against_the_migrated_schema(database_url, name):
    numbers: dict[str, int] = {}
    sql = PARAMETER.sub(lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}", driver_sql(name))
    with psycopg.connect(database_url) as connection:
        connection.execute(f"PREPARE tested AS {sql.replace('%%', '%')}".encode())
        [(types,)] = connection.execute("SELECT parameter_types FROM pg_prepared_statements WHERE name = 'tested'")
    assert len(types) == len(numbers)


@cache
def executed() -> frozenset[str]:
    """The texts that are the first argument of a call that executes a statement by its name."""
    sources = [
        path.read_text() for package in ("workflows", "worker", "beat") for path in (ROOT / package).rglob("*.py")
    ]
    calls = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return frozenset(
        call.args[0].value
        for call in calls
        if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)) in EXECUTING
        and call.args
        and isinstance(call.args[0], ast.Constant)
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_is_used(name):
    assert name in executed()


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_says_in_sentences_what_it_does(name):
    described = next(load(file)[name].description for file in FILES if name in load(file))
    assert re.fullmatch(r"[A-Z].*\.", described)


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_takes_the_same_parameters_from_sqlalchemy_and_from_the_driver(name):
    assert set(PARAMETER.findall(driver_sql(name))) == set(statement(name)._bindparams)


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_takes_the_time_from_the_database(name):
    assert not {"now", "at", "time"} & set(statement(name)._bindparams)


def test_no_name_is_used_twice():
    assert len(NAMES) == len(set(NAMES))


def test_every_file_is_loaded_and_every_statement_in_it_has_a_name():
    assert {path.stem for path in FOLDER.glob("*.sql")} == set(FILES)
    for file in FILES:
        source = (FOLDER / f"{file}.sql").read_text()
        assert source.startswith("-- name: ")
        assert source.count("-- name: ") == len(load(file))
        assert all(";" not in found.sql for found in load(file).values())


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="no_such_statement"):
        statement("no_such_statement")


def test_a_comment_on_every_index_says_which_statement_needs_it(database_url):
    with psycopg.connect(database_url) as connection:
        indexes = connection.execute(
            "SELECT relname, obj_description(pg_class.oid) FROM pg_class JOIN pg_index ON indexrelid = pg_class.oid"
            " WHERE relname LIKE 'workflow%' AND NOT indisprimary"
        ).fetchall()
    assert indexes
    for index, comment in indexes:
        assert comment, f"{index} has no comment"
        for word in re.findall(r"\w+_\w+", comment):
            assert word in NAMES, f"the comment on {index} names {word}, which is no statement"
