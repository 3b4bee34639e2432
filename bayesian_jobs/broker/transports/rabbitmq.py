"""Doorbells through RabbitMQ, in durable queues of our own, which know priorities."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dramatiq.broker import Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import ConnectionClosed
from pika.exceptions import AMQPError, ChannelClosedByBroker  # type: ignore[import-untyped]

from bayesian_jobs.broker.transports.transport import message_of
from bayesian_jobs.domain.job import LAST_PRIORITY
from bayesian_jobs.errors import BrokerLost
from bayesian_jobs.store.doorbells import Doorbell

PREFIX = "bayesian_jobs."
"""Of our queues: one that somebody else has declared otherwise cannot be used."""
ANSWERS_WITHIN = 5.0
LISTEN_FOR = 100
"""Milliseconds after which a consumer that has heard nothing looks whether it is still wanted."""
NO_SUCH_QUEUE = 404


class RabbitmqTransport:
    def __init__(self, url: str) -> None:
        self._broker = RabbitmqBroker(url=url, middleware=[], max_priority=LAST_PRIORITY)
        parameters: Any = self._broker.parameters
        parameters.socket_timeout = parameters.stack_timeout = ANSWERS_WITHIN
        # Of a server that has no memory left, and takes nothing.
        parameters.blocked_connection_timeout = ANSWERS_WITHIN

    def ping(self) -> None:
        """A connection that the server has closed since the last word is made again."""
        try:
            self._ping()
        except BrokerLost:
            self._ping()

    def _ping(self) -> None:
        with self.speaking():
            self._broker.channel.basic_qos()

    def send(self, doorbells: Sequence[Doorbell]) -> None:
        """The server reads what a channel asks one after the other: when it has answered for each queue, it has taken
        all of them, which costs less than a confirmation of each."""
        with self.speaking():
            for doorbell in doorbells:
                self._broker.enqueue(message_of(doorbell, PREFIX + doorbell.queue))
        for queue in {doorbell.queue for doorbell in doorbells}:
            if self._waiting(queue) is None:
                raise BrokerLost(f"it has lost its queue {PREFIX}{queue}")

    def waiting(self, queue: str) -> int:
        return self._waiting(queue) or 0

    def _waiting(self, queue: str) -> int | None:
        """None: the queue was gone, and has been made again."""
        name = PREFIX + queue
        with self.speaking():
            self._broker.declare_queue(name, ensure=True)
            try:
                answer = self._broker.channel.queue_declare(queue=name, passive=True)
            except ChannelClosedByBroker as error:
                if error.reply_code != NO_SUCH_QUEUE:
                    raise
                del self._broker.channel
                self._broker.queues_pending.add(name)
                self._broker.declare_queue(name, ensure=True)
                return None
            waiting: int = answer.method.message_count
            return waiting

    def consume(self, queue: str, prefetch: int) -> Consumer:
        with self.speaking():
            consumer = self._broker.consume(PREFIX + queue, prefetch=prefetch, timeout=LISTEN_FOR)
            del self._broker.connection  # It has declared the queue. Nobody would answer its heartbeats.
        return consumer

    @contextmanager
    def speaking(self) -> Iterator[None]:
        try:
            yield
        except (AMQPError, ConnectionClosed, OSError) as error:
            del self._broker.connection
            cause = error.args[0] if isinstance(error, ConnectionClosed) and error.args else error
            raise BrokerLost(f"{type(cause).__name__} {cause}".strip()) from error

    def close(self) -> None:
        self._broker.close()
