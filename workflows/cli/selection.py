"""Choose the runs that a command changes, by id or by filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from celeriac.workflows.cli.inputs import read_tags
from celeriac.workflows.client.client import Filters
from celeriac.workflows.engine.states import RunStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The chosen runs: their ids, or filters that they fit."""

    run_ids: Sequence[str]  # empty: the runs that fit the filters
    filters: Filters


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument RUN… and filter options to a command, as its ``choice``."""

    @click.argument("run_ids", metavar="[RUN]...", nargs=-1)
    @click.option("--workflow", metavar="NAME", help="All runs of this workflow, instead of RUN.")
    @click.option("--status", type=click.Choice([status.value for status in RunStatus]), help="All runs in this state.")
    @click.option(
        "--tag", "tags", metavar="KEY=VALUE", multiple=True, help="All runs with this label; may be repeated."
    )
    @wraps(command)
    def with_choice(
        *args: Any,
        run_ids: tuple[str, ...],
        workflow: str | None,
        status: str | None,
        tags: tuple[str, ...],
        **options: Any,
    ) -> None:
        command(*args, choice=choice_of(run_ids, workflow, status, tags), **options)

    return with_choice


def choice_of(run_ids: Sequence[str], workflow: str | None, status: str | None, tags: Sequence[str]) -> Choice:
    """Return the choice.

    Raises:
        click.UsageError: no id and no filter, which must not mean all runs; or both.
    """
    filtered = workflow is not None or status is not None or bool(tags)
    if not run_ids and not filtered:
        raise click.UsageError("Name the runs, or choose some with --workflow, --status or --tag.")
    if run_ids and filtered:
        raise click.UsageError("Name the runs, or choose some with --workflow, --status or --tag; not both.")
    return Choice(
        run_ids=tuple(dict.fromkeys(run_ids)),
        filters={
            "workflow": workflow,
            "status": None if status is None else RunStatus(status),
            "tags": read_tags(tags),
        },
    )
