"""The way to Celery of a process: publisher, wake-ups and follow-up, made together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from celery import Celery

from celeriac.workflows.dispatch.follow_up import FollowUp
from celeriac.workflows.dispatch.publisher import Publisher
from celeriac.workflows.dispatch.wakeups import Wakeups
from celeriac.workflows.history.stores import Stores


@dataclass(frozen=True, kw_only=True, slots=True)
class Dispatch:
    """Hands ready steps to Celery and wakes waiters."""

    publisher: Publisher
    wakeups: Wakeups
    follow_up: FollowUp

    @classmethod
    def of(cls, app: Celery, stores: Stores) -> Self:
        """Return the dispatch of a publishing app; see ``publishing_app``."""
        publisher = Publisher(app)
        wakeups = Wakeups(app.conf.broker_url)
        return cls(publisher=publisher, wakeups=wakeups, follow_up=FollowUp(stores.transitions, publisher, wakeups))
