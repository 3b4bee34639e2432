"""The partitions of `runs`: a week each, made ahead of time and dropped behind the retention.

What lies outside of them (a one-off job for a time long ago) goes into `runs_past`.
"""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from bayesian_jobs.store import locks

WEEK = timedelta(weeks=1)
AHEAD = 4
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
NAME = re.compile(r"runs_p(\d{4})(\d{2})(\d{2})")

LIST = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'runs'::regclass")
OPEN_RUNS = "SELECT EXISTS (SELECT FROM {name} WHERE state IN ('queued', 'running'))"
# Made beside the table and then attached, which others hardly notice. What lies in `runs_past` although it belongs into
# this week (a message was sent while no scheduler had run for long) moves over first: otherwise it would be refused.
MAKE = """
CREATE TABLE {name} (LIKE runs INCLUDING ALL)
    WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
WITH moved AS (
    DELETE FROM runs_past WHERE scheduled_for >= '{first}' AND scheduled_for < '{until}' RETURNING *
)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE runs ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{until}')
"""


def week_of(moment: datetime) -> datetime:
    """The Monday, 00:00 UTC, on or before `moment`."""
    return moment - (moment - MONDAY) % WEEK


def existing(connection: Connection) -> dict[str, datetime]:
    """The weekly partitions: name → first moment."""
    weeks = {}
    for name in connection.execute(LIST).scalars():
        if match := NAME.fullmatch(name):
            weeks[name] = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    return weeks


def make_ahead(connection: Connection, now: datetime) -> list[str]:
    """Make the partitions of this week and the next `AHEAD` weeks that are missing. Returns their names.

    Raises OperationalError, having done nothing, when somebody holds `runs_past` for long: try again later.
    """
    if not missing_ahead(connection, now):
        return []
    lock_partitions(connection)
    made = missing_ahead(connection, now)
    for name, first in made.items():
        connection.exec_driver_sql(MAKE.format(name=name, first=first, until=first + WEEK))
    return list(made)


def missing_ahead(connection: Connection, now: datetime) -> dict[str, datetime]:
    weeks = (week_of(now) + number * WEEK for number in range(AHEAD + 1))
    present = existing(connection)
    return {name: first for first in weeks if (name := f"runs_p{first:%Y%m%d}") not in present}


def drop_behind(connection: Connection, oldest_kept: datetime) -> list[str]:
    """Drop the partitions whose runs are all older than `oldest_kept` and have all ended. Returns their names.

    Raises OperationalError, having done nothing, when somebody holds `runs` for long: try again later.
    """
    old = sorted(name for name, first in existing(connection).items() if first + WEEK <= oldest_kept)
    if not old:
        return []
    lock_partitions(connection)
    connection.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
    ended = [name for name in old if not connection.execute(text(OPEN_RUNS.format(name=name))).scalar()]
    for name in ended:
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
    return ended


def lock_partitions(connection: Connection) -> None:
    """Let one process at a time change the partitions, and wait for what others hold only briefly: everybody else
    would wait behind it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.PARTITIONS})
    connection.execute(text("SET LOCAL lock_timeout = '200ms'"))
