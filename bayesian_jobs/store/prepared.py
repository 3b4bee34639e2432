"""Statements of the hot paths, planned once for many uses: planning them costs several times what running them does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import NamedTupleCursor
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError

from bayesian_jobs.store.engine import first_of_message, is_pooled

PLACEHOLDER = re.compile(r"%\((\w+)\)s((?:::\w+(?:\[\])?)?)")
KEY = "bayesian_jobs.prepared"
FINDS = 20
SECONDS = 10.0
"""A session's plans are made anew when they have found something that often, and have been kept for so long.

One that was made while a table was empty, and known to be (by an ANALYZE or a VACUUM), reads all of an index where it
should look up a row: nothing was cheaper then. Autovacuum has such plans made anew, but a minute too late, if at all.
"""


@dataclass(slots=True)
class Plans:
    """Of one session."""

    names: set[str] = field(default_factory=set)
    finds: int = 0
    made_at: float = -inf
    """Seconds of this process's clock; at first they are taken for old, whenever they were made."""

    def are_old(self, now: float) -> bool:
        return self.finds >= FINDS and now - self.made_at >= SECONDS


class Prepared:
    """A statement with `%(name)s::type` placeholders, prepared in each session when it first runs there; behind a
    pooler, where no session is one's own, planned each time.

    `first` is a statement that is sent along in front of it, in the same round trip; being a statement of its own, it
    is over before the prepared one takes its snapshot.
    """

    def __init__(self, name: str, statement: str, first: str = "") -> None:
        types: dict[str, str] = {}
        for each, type_ in PLACEHOLDER.findall(statement):
            types.setdefault(each, type_)
        names = list(types)
        numbered = PLACEHOLDER.sub(lambda match: f"${names.index(match[1]) + 1}{match[2]}", statement)
        self._name = f"bayesian_jobs_{name}"
        self._prepare = f"PREPARE {self._name} AS {numbered}"
        values = ", ".join(f"%({each})s{type_}" for each, type_ in types.items())
        self._execute = f"{first}EXECUTE {self._name}" + (f"({values})" if values else "")
        typed = PLACEHOLDER.sub(lambda match: f"%({match[1]})s{match[2] or types[match[1]]}", statement)
        self._plain = f"{first}{typed}"

    def run(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Its rows, as named tuples; in the transaction that `connection` is in, or begins with this.

        Raises SQLAlchemy's DBAPIError.
        """
        return self._run(connection, values, NamedTupleCursor)

    def tuples(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The same, for many rows at once: as plain tuples."""
        return self._run(connection, values, None)

    def _run(self, connection: Connection, values: Mapping[str, Any], cursors: type[Cursor] | None) -> list[Any]:
        """Speaks to the driver itself: on these paths SQLAlchemy's handling of a statement and its result costs more
        than PostgreSQL's.
        """
        session: Any = connection.connection.driver_connection
        if not (session.autocommit or connection.in_transaction()):
            connection.begin()
        try:
            with session.cursor(cursor_factory=cursors) as cursor:
                message = self._message(connection, cursor)
                cursor.execute(message, {name: written(value) for name, value in values.items()})
                rows = cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            raise DBAPIError.instance(self._name, None, error, psycopg2.Error) from error
        except (ValueError, OverflowError) as error:  # a value that the driver cannot even send, such as a NUL
            raise DataError(self._name, None, error) from error
        if (plans := connection.info.get(KEY)) is not None:
            plans.finds += bool(rows)
        return rows

    def _message(self, connection: Connection, cursor: Cursor) -> str:
        """What is to be sent, its values still to be filled in."""
        if is_pooled(connection):
            return (first_of_message(connection) if cursor.connection.autocommit else "") + self._plain
        plans = connection.info.setdefault(KEY, Plans())
        if self._name not in plans.names:
            cursor.execute(self._prepare)
            plans.names.add(self._name)
        if not plans.are_old(now := monotonic()):
            return self._execute
        plans.finds, plans.made_at = 0, now
        return f"DISCARD PLANS; {self._execute}"


def written(value: Any) -> Any:
    """What the driver is to send. It would write a list as an expression of as many constants, which takes both sides
    longer than reading one constant with all elements in it."""
    return "{" + ",".join(map(element, value)) + "}" if isinstance(value, list) else value


def element(value: Any) -> str:
    """An element of an array as PostgreSQL reads it."""
    match value:
        case None:
            return "NULL"
        case str():
            return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'
        case int():  # a bool as well
            return str(value)
        case datetime():
            return f'"{value.isoformat()}"'
        case timedelta():
            return f'"{value.days} days {value.seconds}.{value.microseconds:06} seconds"'
        case _:
            raise TypeError(f"{value!r} is no element of an array")
