"""Connections: how they are made, what the server may do to one that hangs, and the database's clock."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import psycopg2
from psycopg2 import DatabaseError
from psycopg2.errors import LockNotAvailable, QueryCanceled
from psycopg2.extensions import TransactionRollbackError
from psycopg2.extensions import connection as Session
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from bayesian_jobs.store.unreadable import read_as_near_as_can_be, read_json

# Server-side limits are part of correctness: a frozen process must not hold rows that others need.
SESSION = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "5s",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "jit": "off",
    # A statement that waits for a lock must see what was committed meanwhile.
    "default_transaction_isolation": "read committed",
}
# A client that has vanished must not keep its locks.
SERVER_SOCKET = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
# Well below the lease of a process, which the same session renews.
SHORT = {"statement_timeout": "5s", "lock_timeout": "1s"}
# Prepared statements keep the plan that they got when the tables, or this week's partition, were still empty: and
# then reading all of it looks cheapest. These leave the planner no other way than the one that stays right: look up
# row after row by an index, in the index's order. One generic plan for many uses; see store/prepared.py.
LOOK_UPS_ONLY = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
}
POOLED = "bayesian_jobs_pooled"
"""The execution option of an engine behind a pooler: what each of its transactions begins with."""
SOCKET = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class Transactions(Protocol):
    """Where transactions are begun: an engine, or `Within` one that is under way."""

    def begin(self) -> AbstractContextManager[Connection]: ...


@dataclass(frozen=True, slots=True)
class Within:
    """Makes what would be transactions of their own parts of one that whoever has begun it commits or rolls back."""

    connection: Connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        yield self.connection


def make_engine(url: str, name: str, *, pool_size: int = 5, hot: bool = False, pooled: bool = False) -> Engine:
    """A pool of connections whose sessions are called `name` in `pg_stat_activity`. Does not connect.

    `hot`: for the statements of the hot paths, which are prepared and plan look-ups only, and read rows that a
    scheduler has judged. All others also read what can be in a row that none has judged yet. `pooled`: a pooler
    answers.
    """
    engine = engine_with(
        SESSION | SHORT | LOOK_UPS_ONLY if hot else SESSION,
        url,
        name,
        pooled=pooled,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        json_deserializer=read_json,
    )
    if not hot:
        event.listen(engine, "connect", read_as_near_as_can_be)
    return engine


def engine_with(settings: Mapping[str, str], url: str, name: str, *, pooled: bool, **options: Any) -> Engine:
    """An engine in whose transactions these settings of PostgreSQL hold; `options` are those of `create_engine`.

    Behind a pooler each transaction may have another session, and shares it with others: there each begins by setting
    them for itself, and nothing else may be left in a session, no prepared statement either.
    """
    if not pooled:
        arguments = connect_arguments(name, {**settings, **SERVER_SOCKET})
        engine = create_engine(url, connect_args=arguments, **options)
        event.listen(engine, "connect", check_that_it_is_a_session)
        return engine
    engine = create_engine(
        url,
        connect_args=connect_arguments(name, {}),
        isolation_level="READ COMMITTED",
        execution_options={POOLED: set_local(settings)},
        **options,
    )
    event.listen(engine, "begin", begin_as_a_session_would)
    return engine


def is_pooled(connection: Engine | Connection) -> bool:
    """Whether a pooler answers. There nothing outlasts a transaction: no lock, no LISTEN, no prepared statement."""
    return POOLED in connection.get_execution_options()


def begin_as_a_session_would(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options()[POOLED])


def first_of_message(connection: Connection) -> str:
    """What a message through a pooler begins with if it is a transaction by itself; see `message_by_message`."""
    return f"SET LOCAL transaction_isolation = 'read committed'; {connection.get_execution_options()[POOLED]}; "


def check_that_it_is_a_session(session: Session, _: object) -> None:
    """A pooler (PgBouncer, Odyssey, …) hands out keys of its own for cancelling, and with them a process id that is not
    that of the session which does the work. Raises psycopg2.OperationalError."""
    session.autocommit = True
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ((pid,),) = cursor.fetchall()
    session.autocommit = False
    if pid != session.get_backend_pid():
        raise psycopg2.OperationalError(
            "the server's session is not this connection's own: a pooler answers for it. Locks, timeouts and"
            " notifications would be lost or shared: name PostgreSQL itself, or set DATABASE_POOLED=yes"
        )


def connect_arguments(name: str, session: Mapping[str, str]) -> dict[str, object]:
    escaped = {setting: value.replace(" ", r"\ ") for setting, value in session.items()}
    options = {"options": " ".join(f"-c {setting}={value}" for setting, value in escaped.items())} if session else {}
    return {"application_name": f"bayesian-jobs {name}", **options, **SOCKET}


def set_local(settings: Mapping[str, str]) -> str:
    """The statements that set them until the transaction ends."""
    return "; ".join(f"SET LOCAL {setting} = '{value}'" for setting, value in settings.items())


def database_now(connection: Connection) -> datetime:
    """The one clock: the database's, at this moment."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


@contextmanager
def run_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction for a handler's own work, which may take as long as the handler does. Whoever uses it commits;
    otherwise nothing of it stays."""
    connection = engine.connect()
    try:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        yield connection
    finally:
        with suppress(DBAPIError):  # The session has ended, and so nothing of the transaction stays either.
            connection.close()


@contextmanager
def message_by_message(connection: Connection) -> Iterator[None]:
    """In this block each message to the server is a transaction by itself: it goes there and back once, and not three
    times with BEGIN and COMMIT. For statements of `store/prepared.py`, while no transaction is under way."""
    session: Any = connection.connection.driver_connection
    session.autocommit = True
    try:
        yield
    finally:
        if not session.closed:
            session.autocommit = False


def behave_as_hot(connection: Connection) -> None:
    """Until the transaction ends, plan as a hot connection does; and idle no longer than one may: should a handler's
    work have no such limit, from here on it holds rows that others need, and its process may freeze."""
    idle = "idle_in_transaction_session_timeout"
    connection.exec_driver_sql(set_local(LOOK_UPS_ONLY | {idle: SESSION[idle]}))


def is_busy(error: BaseException) -> bool:
    """Whether a statement failed only because others held what it needed: it may succeed in a while."""
    return isinstance(getattr(error, "orig", None), (LockNotAvailable, QueryCanceled, TransactionRollbackError))


def is_lost(error: DBAPIError) -> bool:
    """Whether the connection to the database is gone, rather than one statement refused. Of some that break off, the
    driver knows no more than that there is no answer: its most general error, without an SQLSTATE."""
    unanswered = type(error.orig) is DatabaseError and error.orig.pgcode is None
    return unanswered or (isinstance(error, (OperationalError, InterfaceError)) and not is_busy(error))
