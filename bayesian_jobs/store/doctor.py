"""What the doctor looks at, each by an index: a million jobs are looked at as fast as ten.

Whatever the service sees to by itself within seconds has a minute before it counts. The moment is that of the
transaction, so that it fits its snapshot.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from bayesian_jobs.domain.job import FIRST_PRIORITY, LAST_PRIORITY
from bayesian_jobs.store.engine import behave_as_hot
from bayesian_jobs.store.open_runs import any_is_open

MOST_COUNTED = 10_000
MOST_TASKS = 100_000
MOST_NAMED = 5
BRIEF = timedelta(seconds=5)

A_MINUTE_AGO = "now() - interval '1 minute'"
IS_ALIVE = "ended_at IS NULL AND lease_until > now() AND missing_since IS NULL"

SERVER = text("""
SELECT current_setting('server_version_num')::int / 10000 AS version, current_setting('fsync') <> 'off' AS fsync,
       current_setting('full_page_writes') <> 'off' AS full_page_writes,
       current_setting('synchronous_commit') <> 'off' AS synchronous_commit
""")
LIVING = text(f"SELECT kind, queues, cardinality(holding) AS runs FROM processes WHERE {IS_ALIVE}")

# A look-up for each queue, where DISTINCT would read the entry of every run that waits.
QUEUES = text("""
WITH RECURSIVE known(queue) AS (
    (SELECT queue FROM runs WHERE claim_at IS NOT NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM runs WHERE claim_at IS NOT NULL AND queue > known.queue ORDER BY queue LIMIT 1)
    FROM known WHERE known.queue IS NOT NULL
)
SELECT queue FROM known WHERE queue IS NOT NULL
""")

# Each names what is wrong, and since when.
WAITING_RUNS = f"""
SELECT r.run_id::text AS name, r.claim_at AS since
FROM unnest(CAST(:queues AS text[])) AS q(queue)
CROSS JOIN generate_series({FIRST_PRIORITY}, {LAST_PRIORITY}) AS p(priority)
CROSS JOIN LATERAL (
    SELECT run_id, claim_at FROM runs
    WHERE queue = q.queue AND priority = p.priority::smallint AND claim_at < now() - CAST(:patience AS interval)
    ORDER BY claim_at LIMIT {MOST_COUNTED + 1}
) AS r
"""
OVERDUE_JOBS = f"""
SELECT job_id AS name, next_run_at AS since FROM jobs
WHERE state = 'running' AND NOT waiting AND next_run_at < {A_MINUTE_AGO}
  AND EXISTS (SELECT FROM service WHERE state = 'running' AND changed_at < {A_MINUTE_AGO})
ORDER BY next_run_at
"""
DUE_JOBS = """
SELECT job_id AS name, next_run_at AS since FROM jobs
WHERE state = 'running' AND NOT waiting AND next_run_at < now() ORDER BY next_run_at
"""
PENDING_JOBS = f"""
SELECT job_id AS name, created_at AS since FROM jobs WHERE state = 'pending' AND created_at < {A_MINUTE_AGO}
"""
# No index holds the errors: these are without a next fire time, or a failure entry tells of them.
JOBS_SET_ASIDE = """
SELECT job_id AS name, paused_at AS since FROM jobs
WHERE next_run_at IS NULL AND state IN ('running', 'paused') AND error IS NOT NULL
UNION
SELECT job.job_id, job.paused_at FROM jobs AS entry JOIN jobs AS job ON job.job_id = entry.kwargs ->> 'failed_job_id'
WHERE entry.handler = 'ErrorHandler' AND job.error IS NOT NULL
"""
HAS_JUST_RUN = f"""EXISTS (
    SELECT FROM unnest(jobs.open_runs || jobs.last_scheduled_for) AS known(at)
    JOIN runs ON runs.job_no = jobs.job_no AND runs.scheduled_for = known.at WHERE runs.finished_at > {A_MINUTE_AGO})
"""
JOBS_WAITING_FOR_NOTHING = f"""
SELECT job_id AS name, next_run_at AS since FROM jobs
WHERE waiting AND NOT {any_is_open("jobs")} AND NOT {HAS_JUST_RUN}
"""
JOBS_WITHOUT_FIRE_TIME = f"""
SELECT job_id AS name, updated_at AS since FROM jobs
WHERE next_run_at IS NULL AND state IN ('running', 'paused') AND handler <> 'ErrorHandler' AND error IS NULL
  AND updated_at < {A_MINUTE_AGO} AND NOT {any_is_open("jobs")} AND NOT {HAS_JUST_RUN}
"""
# No index holds the running ones either: these are what dead processes have held last.
ORPHANED_RUNS = f"""
SELECT r.run_id::text AS name, r.started_at AS since
FROM processes AS p CROSS JOIN unnest(p.holding) AS held(run_id)
JOIN runs AS r ON r.run_id = held.run_id AND r.worker = p.process_no AND r.state = 'running'
WHERE coalesce(p.ended_at, least(p.lease_until, p.missing_since)) < {A_MINUTE_AGO}
"""
# Nor these: they are looked for where a job cannot go on, or end, without them.
LOST_RUNS = f"""
SELECT r.run_id::text AS name, r.started_at AS since
FROM (SELECT job_no, last_run_id, last_scheduled_for FROM jobs WHERE waiting
      UNION ALL
      SELECT job_no, last_run_id, last_scheduled_for FROM jobs
      WHERE next_run_at IS NULL AND state IN ('running', 'paused')) AS stuck
JOIN runs AS r ON r.run_id = stuck.last_run_id AND r.scheduled_for = stuck.last_scheduled_for
WHERE r.state = 'running' AND r.started_at < {A_MINUTE_AGO}
  AND NOT EXISTS (SELECT FROM processes AS p WHERE p.process_no = r.worker AND r.run_id = ANY(p.holding))
"""
FAILURES = "SELECT job_id AS name, created_at AS since FROM jobs WHERE handler = 'ErrorHandler'"
HOPELESS_TASKS = f"""
SELECT task || ' of ' || flow_id AS name, created_at AS since
FROM (SELECT flow_id, task, created_at FROM flow_tasks ORDER BY flow_id LIMIT {MOST_TASKS}) AS f
WHERE created_at < {A_MINUTE_AGO} AND NOT EXISTS (SELECT FROM runs WHERE runs.flow_id = f.flow_id)
"""
RUNS_IN_THE_PAST = """
SELECT run_id::text AS name, scheduled_for AS since FROM runs_past WHERE scheduled_for > now() - interval '2 weeks'
"""


@dataclass(frozen=True, slots=True)
class Server:
    """The version of PostgreSQL, and which of the settings that durability rests on are on."""

    version: int
    fsync: bool
    full_page_writes: bool
    synchronous_commit: bool


@dataclass(frozen=True, slots=True)
class Living:
    """A process that is alive; `queues`: from which it takes runs, None: it takes none, or has not said yet; `runs`:
    how many it may be executing."""

    kind: str
    queues: Sequence[str] | None
    runs: int


@dataclass(frozen=True, slots=True)
class Found:
    """How many (above MOST_COUNTED: at least so many), since when the oldest, and the names of the oldest few."""

    count: int
    oldest: datetime | None
    names: Sequence[str]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """One view of the database, in which nothing can be changed."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        behave_as_hot(connection)
        yield connection


def server(connection: Connection) -> Server:
    return Server(*connection.execute(SERVER).one())


def moment(connection: Connection) -> datetime:
    """When the snapshot was begun."""
    now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return now


def living(connection: Connection) -> list[Living]:
    return [Living(*row) for row in connection.execute(LIVING)]


def queues_with_queued_runs(connection: Connection) -> list[str]:
    return list(connection.execute(QUEUES).scalars())


def find(connection: Connection, rows: str, **values: Any) -> Found:
    """Count what a statement of this module finds."""
    return Found(*connection.execute(text(counted(rows)), values).one())


def waiting(connection: Connection, queue: str, patience: timedelta = timedelta(0)) -> Found:
    """The runs in a queue that could have been started longer than `patience` ago."""
    return find(connection, WAITING_RUNS, queues=[queue], patience=patience)


def be_brief(connection: Connection) -> None:
    """Whatever is looked at in this transaction must not take long: several may ask for it at once, and again."""
    connection.execute(text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": milliseconds(BRIEF)})


def milliseconds(time: timedelta) -> str:
    return f"{time // timedelta(milliseconds=1)}ms"


def counted(rows: str) -> str:
    return f"""
        SELECT count(*), min(since), coalesce((array_agg(name ORDER BY since, name))[1:{MOST_NAMED}], '{{}}')
        FROM (SELECT * FROM ({rows}) AS found LIMIT {MOST_COUNTED + 1}) AS counted
    """
