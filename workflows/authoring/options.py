"""Options of steps, of their uses and of workflows: names, types and checks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack

from celeriac.workflows.engine.graph import Needs
from celeriac.workflows.engine.retry import Retry, Seconds, as_seconds
from celeriac.workflows.errors import DefinitionError
from celeriac.workflows.text import did_you_mean

Rule: TypeAlias = Literal["all_succeeded", "all_done", "any_succeeded", "none_failed", "one_failed"]

_LOWEST_PRIORITY = 9  # as Celery on Redis has it; 0 is served first


class StepOptionArgs(TypedDict, total=False):
    """Options of ``@step``: its name, and defaults for all uses of the step.

    None counts as left out.

    Attributes:
        name: Of the step; its function's name by default.
        queue: Queue of the step's Celery task.
        priority: From 0, served first, to 9, served last.
        max_attempts: How often the step is tried, lost attempts included.
        retry: Whether and when a failed attempt is followed by another.
        timeout: Of one attempt, in seconds or as a timedelta.
        total_timeout: Of all attempts together, and the waits between them.
        heartbeat_timeout: Between two calls of ``StepContext.heartbeat``.
        needs: Which outcomes of the steps before this step let it run; by default all
            must succeed.
        on_error: A step or function that is called if this step fails, with this step's
            arguments by name, and with the error as a parameter annotated
            ``ErrorInfo``. The value that it returns takes the place of the result.
        compensate: A step or function that reverses the effects of this step when a
            saga fails or is cancelled; called with this step's arguments by name, and
            its result as ``result``.
    """

    name: str | None
    queue: str | None
    priority: int | None
    max_attempts: int | None
    retry: Retry | None
    timeout: Seconds | None
    total_timeout: Seconds | None
    heartbeat_timeout: Seconds | None
    needs: Rule | None
    on_error: Callable[..., Any] | None
    compensate: Callable[..., Any] | None


class UseOptionArgs(StepOptionArgs, total=False):
    """Options of ``step.options(…)``: those of ``@step``, but ``name`` names the node.

    The name of a node is unique in the workflow. The default is the step's name,
    numbered if that name is taken.

    Attributes:
        after: Results of steps to wait for without using them.
    """

    after: list[Any] | tuple[Any, ...]


class WorkflowOptionArgs(TypedDict, total=False):
    """Options of ``@workflow``.

    Attributes:
        name: Of the workflow; its function's name by default.
        version: Stored with each run; ``"1"`` by default.
        retry: Of steps that have no policy of their own.
        timeout: Of a run, in seconds or as a timedelta.
        failure_policy: ``"fail_fast"``, the default: the run fails with its first
            failure; running steps finish, no step starts. ``"continue"``: steps that do
            not depend on the failed step still run.
        saga: Whether completed steps are compensated, the latest first, when a run
            fails or is cancelled; False by default.
        on_complete: A step or function that is called when a run has completed, with
            the workflow's arguments by name, and the run's result as ``result``.
        on_failure: A step or function that is called when a run has failed, with the
            workflow's arguments by name, and the error as a parameter annotated
            ``ErrorInfo``.
    """

    name: str | None
    version: str
    retry: Retry | None
    timeout: Seconds | None
    failure_policy: Literal["fail_fast", "continue"]
    saga: bool
    on_complete: Callable[..., Any] | None
    on_failure: Callable[..., Any] | None


class StartOptionArgs(TypedDict, total=False):
    """Options of ``workflow.options(…)``, for one start.

    Attributes:
        idempotency_key: Starts at most one run of the workflow: a second start with the
            same input returns the first run, one with other input is an error.
        tags: Labels to find the run by, as texts.
    """

    idempotency_key: str | None
    tags: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeOptions:
    """How a use of a step is dispatched and tried.

    None leaves an option to the workflow, then to the Celery app and the settings.

    Raises:
        ValueError: an option has a value that it cannot have; the message names both.
    """

    name: str | None = None  # of the node; None: the step's, numbered if it is taken
    after: Any = ()  # results of steps to wait for; checked when the step is called
    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    retry: Retry | None = None
    timeout: Seconds | None = None
    total_timeout: Seconds | None = None
    heartbeat_timeout: Seconds | None = None
    needs: str | None = None  # a join rule: a member of Needs
    on_error: Any = None  # called with the error if this step fails
    compensate: Any = None  # compensates this step, in a saga

    def __post_init__(self) -> None:
        if self.needs is not None and self.needs not in list(Needs):
            hint = did_you_mean(str(self.needs), Needs) or f". There are: {', '.join(Needs)}"
            raise ValueError(f"needs={self.needs!r} is no rule for a join{hint.rstrip('?')}")
        for name in ("on_error", "compensate"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ValueError(f"{name}={value!r} is neither a step nor a function")
        if self.queue is not None and not _is_text(self.queue):
            raise ValueError(f"queue={self.queue!r} is not the name of a queue")
        if self.priority is not None and (not _is_int(self.priority) or not 0 <= self.priority <= _LOWEST_PRIORITY):
            raise ValueError(
                f"priority={self.priority!r} is not a number from 0, served first, to {_LOWEST_PRIORITY}, served last"
            )
        if self.max_attempts is not None and (not _is_int(self.max_attempts) or self.max_attempts < 1):
            raise ValueError(f"max_attempts={self.max_attempts!r} is not a number from 1 up")
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise ValueError(f"retry={self.retry!r} is not a policy, as in retry=Retry(max_attempts=5)")
        for name in ("timeout", "total_timeout", "heartbeat_timeout"):
            value = getattr(self, name)
            if value is not None and as_seconds(name, value) <= 0:
                raise ValueError(f"{name}={value!r} is not a time: give seconds above 0, or a timedelta")


@dataclass(frozen=True, kw_only=True, slots=True)
class StartOptions:
    """How a run is started; see ``StartOptionArgs``."""

    idempotency_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, workflow: str, **options: Unpack[StartOptionArgs]) -> Self:
        """Return the options for a start of a workflow, checked.

        Raises:
            DefinitionError: an option is unknown or cannot have this value.
        """
        subject = f"a start of workflow {workflow!r}"
        refuse_unknown(options, StartOptionArgs.__optional_keys__, subject)
        key, tags = options.get("idempotency_key"), options.get("tags")
        if key is not None and not _is_text(key):
            problem = f"idempotency_key={key!r} is not a text, such as an order's id"
            raise DefinitionError(detail=f"Bad option for {subject}: {problem}.")
        if tags is not None and not _is_labels(tags):
            problem = f"tags={tags!r} are not labels; write texts, as in tags={{'tenant': 'acme'}}"
            raise DefinitionError(detail=f"Bad option for {subject}: {problem}.")
        return cls(idempotency_key=key, tags={} if tags is None else dict(tags))


def _is_labels(tags: object) -> bool:
    if not isinstance(tags, Mapping):
        return False
    return all(isinstance(text, str) for text in (*tags.keys(), *tags.values()))


def refuse_unknown(given: Iterable[str], known: Collection[str], subject: str) -> None:
    """Refuse an option that is not known, as type checkers do, with advice.

    Args:
        given: Names of the options that are given.
        known: Names of the options that there are.
        subject: The owner of the options, for the message: ``step 'charge'``.

    Raises:
        DefinitionError: an option is not known; the message suggests the nearest known
            option, or lists them all.
    """
    for name in given:
        if name not in known:
            hint = did_you_mean(name, sorted(known)) or f". Options: {', '.join(sorted(known))}."
            raise DefinitionError(detail=f"Unknown option {name!r} for {subject}{hint}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
