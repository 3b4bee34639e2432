"""Receiving the doorbells of one queue, as long as the process wants runs."""

import logging
from threading import Thread

from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import DecodeError

from bayesian_jobs.broker.transports.inbox import Inbox
from bayesian_jobs.broker.transports.transport import Transport, run_of
from bayesian_jobs.errors import BrokerLost
from bayesian_jobs.presence.complaints import Complaints

AGAIN_AFTER = 0.5
"""Seconds after which a broker that is lost is tried again."""

log = logging.getLogger(__name__)


class Receiver(Thread):
    """Puts doorbells into the inbox, at most `prefetch` at once, and acknowledges those that the claimer has taken.

    While the process wants no runs it listens to nothing, so that the broker gives the doorbells to others.
    """

    def __init__(self, transport: Transport, queue: str, inbox: Inbox, prefetch: int) -> None:
        super().__init__(name=f"receiver of {queue}", daemon=True)
        self._transport = transport
        self._queue = queue
        self._inbox = inbox
        self._prefetch = prefetch
        self._complaints = Complaints(log)

    def run(self) -> None:
        while self._inbox.wait_until_wanted():
            try:
                self._listen()
            except BrokerLost as error:
                self._complaints.complain(f"the broker cannot be reached: {error}")
                self._inbox.pause(AGAIN_AFTER)
            except Exception:
                log.exception("unexpected; trying again")
                self._inbox.pause(AGAIN_AFTER)

    def _listen(self) -> None:
        """Until the process wants no more."""
        with self._transport.speaking():
            consumer = self._transport.consume(self._queue, self._prefetch)
            self._complaints.withdraw()
            try:
                while self._inbox.is_wanting():
                    self._hear(consumer)
            finally:
                taken, left = self._inbox.leave(self._queue)
                self._acknowledge(consumer, taken)
                consumer.requeue(left)
                consumer.close()

    def _hear(self, consumer: Consumer) -> None:
        try:
            message = next(consumer)
        except DecodeError:
            log.warning("queue %s: something came that is no message", self._queue)
            return
        if message is not None:
            run = run_of(message)
            if run is not None:
                self._inbox.put(self._queue, message, run)
            else:
                log.warning("queue %s: a message came that is no doorbell of ours", self._queue)
                consumer.ack(message)
        self._acknowledge(consumer, self._inbox.taken(self._queue))

    def _acknowledge(self, consumer: Consumer, messages: list[MessageProxy]) -> None:
        for message in messages:
            consumer.ack(message)
