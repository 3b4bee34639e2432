"""What a transport does, whichever it is, and what a doorbell looks like on the way."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from dramatiq.broker import Consumer
from dramatiq.message import Message

from bayesian_jobs.domain.job import LAST_PRIORITY
from bayesian_jobs.store.doorbells import Doorbell, RunAt
from bayesian_jobs.store.runs import is_uuid

ACTOR = "bayesian_jobs.start"
"""Of doorbells; nobody declares it, since they never reach Dramatiq's worker."""


def message_of(doorbell: Doorbell, queue_name: str) -> Message[Any]:
    return Message(
        queue_name=queue_name,
        actor_name=ACTOR,
        args=(doorbell.run_id, doorbell.scheduled_for.isoformat()),
        kwargs={},
        options={"broker_priority": LAST_PRIORITY - doorbell.priority},
    )


def run_of(message: Any) -> RunAt | None:
    """The run that a message names; None if it is no doorbell of ours: whoever may write to the broker can send
    anything."""
    try:
        run_id, at = message.args
        scheduled_for = datetime.fromisoformat(at)
        usable = message.actor_name == ACTOR and is_uuid(run_id) and scheduled_for.utcoffset() is not None
    except (TypeError, ValueError, AttributeError):
        return None
    return (run_id, scheduled_for) if usable else None


class Transport(Protocol):
    """Carries doorbells. Each thread that uses it has connections of its own. All but `speaking` raise BrokerLost."""

    def ping(self) -> None:
        """Hear that the broker answers."""

    def send(self, doorbells: Sequence[Doorbell]) -> None:
        """Returns when the broker has taken them all; of those that it has not, nothing is known."""

    def waiting(self, queue: str) -> int:
        """How many doorbells of the queue wait there for a worker; of those just sent RabbitMQ may count less."""

    def consume(self, queue: str, prefetch: int) -> Consumer:
        """Receive doorbells of the queue; `prefetch`: no more may be on the way to this consumer at once."""

    def speaking(self) -> AbstractContextManager[None]:
        """Whatever the broker's library raises inside, a consumer included, is raised as BrokerLost."""

    def close(self) -> None:
        """Close the connections that can be closed."""
