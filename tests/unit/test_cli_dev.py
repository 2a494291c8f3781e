import pytest

from celeriac import ConfigurationError
from celeriac.workflows.cli.commands import dev


def test_flower_that_is_asked_for_and_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(dev, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'celeriac\[flower\]'"):
        dev._require_flower(5555)
