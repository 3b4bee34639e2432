"""Doorbells through Redis. They lie in its database under keys of our own, one list for each queue."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from redis import Redis, RedisError

from bayesian_jobs.broker.transports.transport import message_of
from bayesian_jobs.errors import BrokerLost
from bayesian_jobs.store.doorbells import Doorbell

NAMESPACE = "bayesian-jobs"
ANSWERS_WITHIN = 5.0
LOOK_EVERY = 100
"""Milliseconds between looks into an empty queue, at most: Dramatiq's consumer asks, and is not told."""


class RedisTransport:
    def __init__(self, url: str) -> None:
        self._client: Redis = Redis.from_url(
            url, socket_timeout=ANSWERS_WITHIN, socket_connect_timeout=ANSWERS_WITHIN, socket_keepalive=True
        )
        self._broker = RedisBroker(client=self._client, middleware=[], namespace=NAMESPACE)  # type: ignore[no-untyped-call]

    def ping(self) -> None:
        with self.speaking():
            self._client.ping()

    def send(self, doorbells: Sequence[Doorbell]) -> None:
        with self.speaking():
            for doorbell in doorbells:
                self._broker.enqueue(message_of(doorbell, doorbell.queue))

    def waiting(self, queue: str) -> int:
        # Not what Dramatiq counts: that includes what a worker that has died had fetched.
        with self.speaking():
            waiting: int = self._client.llen(f"{NAMESPACE}:{queue}")
            return waiting

    def consume(self, queue: str, prefetch: int) -> Consumer:
        return self._broker.consume(queue, prefetch=prefetch, timeout=LOOK_EVERY)

    @contextmanager
    def speaking(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, ConnectionClosed, OSError) as error:
            raise BrokerLost(" ".join(str(error).split()) or type(error).__name__) from error

    def close(self) -> None:
        with suppress(RedisError, OSError):
            self._client.close()
