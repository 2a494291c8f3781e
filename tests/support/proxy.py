"""A proxy in front of Postgres that loses what a network loses: a request, or the answer to one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from sqlalchemy import make_url


class PostgresProxy:
    """Listens on a port of its own and hands on bytes, until it is told to lose some.

    Attributes:
        url: The database through the proxy.
    """

    def __init__(self, database_url: str) -> None:
        self._target = make_url(database_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        query = {key: value for key, value in self._target.query.items() if key not in ("host", "port")}
        url = self._target.set(host="127.0.0.1", port=port, query=query)
        self.url = url.render_as_string(hide_password=False)
        self._lose: Literal["request", "answer"] | None = None
        self._lost = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def lose_next(self, what: Literal["request", "answer"]) -> None:
        """Break the connection of the next request: before it reaches Postgres, or when Postgres has answered."""
        self._lost.clear()
        self._lose = what

    @property
    def has_lost(self) -> bool:
        """Whether it broke a connection since it was last told to."""
        return self._lost.is_set()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for pair in self._pairs:
            _close(pair)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            pair = client, self._connect()
            self._pairs.append(pair)
            for source, sink, what in ((*pair, "request"), (*reversed(pair), "answer")):
                threading.Thread(target=self._pump, args=(pair, source, sink, what), daemon=True).start()

    def _connect(self) -> socket.socket:
        query = dict(self._target.query)
        host = str(query.get("host") or self._target.host or "127.0.0.1")
        port = int(str(query.get("port") or self._target.port or 5432))
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pump(
        self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket, what: str
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self._lose == what:
                    self._lose = None
                    break
                sink.sendall(data)
        _close(pair)
        self._lost.set()


def _close(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def postgres_proxy(database_url: str) -> Iterator[PostgresProxy]:
    proxy = PostgresProxy(database_url)
    try:
        yield proxy
    finally:
        proxy.close()
