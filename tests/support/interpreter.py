"""An interpreter of published signatures: what Celery and a worker do with them, without either.

It knows what Celery knows, which is the options of the signatures: run a task, then publish what is next in
its chain, then tell the chord. And it keeps the history's rules: a step is claimed once, it is free when its last
parent completed, and whoever frees a step that nothing else carries compiles it anew.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from celeriac.workflows.dispatch.messages import messages_of
from celeriac.workflows.engine.compiler import compile
from celeriac.workflows.engine.graph import Graph

RUN = UUID("0197a1b2-1111-7222-8333-444455556666")


@dataclass(kw_only=True)
class Message:
    """A task as it lies in the queue."""

    step: str
    chain: list[dict[str, Any]] = field(default_factory=list)  # what follows, the next one last, as Celery keeps it
    chord: dict[str, Any] | None = None


class Interpreter:
    """Runs a graph to its end in a random order.

    Args:
        graph: What to run.
        random: Decides which message is next, and which running step returns next.
        deliveries: How often each message is delivered.
        inline: The probability that a worker continues inline with a step that it freed.
    """

    def __init__(self, graph: Graph, random: Random, *, deliveries: int = 1, inline: float = 0.0) -> None:
        self.graph = graph
        self.random = random
        self.deliveries = deliveries
        self.inline = inline
        self.queue: list[Message] = []
        self.running: list[tuple[int, Message]] = []
        self.started: list[int] = []
        self.completed: list[int] = []
        self.published: list[str] = []

    def run(self) -> None:
        """Start the run and go on until no message is left and nothing runs."""
        self._dispatch(frozenset(), None)
        while self.queue or self.running:
            if self.running and (not self.queue or self.random.random() < 0.5):
                self._return(*self.running.pop(self.random.randrange(len(self.running))))
            else:
                self._deliver(self.queue.pop(self.random.randrange(len(self.queue))))

    def _dispatch(self, completed: Iterable[int], ready: Iterable[int] | None) -> None:
        for canvas in compile(self.graph, frozenset(completed), ready):
            for signature in messages_of(self.graph, RUN, canvas):
                self._publish(json.loads(json.dumps(signature)))

    def _publish(self, signature: dict[str, Any], chain: list[dict[str, Any]] | None = None) -> None:
        options = signature["options"]
        links = options.get("chain") or [] if chain is None else chain
        message = Message(step=signature["kwargs"]["step"], chain=links, chord=options.get("chord"))
        assert signature["task"] == self.graph.nodes[self.graph.position[message.step]].task
        self.published.append(message.step)
        self.queue += [message] * self.deliveries

    def _deliver(self, message: Message) -> None:
        position = self.graph.position[message.step]
        if position in self.started or not set(self.graph.parents[position]) <= set(self.completed):
            return  # the claim answers with no row
        self._start(position, message)

    def _start(self, position: int, message: Message) -> None:
        assert set(self.graph.parents[position]) <= set(self.completed), "a step began before its parents had ended"
        self.started.append(position)
        # Celery takes from the lists of the request; another delivery has lists of its own.
        mine = Message(step=message.step, chain=list(message.chain), chord=message.chord)
        self.running.append((position, mine))

    def _return(self, position: int, message: Message) -> None:
        self.completed.append(position)
        done = set(self.completed)
        freed = {child for child in self.graph.dependents[position] if done >= set(self.graph.parents[child])}
        if freed and self.random.random() < self.inline:
            claimed = freed.pop()
            self._start(claimed, Message(step=self.graph.nodes[claimed].name))
        link = self._position(message.chain[-1]) if message.chain else None
        body = self._position(message.chord) if message.chord else None
        if link in freed:
            following = message.chain.pop()
            self._publish(following, message.chain)
        if body in freed:
            assert message.chord is not None
            self._publish(message.chord)
        loose = freed - {link, body}
        if loose:
            self._dispatch(self.graph.ancestors(loose), loose)

    def _position(self, signature: dict[str, Any]) -> int:
        return self.graph.position[signature["kwargs"]["step"]]
