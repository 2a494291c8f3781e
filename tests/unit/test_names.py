import pytest

from celeriac import DefinitionError
from celeriac.workflows.authoring.names import (
    LONGEST,
    check_name,
    check_version,
    numbered,
)
from celeriac.workflows.text import did_you_mean


@pytest.mark.parametrize("name", ["a", "_", "order_processing", "shop.charge-card", "Charge2", "a" * LONGEST])
def test_plain_names_are_taken(name):
    assert check_name("step", name, "flows.py:1") == name


@pytest.mark.parametrize(
    "name", ["", "2nd", "-a", ".a", "a b", "a/b", "größe", "a\n", "<lambda>", "a" * (LONGEST + 1), None, 3]
)
def test_names_that_need_quoting_somewhere_are_refused_with_the_rule(name):
    with pytest.raises(DefinitionError) as caught:
        check_name("step", name, "flows.py:1")
    assert str(caught.value) == (
        f"{name!r} cannot name a step (flows.py:1). Use up to 100 ASCII letters, digits, '_', '-' and '.', starting "
        f"with a letter or '_'; name=… sets a name that differs from the function's."
    )


@pytest.mark.parametrize("name", ["celery.chord", "celeriac.reconcile"])
def test_step_cannot_shadow_a_task_of_the_engine(name):
    with pytest.raises(DefinitionError, match=f"'{name}' cannot name a step .*Choose another with name=…"):
        check_name("step", name, "flows.py:1")
    assert check_name("workflow", name, "flows.py:1") == name


@pytest.mark.parametrize("version", ["1", "2.0.1-rc.1+build", "2026-01-31"])
def test_plain_versions_are_taken(version):
    assert check_version("order", version, "flows.py:1") == version


@pytest.mark.parametrize("version", ["", 1, None, "1 2", "1" * (LONGEST + 1)])
def test_other_versions_are_refused_with_the_rule(version):
    with pytest.raises(DefinitionError) as caught:
        check_version("order", version, "flows.py:1")
    assert str(caught.value).startswith(f"Workflow 'order' cannot have the version {version!r} (flows.py:1). Write")


def test_numbered_name_is_the_first_that_is_free():
    assert numbered("process", ()) == "process"
    assert numbered("process", {"process"}) == "process-2"
    assert numbered("process", {"process", "process-2", "process-4"}) == "process-3"


def test_numbered_name_need_not_try_what_was_given_before():
    assert numbered("process", (), earlier=2) == "process-3"
    assert numbered("process", {"process-3"}, earlier=2) == "process-4"


def test_numbered_name_stays_within_the_limit():
    longest = "a" * LONGEST
    assert numbered(longest, {longest}) == "a" * (LONGEST - 2) + "-2"


def test_suggestion_names_the_nearest_or_nothing():
    assert did_you_mean("chrage", ["charge", "ship"]) == "; did you mean 'charge'?"
    assert did_you_mean("xyz", ["charge", "ship"]) == ""
