from uuid import UUID

from celeriac.workflows.cli.display.change_report import ChangeReport, Unchanged
from celeriac.workflows.engine.states import RunStatus

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


def test_what_changed_and_what_was_so_already_is_told_run_by_run():
    paused = Unchanged(run_id=TWO, status=RunStatus.PAUSED, refused=False)
    report = ChangeReport(action="paused", changed=[ONE], unchanged=[paused])
    assert list(report.lines()) == [f"{ONE} paused", f"{TWO} is paused already"]
    assert report.refusals == []


def test_a_run_that_refuses_is_told_with_the_state_that_it_is_in():
    ended = Unchanged(run_id=THREE, status=RunStatus.COMPLETED, refused=True)
    report = ChangeReport(action="paused", changed=[], unchanged=[ended])
    assert list(report.lines()) == []
    assert report.refusals == [f"Run {THREE} is completed; it cannot be paused."]
    assert report.to_json()["unchanged"] == [{"id": str(THREE), "status": "completed", "refused": True}]


def test_a_thousand_runs_are_counted_and_the_first_ones_named():
    told = list(ChangeReport(action="cancelled", changed=[UUID(int=n) for n in range(1000)]).lines())
    assert len(told) == 22
    assert told[-2:] == ["… and 980 more runs (--json names all)", "1,000 runs cancelled."]


def test_a_dry_run_says_so():
    told = list(ChangeReport(action="cancelled", changed=[ONE, TWO], dry_run=True).lines())
    assert told == [f"{ONE} would be cancelled", f"{TWO} would be cancelled", "2 runs would be cancelled."]
    assert list(ChangeReport(action="cancelled", changed=[], dry_run=True).lines()) == ["No run to be cancelled."]
