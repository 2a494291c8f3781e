"""What the README shows works as it stands there."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, BackgroundProcess, environment
from tests.support.readme import Block, Reader, blocks, commands

README = (ROOT / "README.md").read_text()

SAMPLE = """\
# Sample

```python
# shop/numbers.py
SEVEN = 7
```

```
not to be run
```

```python
from shop.numbers import SEVEN
doubled = 2 * SEVEN
```

```sh
pip install everything  # not here
export NUMBER=14
export CELERIAC_BROKER_URL=redis://where.you.have.it
```

```console
$ celeriac --version | grep \\
    celeriac
celeriac 0.1.0
```

```console
$ version=$(celeriac --version)
$ celeriac --version | grep -x "$version"
```

```python
import os
assert doubled == int(os.environ["NUMBER"])
assert os.environ["CELERIAC_BROKER_URL"] == "redis://test"
```
"""


@pytest.fixture
def make_reader(start_process: Callable[..., BackgroundProcess]) -> Iterator[Callable[[dict[str, str]], Reader]]:
    readers: list[Reader] = []
    # A short path, for the sockets of the servers that `celeriac run` starts.
    with tempfile.TemporaryDirectory(prefix="celeriac-readme-") as folder:

        def make(servers: dict[str, str]) -> Reader:
            reader = Reader(Path(folder), environment=environment(), servers=servers, start_process=start_process)
            readers.append(reader)
            return reader

        yield make
        for reader in readers:
            reader.close()


def test_everything_in_the_readme_works(make_reader, empty_database_url: str, broker_url: str):
    reader = make_reader({"CELERIAC_DATABASE_URL": empty_database_url, "CELERIAC_BROKER_URL": broker_url})
    reader.follow(README)
    # The web app's part defines what a request calls; so call it, with the worker that the README has started.
    reader.python("""
from decimal import Decimal
from shop.flows import Order
from shop.web import place, status
from celeriac import Client

with Client.from_env() as client:
    run_id = place(client, Order(id="A-18", amount=Decimal("12.50")))
    assert client.get(run_id).result(timeout=30) == "reservation of A-18, paid 12.50"
    assert status(client, run_id) == "completed"
    assert place(client, Order(id="A-18", amount=Decimal("12.50"))) == run_id
    assert client.audit() == []
""")


def test_everything_on_the_page_about_failures_works(make_reader):
    reader = make_reader({})
    reader.follow((ROOT / "docs" / "failures.md").read_text())


def test_blocks_are_run_in_order_with_what_those_before_have_left(make_reader):
    make_reader({"CELERIAC_BROKER_URL": "redis://test"}).follow(SAMPLE)


def test_lines_of_a_block_are_its_commands():
    block = next(block for block in blocks(SAMPLE) if block.language == "console")
    assert block == Block(
        language="console", text="$ celeriac --version | grep \\\n    celeriac\nceleriac 0.1.0\n", line=24
    )
    assert list(commands(block)) == ["celeriac --version | grep     celeriac"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\nfine = 1\n1 / 0\n```\n", 'File "README.md", line 3'),
        ("```sh\nceleriac --no-such-option\n```\n", "No such option"),
        ("```sh\ncurl somewhere\n```\n", "does not know"),
        ("```python\n# broken.py\nimport nothing_of_that_name\n```\n", "nothing_of_that_name"),
    ],
)
def test_what_does_not_work_is_told(make_reader, text: str, message: str):
    with pytest.raises(AssertionError, match=message):
        make_reader({}).follow(text)
