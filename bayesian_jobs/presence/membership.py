"""Being one of the living processes: a row, a lease, and a session that holds the process's advisory lock."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from psycopg2.errors import UndefinedColumn, UndefinedFunction, UndefinedTable
from psycopg2.extensions import connection as Session
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.presence.bell import heard_payloads
from bayesian_jobs.store import processes
from bayesian_jobs.store.endings import Return, requeue_runs
from bayesian_jobs.store.engine import is_lost, is_pooled
from bayesian_jobs.store.notifications import JOBS_CHANGED, RUNS, notify_runs_queued


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long a process counts as alive without a word from it, and how often, in seconds, it says that it lives."""

    lease: timedelta
    renew_every: float


HOLDING = Rhythm(timedelta(seconds=10), 2.0)
"""Of a worker that holds runs: they are taken back when its lease is over. A claim begins such a lease by itself."""
AT_REST = Rhythm(timedelta(seconds=60), 25.0)
"""Of a process that holds no run: should it be frozen, nobody waits for it."""
POLL_EVERY = 5.0
"""Seconds between a scheduler's looks for something to do. Polling alone is enough for correctness; notifications make
it fast."""
POLL_UNTOLD_EVERY = 0.5
"""The same of any process behind a pooler, where nobody can notify it."""
RECONNECT_AFTER = 0.1

CLAIM_LOST = "The reply to its claim was lost."

log = logging.getLogger(__name__)


class GivenUp(Exception):
    """This process has been given up for dead; what it held has been taken back."""


class Membership:
    """One process's place among the living, kept across connections that are lost and made again."""

    def __init__(self, engine: Engine, kind: str) -> None:
        self._engine = engine
        self._kind = kind
        self._channel = RUNS if kind == "worker" else JOBS_CHANGED
        self._has_session = not is_pooled(engine)
        self._process_no: int | None = None
        self.session: Session | None = None

    @property
    def process_no(self) -> int:
        if self._process_no is None:
            raise GivenUp
        return self._process_no

    @contextmanager
    def join(self, held: set[str]) -> Iterator[Connection]:
        """A session of this process, registered and listening. `held` are the runs that it knows itself to execute;
        any other that it holds by the database's account goes back to its queue: the reply to its claim was lost."""
        with self._engine.connect() as connection:
            try:
                self._register(connection, held)
                if self._has_session:
                    self._listen(connection)
                yield connection
            finally:
                self.session = None
                connection.invalidate()  # The lock and the LISTEN must not outlive this use of the session.

    def renew(self, connection: Connection, held: Sequence[str] = (), queues: Sequence[str] = ()) -> float:
        """Say that the process lives. Returns the seconds until it is to be said again. Raises GivenUp."""
        rhythm = HOLDING if held else AT_REST
        with connection.begin():
            if not processes.renew_lease(connection, self.process_no, rhythm.lease, held, queues):
                raise GivenUp
        return rhythm.renew_every

    def end(self, connection: Connection) -> None:
        with connection.begin():
            processes.end(connection, self.process_no)
        self._process_no = None

    def poll_every(self, told: float, untold: float = POLL_UNTOLD_EVERY) -> float:
        """Seconds between looks, if it is notified of what it looks for, or else if a pooler keeps it from that."""
        return told if self._has_session else untold

    def notified(self) -> set[str]:
        """The payloads of what has been notified since the last call."""
        return heard_payloads(self.session) if self.session else set()

    def _listen(self, connection: Connection) -> None:
        self.session = connection.connection.driver_connection
        connection.execute(text(f"LISTEN {self._channel}"))
        connection.commit()

    def _register(self, connection: Connection, held: set[str]) -> None:
        with connection.begin():
            holding = self._holding(connection)
            if holding is None:
                self._process_no = processes.register(
                    connection, self._kind, HOLDING.lease, has_session=self._has_session
                )
            if self._has_session:
                processes.hold_presence(connection, self.process_no)
            processes.renew_lease(connection, self.process_no, HOLDING.lease, list(held))
            if lost := set(holding or ()) - held:
                self._return(connection, list(lost))

    def _holding(self, connection: Connection) -> list[str] | None:
        if self._process_no is None:
            return None
        return processes.read_holding(connection, self._process_no)

    def _return(self, connection: Connection, run_ids: list[str]) -> None:
        runs = processes.held_runs(connection, self.process_no, run_ids)
        if runs:
            returns = [Return(run.run_id, run.scheduled_for, run.attempt, CLAIM_LOST, begun=False) for run in runs]
            notify_runs_queued(connection, requeue_runs(connection, returns).values())


def trouble(error: BaseException) -> str:
    """What is wrong with the database, in a sentence."""
    if isinstance(getattr(error, "orig", error), (UndefinedTable, UndefinedColumn, UndefinedFunction)):
        return f"the database's schema is not that of this version; has it been migrated? {one_line(error)}"
    if isinstance(error, DBAPIError) and not is_lost(error):
        return f"the database refuses a statement: {one_line(error)}"
    return f"the database cannot be reached: {one_line(error)}"


def one_line(error: BaseException) -> str:
    """What a database error says, without the statement and the line breaks that SQLAlchemy adds."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
