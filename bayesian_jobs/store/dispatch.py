"""Turning due jobs into runs, a batch at a time: claimed, judged, recorded and advanced inside PostgreSQL.

`domain/misfire.py` states the same rules for one job in Python; a test holds the two against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE, Account
from bayesian_jobs.domain.reasons import SKIPPED_OVERLAP
from bayesian_jobs.store.locks import LOCK_SERVICE
from bayesian_jobs.store.notifications import RUNS_QUEUED
from bayesian_jobs.store.prepared import Prepared

OPEN_SERVICE = "SELECT state, clock_timestamp() AS now FROM service"

CLAIM_DUE = """
SELECT job_no, cron, timezone, next_run_at FROM jobs
WHERE state = 'running' AND next_run_at <= %(now)s::timestamptz
ORDER BY next_run_at LIMIT %(limit)s::bigint FOR UPDATE SKIP LOCKED
"""

# accounted: for each claimed job its fire times first..last that are due, how many, and the first one after them.
# judged:    whether the last of them runs; whatever does not run becomes one missed or skipped record.
SETTLE = f"""
WITH cron AS MATERIALIZED (
    SELECT * FROM unnest(%(crons)s::text[], %(timezones)s::text[], %(firsts)s::timestamptz[],
                         %(previouses)s::timestamptz[], %(lasts)s::timestamptz[],
                         %(nexts)s::timestamptz[], %(counts)s::bigint[])
        AS u(cron, timezone, first, previous, last, next, count)
),
accounted AS (
    SELECT j.*, j.next_run_at AS first,
        coalesce(c.count, e.elapsed + 1, 1) AS count,
        CASE WHEN c.count IS NOT NULL THEN c.previous ELSE j.next_run_at + (e.elapsed - 1) * j.period END AS previous,
        coalesce(c.last, j.next_run_at + e.elapsed * j.period, j.next_run_at) AS last,
        CASE WHEN c.count IS NOT NULL THEN c.next ELSE j.next_run_at + (e.elapsed + 1) * j.period END AS next
    FROM jobs AS j
    LEFT JOIN cron AS c ON c.cron = j.cron AND c.timezone = j.timezone AND c.first = j.next_run_at
    CROSS JOIN LATERAL (
        SELECT div(extract(epoch FROM %(now)s::timestamptz - j.next_run_at), extract(epoch FROM j.period))::bigint
            AS elapsed
    ) AS e
    WHERE j.job_no = ANY(%(job_nos)s::bigint[])
),
judged AS MATERIALIZED (
    SELECT a.*,
        coalesce(a.next <= %(now)s::timestamptz, false) AS cut,
        coalesce(a.last + a.misfire_grace_time < %(now)s::timestamptz, false) AS late,
        coalesce((
            SELECT o.state IN ('queued', 'running') FROM runs AS o
            WHERE o.run_id = a.last_run_id AND o.scheduled_for = a.last_scheduled_for
        ), false) AS overlapping,
        bayesian_jobs_uuid7() AS run_id
    FROM accounted AS a
),
recorded AS (
    INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, scheduled_for, state, claim_at, queued_at,
                      finished_at, missed_until, missed_count, reason)
    SELECT run_id, job_no, job_id, version, handler, queue, last, 'queued',
           %(now)s::timestamptz, %(now)s::timestamptz, NULL, NULL::timestamptz, NULL::bigint, NULL
    FROM judged WHERE NOT cut AND NOT late AND NOT overlapping
    UNION ALL
    SELECT bayesian_jobs_uuid7(), job_no, job_id, version, handler, queue, first,
           CASE WHEN overlapping AND NOT cut AND NOT late THEN 'skipped' ELSE 'missed' END,
           NULL, %(now)s::timestamptz, %(now)s::timestamptz,
           CASE WHEN cut OR late OR overlapping THEN last ELSE previous END,
           CASE WHEN cut OR late OR overlapping THEN count ELSE count - 1 END,
           CASE WHEN cut THEN %(coalesced)s::text WHEN late THEN %(late)s::text WHEN overlapping THEN %(overlap)s::text
                ELSE %(coalesced)s::text END
    FROM judged WHERE cut OR late OR overlapping OR count > 1
    ON CONFLICT (job_no, scheduled_for) DO NOTHING
    RETURNING run_id, queue, state, missed_count
),
advanced AS (
    UPDATE jobs AS j
    SET next_run_at = d.next,
        last_run_id = CASE WHEN d.has_run THEN d.run_id ELSE j.last_run_id END,
        last_scheduled_for = CASE WHEN d.has_run THEN d.last ELSE j.last_scheduled_for END,
        state = CASE WHEN d.next IS NULL AND d.late AND NOT d.overlapping THEN 'finished' ELSE j.state END
    -- A hashed look-up for each row; what the planner makes of a join of two such lists takes four times as long.
    FROM (SELECT *, run_id IN (SELECT run_id FROM recorded) AS has_run FROM judged OFFSET 0) AS d
    WHERE j.job_no = d.job_no
),
woken AS MATERIALIZED (
    SELECT pg_notify('{RUNS_QUEUED}', queue) FROM (SELECT DISTINCT queue FROM recorded WHERE state = 'queued') AS q
)
SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
       coalesce(sum(missed_count) FILTER (WHERE state = 'missed'), 0)::bigint AS missed,
       coalesce(sum(missed_count) FILTER (WHERE state = 'skipped'), 0)::bigint AS skipped,
       (SELECT count(*) FROM woken) AS woken
FROM recorded
"""

NEXT_DUE = "SELECT min(next_run_at) - clock_timestamp() AS wait FROM jobs WHERE state = 'running'"

SET_ASIDE = """
WITH paused AS (
    UPDATE jobs SET state = 'paused', paused_at = clock_timestamp(), version = version + 1,
        updated_at = clock_timestamp()
    WHERE job_no = %(job_no)s::bigint RETURNING job_id, handler, kwargs
)
INSERT INTO jobs (job_id, handler, state, kwargs)
SELECT bayesian_jobs_uuid7()::text, 'ErrorHandler', 'paused', jsonb_build_object(
    'exc_str', %(reason)s::text, 'failed_job_id', job_id, 'failed_job_handler', handler,
    'failed_handler_kwargs', kwargs)
FROM paused
"""

NO_OPEN_RUN = """NOT EXISTS (
    SELECT FROM runs AS o WHERE o.run_id = jobs.last_run_id AND o.scheduled_for = jobs.last_scheduled_for
        AND o.state IN ('queued', 'running'))
"""
LOCK_OVER = f"""
SELECT job_no FROM jobs WHERE next_run_at IS NULL AND state IN ('running', 'paused') AND {NO_OPEN_RUN}
    AND last_run_id IS NOT NULL
FOR UPDATE SKIP LOCKED
"""
# Looked at again now that they are locked: a run that was committed since the first look is seen by this one.
FINISH_OVER = f"""
UPDATE jobs SET state = 'finished', updated_at = clock_timestamp()
WHERE job_no = ANY(%(job_nos)s::bigint[]) AND {NO_OPEN_RUN}
"""

set_aside_statement = Prepared("set_aside", SET_ASIDE)
lock_over_statement = Prepared("lock_over", LOCK_OVER)
finish_over_statement = Prepared("finish_over", FINISH_OVER)
open_service_statement = Prepared("open_service", OPEN_SERVICE, LOCK_SERVICE)
claim_due_statement = Prepared("claim_due", CLAIM_DUE)
settle_statement = Prepared("settle", SETTLE)
next_due_statement = Prepared("next_due", NEXT_DUE)


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job whose row this transaction has locked; `next_run_at` is its first fire time that is due."""

    job_no: int
    cron: str | None
    timezone: str
    next_run_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """How many jobs were dispatched, and how many of their fire times became runs, are missed, are skipped."""

    jobs: int
    queued: int
    missed: int
    skipped: int


def open_service(connection: Connection) -> tuple[str, datetime]:
    """The service's state, and the database's clock. Takes the service lock, shared, until the transaction ends: as
    long as it is held, the state stays what it is."""
    (row,) = open_service_statement.run(connection, {})
    return row.state, row.now


def claim_due(connection: Connection, now: datetime, limit: int) -> list[DueJob]:
    """Lock up to `limit` due jobs, the longest due first; jobs that others have locked are left to them."""
    rows = claim_due_statement.run(connection, {"now": now, "limit": limit})
    return [DueJob(row.job_no, row.cron, row.timezone, row.next_run_at) for row in rows]


def settle(
    connection: Connection,
    now: datetime,
    jobs: Sequence[DueJob],
    accounts: Sequence[tuple[DueJob, Account]],
) -> Settled:
    """Account for every due fire time of the locked `jobs`, wake the workers of the new runs, advance the jobs.

    `accounts` holds one account for each distinct (cron, timezone, next_run_at) among them.
    """
    values = {
        "now": now,
        "job_nos": [job.job_no for job in jobs],
        "crons": [job.cron for job, _ in accounts],
        "timezones": [job.timezone for job, _ in accounts],
        "firsts": [account.first for _, account in accounts],
        "previouses": [account.previous for _, account in accounts],
        "lasts": [account.last for _, account in accounts],
        "nexts": [account.next for _, account in accounts],
        "counts": [account.count for _, account in accounts],
        "coalesced": MISSED_COALESCED,
        "late": MISSED_LATE,
        "overlap": SKIPPED_OVERLAP,
    }
    (row,) = settle_statement.run(connection, values)
    return Settled(len(jobs), row.queued, row.missed, row.skipped)


def next_due_in(connection: Connection) -> timedelta | None:
    """How long until the next job is due (negative: it is overdue); None if none is."""
    (row,) = next_due_statement.run(connection, {})
    wait: timedelta | None = row.wait
    return wait


def set_aside(connection: Connection, job_no: int, reason: str) -> None:
    """Pause a locked job whose fire times cannot be computed, and leave a failure entry that says why."""
    set_aside_statement.run(connection, {"job_no": job_no, "reason": reason})


def finish_over_jobs(connection: Connection) -> None:
    """Finish the jobs that have no further fire time and no open run. The end of the run mostly does so; this does
    where it could not. Passes by those that others have locked."""
    over = [row.job_no for row in lock_over_statement.run(connection, {})]
    if over:
        finish_over_statement.run(connection, {"job_nos": over})
