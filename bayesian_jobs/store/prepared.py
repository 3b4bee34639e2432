"""Statements of the hot paths, planned once a session: planning them costs several times what running them does."""

import re
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2.extras import NamedTupleCursor
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError

PLACEHOLDER = re.compile(r"%\((\w+)\)s((?:::\w+(?:\[\])?)?)")
KEY = "bayesian_jobs.prepared"


class Prepared:
    """A statement with `%(name)s::type` placeholders, prepared in each session when it first runs there.

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
        self._prepare = f"PREPARE {self._name} AS {numbered}".replace("%", "%%")
        values = ", ".join(f"%({each})s{type_}" for each, type_ in types.items())
        self._execute = f"{first}EXECUTE {self._name}" + (f"({values})" if values else "")

    def run(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Its rows, as named tuples; in the transaction that `connection` is in.

        Speaks to the driver itself: on these paths SQLAlchemy's handling of a statement and its result costs more
        than PostgreSQL's. Raises SQLAlchemy's DBAPIError all the same.
        """
        prepared = connection.info.setdefault(KEY, set())
        if self._name not in prepared:
            connection.exec_driver_sql(self._prepare)
            prepared.add(self._name)
        session = connection.connection.driver_connection
        try:
            with session.cursor(cursor_factory=NamedTupleCursor) as cursor:  # type: ignore[union-attr]
                cursor.execute(self._execute, values)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            raise DBAPIError.instance(self._name, None, error, psycopg2.Error) from error
        except (ValueError, OverflowError) as error:  # a value that the driver cannot even send, such as a NUL
            raise DataError(self._name, None, error) from error
