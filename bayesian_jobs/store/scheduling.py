"""Jobs made and removed by the functions of the database, in a transaction of somebody else's connection.

The connection is SQLAlchemy's (a Connection or a Session), or one by PEP 249 whose parameters are written `%(name)s`,
as those of psycopg2, psycopg and Django are.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session, scoped_session

TYPES: Final[Mapping[str, str]] = {
    "handler": "text",
    "kwargs": "jsonb",
    "job_id": "text",
    "periodically": "text",
    "when": "timestamptz",
    "end": "timestamptz",
    "timezone": "text",
    "jitter": "interval",
    "misfire_grace_time": "interval",
    "catch_up": "text",
    "max_concurrent_runs": "integer",
    "overlap": "text",
    "queue": "text",
    "priority": "integer",
    "max_retries": "integer",
    "retry_delay": "interval",
    "time_limit": "interval",
    "description": "text",
    "tags": "text[]",
    "if_exists": "text",
}
"""The parameters of `schedule_job`, and their types."""


def schedule_job(connection: Any, arguments: Mapping[str, Any]) -> str | None:
    """Make a pending job, and wake a scheduler when the transaction commits. Returns its job_id, or None if there is
    such a job already and `if_exists` is `keep`."""
    made: str | None = _call(connection, "schedule_job", {name: TYPES[name] for name in arguments}, arguments)
    return made


def unschedule_job(connection: Any, job_id: str) -> bool:
    """Remove a job and cancel its queued runs; waits for claims of them that are under way. False: there is none."""
    return bool(_call(connection, "unschedule_job", {"job_id": "text"}, {"job_id": job_id}))


def now(connection: Any) -> datetime:
    """The database's time, in UTC."""
    found: datetime = _call(connection, "clock_timestamp", {}, {})
    return found.astimezone(UTC)


def _call(connection: Any, function: str, types: Mapping[str, str], arguments: Mapping[str, Any]) -> Any:
    alchemy = isinstance(connection, (Connection, Session, scoped_session))
    mark = ":{}" if alchemy else "%({})s"
    given = ", ".join(f'"{name}" => CAST({mark.format(name)} AS {type_})' for name, type_ in types.items())
    statement = f"SELECT {function}({given})"
    if alchemy:
        return connection.execute(text(statement), arguments).scalar()
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchone()[0]
