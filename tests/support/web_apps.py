"""The web apps of docs/web-apps.md, each in a process of its own, called as its framework's test client calls it.

``python -m tests.support.web_apps flask`` reads lists of requests from standard input, makes those of a list at
once, and answers each list with a list of ``[status, body]``.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Self, TypeAlias

Request: TypeAlias = tuple[str, str, Any]  # method, path, JSON
Answer: TypeAlias = tuple[int, Any]
Caller: TypeAlias = Callable[[str, str, Any], Answer]


class WebApp:
    """A running web app; close it by leaving its context.

    Args:
        framework: A name in ``FRAMEWORKS``.
        folder: Where the files of the page are.
        env: The environment.
        forks: Whether the app is loaded in one process and serves in a fork of it.
    """

    def __init__(self, framework: str, folder: Path, env: Mapping[str, str], *, forks: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.web_apps", framework, *(["fork"] if forks else [])],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.communicate()

    def __call__(self, method: str, path: str, body: Any = None) -> Answer:
        (answer,) = self.at_once([(method, path, body)])
        return answer

    def at_once(self, requests: Sequence[Request]) -> list[Answer]:
        """Make requests at the same time, and return their answers in order."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(list(requests)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the web app has ended"
        return [(status, body) for status, body in json.loads(line)]


def fastapi() -> Caller:
    from fastapi.testclient import TestClient

    api = import_module("shop.api")
    api.create_tables()
    client = TestClient(api.app, raise_server_exceptions=False).__enter__()

    def call(method: str, path: str, body: Any) -> Answer:
        answer = client.request(method, path, json=body)
        return answer.status_code, _parsed(answer.text)

    return call


def async_fastapi() -> Caller:
    """Through ASGI in an event loop, so that requests at the same time share the loop."""
    import httpx

    app = import_module("shop.async_api").app
    loop = asyncio.new_event_loop()
    lifespan = app.router.lifespan_context(app)
    loop.run_until_complete(lifespan.__aenter__())
    ThreadPoolExecutor(1).submit(loop.run_forever)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://testserver", timeout=30)

    def call(method: str, path: str, body: Any) -> Answer:
        request = client.request(method, path, json=body)
        answer = asyncio.run_coroutine_threadsafe(request, loop).result()
        return answer.status_code, _parsed(answer.text)

    return call


def flask() -> Caller:
    module = import_module("shop.flask_app")
    app = module.create_app()

    def call(method: str, path: str, body: Any) -> Answer:
        answer = app.test_client().open(path, method=method, json=body)
        return answer.status_code, _parsed(answer.text)

    return call


def django() -> Caller:
    import django
    from django.test import Client

    django.setup()

    def call(method: str, path: str, body: Any) -> Answer:
        client = Client(raise_request_exception=False)
        answer = client.generic(method, path, json.dumps(body), content_type="application/json")
        return answer.status_code, _parsed(answer.text)

    return call


FRAMEWORKS = {"fastapi": fastapi, "async fastapi": async_fastapi, "flask": flask, "django": django}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _serve(call: Caller) -> None:
    with ThreadPoolExecutor(8) as pool:
        for line in sys.stdin:
            answers = list(pool.map(lambda request: call(*request), json.loads(line)))
            print(json.dumps(answers), flush=True)


def _main(framework: str, *options: str) -> None:
    call = FRAMEWORKS[framework]()
    if "fork" in options and (child := os.fork()):
        os.waitpid(child, 0)
    else:
        _serve(call)
    os._exit(0)  # an event loop and clients that nobody closes


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    _main(*sys.argv[1:])
