"""What explains a fire time: its record in the ledger, and why a queued run has not started."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, or_, select, text

from bayesian_jobs.store.open_runs import open_runs
from bayesian_jobs.store.tables import runs

MOST_AHEAD = 1000

ALIVE = text("""
SELECT count(*) FILTER (WHERE kind = 'scheduler') AS schedulers, count(*) FILTER (WHERE kind = 'worker') AS workers,
       count(*) FILTER (WHERE kind = 'worker' AND (queues IS NULL OR :queue = ANY(queues))) AS consumers
FROM processes WHERE ended_at IS NULL AND lease_until > clock_timestamp() AND missing_since IS NULL
""")
AHEAD = text("""
SELECT count(*) FROM (
    SELECT FROM runs WHERE queue = :queue AND claim_at <= clock_timestamp()
        AND (priority, claim_at) < (:priority, :claim_at) LIMIT :most
) AS ahead
""")
OPEN_RUNS = text(f"SELECT {open_runs('jobs')} FROM jobs WHERE job_no = :job_no")
# The jitter of a pending job may be longer than what can be computed with.
DELAY = text("""
SELECT bayesian_jobs_delay(least(jitter, interval '99999 days'), job_id, :fire_time)
FROM jobs WHERE job_no = :job_no AND jitter IS NOT NULL
""")
WORKER = text("""
SELECT hostname, pid, ended_at IS NULL AND lease_until > clock_timestamp() AND missing_since IS NULL AS is_alive
FROM processes WHERE process_no = :process_no
""")


@dataclass(frozen=True, slots=True)
class Alive:
    """How many schedulers and workers are alive, and how many of the workers take runs from a queue (or have not said
    yet from which)."""

    schedulers: int
    workers: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Worker:
    """The process that executes a run."""

    hostname: str
    pid: int
    is_alive: bool


def record_of(connection: Connection, job_no: int, first: datetime, last: datetime) -> Mapping[str, Any] | None:
    """The job's run, missed or skipped record of a time from `first` to `last`, or a record that begins before and
    covers it."""
    row = connection.execute(latest_record(job_no, first, last)).first()
    if row is None or (row.scheduled_for < first and (row.missed_until is None or row.missed_until < first)):
        return None
    return row._asdict()


def latest_record(job_no: int, first: datetime, last: datetime) -> Select[Any]:
    """The last record that is not later than `last`. A run that somebody asked for hides no range that began before it,
    unless it is itself what is looked for."""
    return (
        select(runs)
        .where(runs.c.job_no == job_no, runs.c.scheduled_for <= last)
        .where(or_(~runs.c.requested, runs.c.scheduled_for >= first))
        .order_by(runs.c.scheduled_for.desc())
        .limit(1)
    )


def open_fire_times(connection: Connection, job_no: int) -> list[datetime]:
    """The fire times of the job's runs that are queued or executing."""
    return list(connection.execute(OPEN_RUNS, {"job_no": job_no}).scalar_one())


def delay_of(connection: Connection, job_no: int, fire_time: datetime) -> timedelta:
    """How much later than its fire time a run of the job starts, by the job's jitter."""
    delay: timedelta | None = connection.execute(DELAY, {"job_no": job_no, "fire_time": fire_time}).scalar()
    return delay or timedelta(0)


def alive(connection: Connection, queue: str) -> Alive:
    return Alive(*connection.execute(ALIVE, {"queue": queue}).one())


def runs_ahead(connection: Connection, run: Mapping[str, Any]) -> int:
    """How many runs of its queue are claimed before a queued one, as things stand; at most MOST_AHEAD + 1 are
    counted."""
    values = {name: run[name] for name in ("queue", "priority", "claim_at")} | {"most": MOST_AHEAD + 1}
    return int(connection.execute(AHEAD, values).scalar_one())


def worker(connection: Connection, process_no: int) -> Worker | None:
    row = connection.execute(WORKER, {"process_no": process_no}).first()
    return Worker(*row) if row else None
