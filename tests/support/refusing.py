"""A server that takes connections and does not serve them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class RefusingServer:
    """Closes each connection at once, and counts them."""

    def __init__(self, listener: socket.socket) -> None:
        self.connections = 0
        self.url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        self._listener = listener
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


@contextmanager
def refusing_server() -> Iterator[RefusingServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RefusingServer(listener)
        yield server
        server.close()
