"""A Dramatiq broker in PostgreSQL: a queued run is the message.

Messages that code sends with Dramatiq itself (`actor.send()`) are runs without a job. Delays are kept in the row, so
there are no delay queues. To claim a message is to start it: it is claimed when a thread is idle, or will be within a
moment.
"""

from collections.abc import Iterable
from datetime import timedelta
from random import uniform
from threading import get_ident
from typing import Any

import dramatiq
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.message import Message
from dramatiq.middleware import Middleware, SkipMessage
from sqlalchemy import Engine

from bayesian_jobs.broker.claimer import Claimer
from bayesian_jobs.broker.handover import Handover
from bayesian_jobs.broker.messages import RunProxy, another_attempt, body_of, claimed
from bayesian_jobs.broker.transports.transport import Transport
from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.run import Failed, HandedBack, Succeeded
from bayesian_jobs.domain.storable import describe_exception
from bayesian_jobs.errors import InvalidMessage
from bayesian_jobs.interrupt import Cancellation, free_logging
from bayesian_jobs.presence.bell import Bell
from bayesian_jobs.store.runs import NewMessage, any_open, cancel_queued, is_uuid, send_messages

UNKNOWN_ACTOR_DELAYS = (1.0, 5.0)
"""Seconds, at least and at most, for which a run of an actor that this worker does not know waits for a worker that
does. All the same time would bring all of them back to whoever was idle then, again and again."""
JOIN_POLL = 0.05


class PostgresBroker(Broker):
    """Connects when it first sends or consumes, so that it can be made at import and before a fork.

    With a `transport` its worker is told through that which runs wait, and does not look for them in PostgreSQL.
    """

    def __init__(
        self, engine: Engine, middleware: list[Middleware] | None = None, transport: Transport | None = None
    ) -> None:
        super().__init__(middleware)
        self.engine = engine
        self._transport = transport
        self.queues: dict[str, None] = {}
        self._claimer: Claimer | None = None
        self.add_middleware(ClaimerLife())
        self.add_middleware(CancelMessages())
        self.add_middleware(BeginInTime())

    @property
    def claimer(self) -> Claimer:
        """The worker process's claimer; it lives from the worker's boot to its shutdown."""
        if self._claimer is None:
            raise RuntimeError("no worker is running in this process")
        return self._claimer

    @property
    def handover(self) -> Handover:
        """Where the threads of this worker process get their runs, and report what came of them."""
        return self.claimer.handover

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Send a message, or, of a run that this process executes, keep it for another attempt.

        `delay` in milliseconds. Raises InvalidMessage when it cannot be kept, QueueNotFound.
        """
        if message.queue_name not in self.queues:
            raise QueueNotFound(message.queue_name)  # type: ignore[no-untyped-call]
        self.emit_before("enqueue", message, delay)
        wait = timedelta(milliseconds=delay or 0)
        run = self.handover.executing(message.message_id) if self._claimer else None
        if run is not None:
            self.handover.report(run, *another_attempt(message, wait))
        else:
            self._send(message, wait)
        self.emit_after("enqueue", message, delay)
        return message

    def _send(self, message: Message[Any], delay: timedelta) -> None:
        if not is_uuid(message.message_id):
            raise InvalidMessage(message.actor_name, f"its message_id {message.message_id!r} is not a UUID")
        new = NewMessage(
            run_id=message.message_id,
            actor=message.actor_name,
            queue=message.queue_name,
            body=body_of(message),
            delay=delay,
        )
        with self.engine.begin() as connection:
            send_messages(connection, [new])

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> Consumer:
        """`prefetch` has no meaning here: what is claimed ahead of the threads follows from how short the runs are."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        return PostgresConsumer(self, queue_name, timeout / 1000)

    def flush(self, queue_name: str) -> None:
        with self.engine.begin() as connection:
            cancel_queued(connection, queue_name, reasons.CANCELLED_FLUSHED)

    def flush_all(self) -> None:
        for queue_name in self.queues:
            self.flush(queue_name)

    def join(self, queue_name: str, *, timeout: int | None = None) -> None:
        """Wait until no run of the queue is queued or running; `timeout` in milliseconds. For tests."""
        bell, waited = Bell(), 0.0
        try:
            while self._any_open(queue_name):
                if timeout is not None and waited * 1000 >= timeout:
                    raise QueueJoinTimeout(queue_name)  # type: ignore[no-untyped-call]
                bell.sleep(JOIN_POLL)
                waited += JOIN_POLL
        finally:
            bell.close()

    def _any_open(self, queue_name: str) -> bool:
        with self.engine.connect() as connection:
            return any_open(connection, queue_name)

    def start_claimer(self, capacity: int) -> None:
        self._claimer = Claimer(self.engine, capacity, self._transport)
        self._claimer.start()

    def close(self) -> None:
        if self._claimer is not None:
            self._claimer.close()
            self._claimer = None
        self.engine.dispose()


class ClaimerLife(Middleware):
    """Binds the claimer to the life of the worker, which knows how many threads there are."""

    def before_worker_boot(self, broker: Broker, worker: dramatiq.Worker) -> None:
        postgres(broker).start_claimer(worker.worker_threads)

    def before_worker_shutdown(self, broker: Broker, worker: dramatiq.Worker) -> None:
        postgres(broker).handover.close()

    def after_worker_shutdown(self, broker: Broker, worker: dramatiq.Worker) -> None:
        postgres(broker).close()


class CancelMessages(Middleware):
    """Raises Cancelled in an actor whose message is to be cancelled. Of the runs of jobs, lifecycle/execute takes care
    itself: what it does before and after the handler is not to be interrupted."""

    def __init__(self) -> None:
        self._threads: dict[int, Cancellation] = {}

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        run = claimed(message)
        if run.message is not None:
            cancellation = self._threads[get_ident()] = Cancellation()
            postgres(broker).handover.on_cancel(run, cancellation.request)
            cancellation.open_thread()

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any | None = None,
        exception: BaseException | None = None,
    ) -> None:
        if cancellation := self._threads.pop(get_ident(), None):
            cancellation.close_thread()

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.after_process_message(broker, message)


class BeginInTime(Middleware):
    """Skips what was claimed ahead of the threads and has waited for one too long: it has been handed back."""

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if not postgres(broker).handover.begin(claimed(message)):
            raise SkipMessage


class PostgresConsumer(Consumer):
    """The claimed runs of one queue, as Dramatiq messages."""

    def __init__(self, broker: PostgresBroker, queue_name: str, timeout: float) -> None:
        self._broker = broker
        self._queue_name = queue_name
        self._timeout = timeout
        broker.handover.consume(queue_name)

    def __next__(self) -> MessageProxy | None:
        run = self._broker.handover.next_run(self._queue_name, self._timeout)
        if run is None:
            return None
        if run.actor not in self._broker.actors:
            reason = f"This worker knows no actor {run.actor!r}."
            self._broker.logger.warning("run %s: %s", run.run_id, reason)
            delay = timedelta(seconds=uniform(*UNKNOWN_ACTOR_DELAYS))  # noqa: S311
            self._broker.handover.report(run, HandedBack(reason, delay, begun=False))
            return None
        try:
            return RunProxy(run)
        except Exception as error:
            self._broker.logger.exception("the message of run %s cannot be read", run.run_id)
            self._broker.handover.report(run, Failed(*describe_exception(error)))
            return None

    def ack(self, message: MessageProxy) -> None:
        run = claimed(message)
        if message._exception is not None:
            self.nack(message)  # Nobody has seen to it: a middleware that should have has itself raised.
        elif run.message_json is None:
            self._broker.handover.release(run)  # What came of a job's run, lifecycle/execute has reported.
        else:
            self._broker.handover.report(run, Succeeded())

    def nack(self, message: MessageProxy) -> None:
        free_logging()
        error = message._exception or RuntimeError("the message was rejected")
        self._broker.handover.report(claimed(message), Failed(*describe_exception(error)))

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        for message in messages:
            self._broker.handover.report(claimed(message), HandedBack(reasons.SHUT_DOWN, begun=False))


def postgres(broker: Broker) -> PostgresBroker:
    if not isinstance(broker, PostgresBroker):
        raise TypeError(f"{broker!r} is not a PostgresBroker")
    return broker
