"""The world outside, for examples/orders.py: a payment provider, a carrier, a mail service.

Real ones are reached over HTTP, and no transaction of ours reaches into them. What they offer instead is an idempotency
key: a request that comes a second time under the same key is not carried out again, and gets the same answer. So does
this one, which keeps its books in a SQLite file that knows nothing of Celeriac.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def request(service: str, what: str, *, idempotency_key: str) -> str:
    """Have a service do something, once per idempotency key, and return its reference."""
    with _books() as books:
        books.execute(
            "INSERT INTO done (idempotency_key, service, what, reference) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (idempotency_key, service, what, f"{service}-{uuid4().hex[:8]}"),
        )
        [(reference,)] = books.execute("SELECT reference FROM done WHERE idempotency_key = ?", (idempotency_key,))
    return str(reference)


def done(service: str) -> list[str]:
    """Return what a service has done, the first first."""
    with _books() as books:
        return [what for (what,) in books.execute("SELECT what FROM done WHERE service = ? ORDER BY rowid", (service,))]


@contextmanager
def _books() -> Iterator[sqlite3.Connection]:
    file = os.environ.get("EXAMPLES_OUTSIDE") or Path(tempfile.gettempdir()) / f"celeriac-outside-{os.getuid()}.sqlite3"
    books = sqlite3.connect(file, timeout=30)
    try:
        with books:  # commits
            books.execute(
                "CREATE TABLE IF NOT EXISTS done (idempotency_key TEXT PRIMARY KEY, service TEXT NOT NULL, "
                "what TEXT NOT NULL, reference TEXT NOT NULL)"
            )
            yield books
    finally:
        books.close()
