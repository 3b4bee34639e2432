"""Telling workers of queued runs, through Redis or RabbitMQ, until the runs have started.

First it is noted when a run is to be told of again, then the doorbell is sent. So whoever dies in between, or sends
into a broker that loses it, has only delayed the run. A doorbell leaves the sender no sooner than its note is
committed: the worker would find the row locked.

Few doorbells lie in a queue of the broker at once. The others wait in the ledger, in the order of their priority; and
what is told of again and again because no worker comes does not heap up.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread

import psycopg2
from psycopg2.extensions import connection as Session
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.broker.transports.transport import Transport
from bayesian_jobs.errors import BrokerLost
from bayesian_jobs.presence.bell import Bell, heard_payloads
from bayesian_jobs.presence.complaints import Complaints
from bayesian_jobs.presence.membership import POLL_EVERY, POLL_UNTOLD_EVERY, RECONNECT_AFTER, trouble
from bayesian_jobs.store.doorbells import note_doorbells, queues_that_wait
from bayesian_jobs.store.engine import is_lost, is_pooled, message_by_message
from bayesian_jobs.store.notifications import RUNS

AGAIN_AFTER = timedelta(seconds=3)
"""After which a run that has not started is told of again."""
ROOM = 500
"""Doorbells that may lie in a queue of the broker."""
LOOK_EVERY = 0.5
"""Seconds between looks while runs wait that may start: whether they have, or are to be told of again."""
MAKE_ROOM = 0.05
"""Seconds after which a queue of the broker that is full is looked at again; doubled as long as it stays so."""
NOTHING = timedelta(0)

log = logging.getLogger(__name__)


class Sender(Thread):
    """Any number of them may run on one database; each run is told of by one of them at a time."""

    def __init__(self, engine: Engine, transport: Transport) -> None:
        super().__init__(name="sender", daemon=True)
        self._engine = engine
        self._transport = transport
        self._bell = Bell()
        self._database_complaints = Complaints(log)
        self._broker_complaints = Complaints(log)
        self._closing = False
        self._full_wait = MAKE_ROOM

    @contextmanager
    def running(self) -> Iterator[None]:
        """For as long as the block lasts. What is being sent when it ends is sent."""
        self.start()
        try:
            yield
        finally:
            self._closing = True
            self._bell.ring()
            self.join()
            self._bell.close()
            self._transport.close()

    def run(self) -> None:
        while not self._closing:
            try:
                with self._engine.connect() as connection:
                    self._serve(connection)
            except (DBAPIError, psycopg2.Error) as error:
                self._database_complaints.complain(trouble(error))
                lost = not isinstance(error, DBAPIError) or is_lost(error)
                self._bell.sleep(RECONNECT_AFTER if lost else LOOK_EVERY)
            except Exception:
                log.exception("unexpected; trying again")
                self._bell.sleep(POLL_EVERY)

    def _serve(self, connection: Connection) -> None:
        try:
            session = self._listen(connection)
            self._database_complaints.withdraw()
            while not self._closing:
                self._bell.sleep(self._look(connection), session)
                if session is not None:
                    heard_payloads(session)  # Whatever they say: the next look tells.
        finally:
            connection.invalidate()  # The LISTEN must not outlive this use of the session.

    @staticmethod
    def _listen(connection: Connection) -> Session | None:
        """None: a pooler keeps it from listening."""
        if is_pooled(connection):
            return None
        connection.execute(text(f"LISTEN {RUNS}"))
        connection.commit()
        session: Session = connection.connection.driver_connection  # type: ignore[assignment]
        return session

    def _look(self, connection: Connection) -> float:
        """Returns the seconds until the next look, unless something is notified before."""
        try:
            wait = self.send_due(connection)
        except BrokerLost as error:
            self._broker_complaints.complain(f"the broker cannot be reached: {error}")
            return LOOK_EVERY
        self._broker_complaints.withdraw()
        return wait

    def send_due(self, connection: Connection) -> float:
        """Tell of the runs that may start, as far as there is room for doorbells. Returns the seconds until it is to
        be done again. Raises BrokerLost."""
        with connection.begin():
            queues = queues_that_wait(connection)
        due = [queue for queue, wait in queues.items() if wait <= NOTHING]
        room = {queue: max(ROOM - self._transport.waiting(queue), 0) for queue in due}
        told = self._tell(connection, room) if any(room.values()) else 0
        if not all(room.values()):
            self._full_wait = MAKE_ROOM if told else min(self._full_wait * 2, LOOK_EVERY)
            return self._full_wait
        if room:
            return LOOK_EVERY
        poll_every = POLL_UNTOLD_EVERY if is_pooled(connection) else POLL_EVERY
        return min([poll_every, *(wait.total_seconds() for wait in queues.values())])

    def _tell(self, connection: Connection, room: dict[str, int]) -> int:
        """Tell of so many runs of each queue. What then is left of the room is in `room`."""
        with message_by_message(connection):  # A process that freezes keeps no other from noting.
            doorbells = note_doorbells(connection, room, AGAIN_AFTER)
        self._transport.send(doorbells)
        for doorbell in doorbells:
            room[doorbell.queue] -= 1
        return len(doorbells)
