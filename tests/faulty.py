"""Connections that fail where, and as, they are told to. The service knows nothing of them: SQLAlchemy has the driver
make them, by an event of its own."""

import os
import re
import signal
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Session
from psycopg2.extensions import cursor as Cursor
from sqlalchemy import Engine, event

PREPARED = re.compile(r"EXECUTE bayesian_jobs_(\w+)")
OF_THE_DRIVER = re.compile(r"SELECT t\.oid|select |show |SELECT 1$|SELECT pg_backend_pid")
"""What is asked of a new session, or of one that SQLAlchemy takes from the pool: no step of the service."""
LOST = "server closed the connection unexpectedly"

At = Callable[[str, "FaultySession | None"], None]
"""Called with the name of each step, and the session that is about to make it, or has just made it."""


class Injected(Exception):
    """What no code expects."""


def make_faulty(engine: type[Engine] | Engine, at: At) -> None:
    """From now on all connections of the engine (of all engines, if it is the class) call `at` at each step."""

    def connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        at("connect", None)
        options["connection_factory"] = lambda *dsn, **how: FaultySession(at, *dsn, **how)

    event.listen(engine, "do_connect", connect)


class FaultySession(Session):
    """Its steps: before and after each statement, by its name; `fetch`; before and after each COMMIT, by the name of
    the last statement of the transaction."""

    def __init__(self, at: At, *arguments: Any, **options: Any) -> None:
        self.at = at
        self.last = "nothing"
        super().__init__(*arguments, **options)

    def cursor(self, *arguments: Any, cursor_factory: type[Cursor] | None = None, **options: Any) -> Any:
        return super().cursor(*arguments, cursor_factory=faulty(cursor_factory or Cursor), **options)

    def commit(self) -> None:
        transaction, self.last = self.last, "nothing"
        self.at(f"before COMMIT of {transaction}", self)
        super().commit()
        self.at(f"after COMMIT of {transaction}", self)


class FaultyCursor:
    connection: FaultySession

    def execute(self, statement: str | bytes, values: Any = None) -> None:
        name = name_of(statement)
        if OF_THE_DRIVER.match(name):
            super().execute(statement, values)  # type: ignore[misc]
            return
        self.connection.at(f"before {name}", self.connection)
        super().execute(statement, values)  # type: ignore[misc]
        self.connection.last = name
        self.connection.at(f"after {name}", self.connection)

    def fetchall(self) -> Any:
        self.connection.at("fetch", self.connection)
        return super().fetchall()  # type: ignore[misc]

    def fetchone(self) -> Any:
        self.connection.at("fetch", self.connection)
        return super().fetchone()  # type: ignore[misc]


@cache
def faulty(factory: type[Cursor]) -> type[Cursor]:
    return type(f"Faulty{factory.__name__}", (FaultyCursor, factory), {})


def name_of(statement: str | bytes) -> str:
    """Of a prepared statement its name, of any other how it begins."""
    text = statement.decode() if isinstance(statement, bytes) else statement
    found = PREPARED.search(text)
    return found[1] if found else " ".join(re.findall(r"[\w%*.:=]+", text)[:6])


# What can happen at a step.


def kill(step: str, session: FaultySession | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(step: str, session: FaultySession | None) -> None:
    """Until somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def throw(step: str, session: FaultySession | None) -> None:
    raise Injected(step)


def drop(step: str, session: FaultySession | None) -> None:
    """End the connection. What was about to be sent will not arrive; of what was sent already, the reply is lost."""
    if session is not None:
        with socket.socket(fileno=os.dup(session.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
    if session is None or not step.startswith("before"):
        raise psycopg2.OperationalError(f"{LOST} ({step})")
