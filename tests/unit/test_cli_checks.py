from datetime import timedelta
from pathlib import Path
from uuid import UUID

from celeriac import step, workflow
from celeriac.workflows.authoring.catalog import Catalog
from celeriac.workflows.cli import checks
from celeriac.workflows.cli.checks import CheckStatus
from celeriac.workflows.cli.diagnostics import found_package
from celeriac.workflows.engine.views import Waiting, WorkerScope
from tests.support.processes import ROOT

RUN, OTHER = UUID(int=1), UUID(int=2)


@step(queue="pictures")
def render(page: int) -> int:
    return page


@step
def send(page: int) -> None: ...


@workflow
def report(page: int):
    send(render(page))


def test_a_module_in_the_current_folder_that_takes_the_name_of_the_package_is_found(tmp_path):
    (tmp_path / "celeriac.py").touch()
    found = found_package([str(tmp_path), str(ROOT)])
    assert found == tmp_path / "celeriac.py"
    check = checks.check_package(Path("/there/celeriac/__init__.py"), found)
    assert check.status is CheckStatus.ERROR
    assert check.message == f"'celeriac' is {tmp_path}/celeriac.py instead of /there/celeriac/__init__.py"


def test_a_folder_of_that_name_without_an_init_shadows_nothing(tmp_path):
    (tmp_path / "celeriac").mkdir()
    assert found_package([str(tmp_path), str(ROOT)]) == ROOT / "celeriac" / "__init__.py"


def test_a_package_that_is_where_it_should_be_is_ok():
    here = Path("/there/celeriac/__init__.py")
    assert checks.check_package(here, here).status is CheckStatus.OK


def test_imports_without_workflows_are_a_warning():
    assert checks.check_imports(Catalog.of(), []).status is CheckStatus.WARNING
    assert checks.check_imports(Catalog.of(), ["shop"]).message == "0 workflows in shop"
    assert checks.check_imports(Catalog.of(report), ["shop"]).message == "1 workflow in shop: report"


def test_no_worker_is_an_error_and_half_a_worker_a_warning():
    assert checks.check_workers([], []).status is CheckStatus.ERROR
    assert checks.check_workers(["a"], []).status is CheckStatus.WARNING
    assert checks.check_workers([], ["a"]).status is CheckStatus.WARNING
    assert checks.check_workers(["a"], ["a"]).status is CheckStatus.OK


def test_a_queue_without_a_consumer_is_told_with_its_steps_and_what_to_start():
    needed = checks.queues_needed(Catalog.of(report), "celery")
    assert needed == {"celery": {"send"}, "pictures": {"render"}}
    assert checks.check_queues(needed, ["celery", "pictures"]).status is CheckStatus.OK
    check = checks.check_queues(needed, ["celery"])
    assert check.status is CheckStatus.ERROR
    assert check.message == "no worker takes from queue 'pictures', where render goes"
    assert check.hint.endswith("celery -A celeriac worker -Q pictures")


def test_a_step_that_waits_long_is_a_warning():
    assert checks.check_waiting(None).status is CheckStatus.OK
    assert checks.check_waiting(timedelta(seconds=2)).status is CheckStatus.OK
    assert checks.check_waiting(timedelta(minutes=5)).status is CheckStatus.WARNING


def serving(queues="celery", steps="send"):
    return WorkerScope(queues=frozenset(queues.split()), tasks=frozenset(steps.split()))


def test_a_step_that_no_worker_has_is_told_with_the_runs_that_wait_for_it():
    check = checks.check_code([Waiting(task="render", queue="", runs=(RUN,))], [serving()])
    assert check.status is CheckStatus.ERROR
    assert check.message == f"no worker has step 'render', for which run {RUN} waits"
    both = checks.check_code([Waiting(task="render", queue="pictures", runs=(RUN, OTHER))], [serving("pictures")])
    assert both.message == (f"no worker on queue 'pictures' has step 'render', for which runs {RUN}, {OTHER} wait")


def test_a_step_that_a_worker_of_its_queue_has_is_served():
    waiting = [Waiting(task="render", queue="pictures", runs=(RUN,))]
    assert checks.check_code(waiting, [serving(), serving("pictures", "render")]).status is CheckStatus.OK
    assert checks.check_code([], [serving()]).status is CheckStatus.OK
    # The code is there, but on another queue, which does not help.
    assert checks.check_code(waiting, [serving("pictures"), serving("celery", "render")]).status is CheckStatus.ERROR


def test_a_worker_that_has_not_told_yet_what_it_runs_is_given_the_benefit_of_the_doubt():
    waiting = [Waiting(task="render", queue="pictures", runs=(RUN,))]
    assert checks.check_code(waiting, [serving(), serving("", "")]).status is CheckStatus.OK


def test_a_queue_that_nobody_takes_from_is_told_as_a_queue_also_for_steps_that_are_not_imported():
    waiting = [Waiting(task="old", queue="gone", runs=(RUN,)), Waiting(task="routed", queue="", runs=(RUN,))]
    assert checks.check_code(waiting[:1], [serving()]).status is CheckStatus.OK
    needed = checks.queues_needed(Catalog.of(report), "celery", waiting)
    assert needed == {"celery": {"send"}, "pictures": {"render"}, "gone": {"old"}}
