"""Turning due jobs into runs, a batch at a time: claimed, judged, recorded and advanced inside PostgreSQL.

`domain/misfire.py` states the same rules for one job in Python; a test holds the two against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE, MISSED_PASSED, PUNCTUAL, Account
from bayesian_jobs.domain.reasons import SKIPPED_OVERLAP
from bayesian_jobs.store.locks import LOCK_SERVICE
from bayesian_jobs.store.notifications import RUNS
from bayesian_jobs.store.open_runs import last_is_open, open_runs
from bayesian_jobs.store.prepared import Prepared

OPEN_SERVICE = "SELECT state, clock_timestamp() AS now FROM service"

CLAIM_DUE = """
SELECT job_no, cron, timezone, next_run_at, ends_at, CASE catch_up WHEN 'all' THEN misfire_grace_time END AS reach
FROM jobs
WHERE state = 'running' AND NOT waiting AND next_run_at <= %(now)s::timestamptz
ORDER BY next_run_at LIMIT %(limit)s::bigint FOR UPDATE SKIP LOCKED
"""

# accounted: for each claimed job its fire times first..last that are due, how many, and the first one after them.
# measured:  how late the last of them is, and how many runs of the job are open.
# judged:    what becomes of the last of them: it runs, it waits for an open run to end, or why it does neither.
#            Whatever has no run, and does not wait for it, becomes one missed or skipped record.
SETTLE = f"""
WITH cron AS MATERIALIZED (
    SELECT * FROM unnest(%(crons)s::text[], %(timezones)s::text[], %(firsts)s::timestamptz[],
                         %(ends)s::timestamptz[], %(reaches)s::interval[],
                         %(previouses)s::timestamptz[], %(lasts)s::timestamptz[],
                         %(nexts)s::timestamptz[], %(counts)s::bigint[], %(cuts)s::bool[])
        AS u(cron, timezone, first, ends_at, reach, previous, last, next, count, cut)
),
accounted AS (
    SELECT j.*, j.next_run_at AS first,
        coalesce(c.count, e.periods + 1, 1) AS count,
        CASE WHEN c.count IS NOT NULL THEN c.previous ELSE j.next_run_at + (e.periods - 1) * j.period END AS previous,
        coalesce(c.last, j.next_run_at + e.periods * j.period, j.next_run_at) AS last,
        CASE WHEN c.count IS NOT NULL THEN c.next ELSE j.next_run_at + (e.periods + 1) * j.period END AS following,
        coalesce(c.cut, false) AS cut
    FROM jobs AS j
    LEFT JOIN cron AS c ON c.cron = j.cron AND c.timezone = j.timezone AND c.first = j.next_run_at
        AND c.ends_at IS NOT DISTINCT FROM j.ends_at
        AND c.reach IS NOT DISTINCT FROM CASE j.catch_up WHEN 'all' THEN j.misfire_grace_time END
    CROSS JOIN LATERAL (
        SELECT least(
            greatest(div(extract(epoch FROM least(%(now)s::timestamptz, j.ends_at) - j.next_run_at),
                         extract(epoch FROM j.period)), 0),
            CASE j.catch_up WHEN 'all' THEN -- the first that is within the grace: a division that rounds up
                greatest(div(extract(epoch FROM %(now)s::timestamptz - j.misfire_grace_time - j.next_run_at)
                             + extract(epoch FROM j.period) - 0.000001, extract(epoch FROM j.period)), 0) END
        )::bigint AS periods
    ) AS e
    WHERE j.job_no = ANY(%(job_nos)s::bigint[])
),
measured AS (
    SELECT a.*,
        CASE WHEN a.following > a.ends_at THEN NULL ELSE a.following END AS next,
        CASE WHEN a.jitter IS NULL THEN a.last ELSE a.last + bayesian_jobs_delay(a.jitter, a.job_id, a.last) END AS at,
        CASE WHEN a.max_concurrent_runs = 1 AND a.open_runs IS NULL THEN NULL ELSE {open_runs("a")} END AS open,
        {last_is_open("a")} AS last_is_open
    FROM accounted AS a
),
judged AS MATERIALIZED (
    SELECT m.*,
        CASE WHEN m.cut THEN 'cut'
             WHEN m.at + m.misfire_grace_time < %(now)s::timestamptz THEN 'late'
             WHEN m.catch_up = 'none' AND m.at + %(punctual)s::interval < %(now)s::timestamptz THEN 'passed'
             WHEN coalesce(cardinality(m.open), m.last_is_open::int) < m.max_concurrent_runs THEN 'runs'
             WHEN m.overlap = 'queue_one' OR m.catch_up = 'all' THEN 'waits'
             ELSE 'overlaps' END AS verdict,
        bayesian_jobs_uuid7() AS run_id
    FROM measured AS m
),
recorded AS (
    INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, priority, scheduled_for, state, claim_at,
                      queued_at, finished_at, missed_until, missed_count, reason)
    SELECT run_id, job_no, job_id, version, handler, queue, priority, last, 'queued',
           greatest(at, %(now)s::timestamptz), %(now)s::timestamptz, NULL, NULL::timestamptz, NULL::bigint, NULL
    FROM judged WHERE verdict = 'runs'
    UNION ALL
    SELECT bayesian_jobs_uuid7(), job_no, job_id, version, handler, queue, priority, first,
           CASE verdict WHEN 'overlaps' THEN 'skipped' ELSE 'missed' END,
           NULL, %(now)s::timestamptz, %(now)s::timestamptz,
           CASE verdict WHEN 'runs' THEN previous ELSE last END,
           CASE verdict WHEN 'runs' THEN count - 1 ELSE count END,
           CASE WHEN verdict = 'late' THEN %(late)s::text WHEN verdict = 'passed' THEN %(passed)s::text
                WHEN verdict = 'overlaps' THEN %(overlap)s::text WHEN catch_up = 'all' THEN %(late)s::text
                ELSE %(coalesced)s::text END
    FROM judged WHERE verdict <> 'waits' AND (verdict <> 'runs' OR count > 1)
    ON CONFLICT (job_no, scheduled_for) DO NOTHING
    RETURNING run_id, queue, state, missed_count
),
advanced AS (
    UPDATE jobs AS j
    SET next_run_at = CASE d.verdict WHEN 'waits' THEN j.next_run_at ELSE d.next END,
        waiting = d.verdict = 'waits',
        last_run_id = CASE WHEN d.has_run THEN d.run_id ELSE j.last_run_id END,
        last_scheduled_for = CASE WHEN d.has_run THEN d.last ELSE j.last_scheduled_for END,
        open_runs = CASE WHEN d.max_concurrent_runs > 1 AND d.has_run THEN d.open || d.last
                         ELSE nullif(d.open, '{{}}') END,
        state = CASE WHEN d.is_over THEN 'finished' ELSE j.state END,
        updated_at = CASE WHEN d.is_over THEN %(now)s::timestamptz ELSE j.updated_at END
    -- A hashed look-up for each row; what the planner makes of a join of two such lists takes four times as long.
    FROM (
        SELECT *, run_id IN (SELECT run_id FROM recorded) AS has_run,
            next IS NULL AND verdict IN ('late', 'passed') AND NOT coalesce(open <> '{{}}', last_is_open) AS is_over
        FROM judged OFFSET 0
    ) AS d
    WHERE j.job_no = d.job_no
),
woken AS MATERIALIZED (
    SELECT pg_notify('{RUNS}', queue) FROM (SELECT DISTINCT queue FROM recorded WHERE state = 'queued') AS q
)
SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
       coalesce(sum(missed_count) FILTER (WHERE state = 'missed'), 0)::bigint AS missed,
       coalesce(sum(missed_count) FILTER (WHERE state = 'skipped'), 0)::bigint AS skipped,
       (SELECT count(*) FROM judged WHERE verdict = 'waits') AS waiting,
       (SELECT count(*) FROM woken) AS woken
FROM recorded
"""

# One statement, since an idle scheduler asks nothing else: what is due next, and what is to be seen to besides.
COMING = """
SELECT CASE WHEN service.state = 'running' THEN
           (SELECT min(next_run_at) FROM jobs WHERE jobs.state = 'running' AND NOT waiting) - clock.now END AS due,
       CASE WHEN EXISTS (SELECT FROM jobs WHERE state = 'pending') THEN interval '0'
            ELSE least((SELECT min(paused_until) FROM jobs WHERE state = 'paused' AND paused_until IS NOT NULL),
                       CASE service.state WHEN 'paused' THEN service.paused_until END) - clock.now END AS admission
FROM service, (SELECT clock_timestamp() AS now OFFSET 0) AS clock
"""

SET_ASIDE = """
WITH paused AS (
    UPDATE jobs SET state = 'paused', paused_at = clock_timestamp(), paused_reason = NULL, paused_until = NULL,
        error = %(reason)s::text, version = version + 1, updated_at = clock_timestamp()
    WHERE job_no = %(job_no)s::bigint RETURNING job_id, handler, kwargs
)
INSERT INTO jobs (job_id, handler, state, kwargs)
SELECT bayesian_jobs_uuid7()::text, 'ErrorHandler', 'paused', jsonb_build_object(
    'exc_str', %(reason)s::text, 'failed_job_id', job_id, 'failed_job_handler', handler,
    'failed_handler_kwargs', kwargs)
FROM paused
"""

set_aside_statement = Prepared("set_aside", SET_ASIDE)
open_service_statement = Prepared("open_service", OPEN_SERVICE, LOCK_SERVICE)
claim_due_statement = Prepared("claim_due", CLAIM_DUE)
settle_statement = Prepared("settle", SETTLE)
coming_statement = Prepared("coming", COMING)


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job whose row this transaction has locked; `next_run_at` is its first fire time that is due, `reach`, of a job
    that catches up all, how far back they run."""

    job_no: int
    cron: str | None
    timezone: str
    next_run_at: datetime
    ends_at: datetime | None
    reach: timedelta | None


@dataclass(frozen=True, slots=True)
class Settled:
    """How many jobs were dispatched, how many of their fire times became runs, are missed, are skipped, and how many
    of the jobs wait for an open run to end."""

    jobs: int
    queued: int
    missed: int
    skipped: int
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Coming:
    """How long until the next job is due, and until there is something for `lifecycle/admit` (negative: it is overdue);
    None if nothing is. While the service is paused, no job is due."""

    due: timedelta | None
    admission: timedelta | None


def open_service(connection: Connection) -> tuple[str, datetime]:
    """The service's state, and the database's clock. Takes the service lock, shared, until the transaction ends: as
    long as it is held, the state stays what it is."""
    (row,) = open_service_statement.run(connection, {})
    return row.state, row.now


def claim_due(connection: Connection, now: datetime, limit: int) -> list[DueJob]:
    """Lock up to `limit` due jobs, the longest due first; jobs that others have locked are left to them."""
    rows = claim_due_statement.run(connection, {"now": now, "limit": limit})
    return [DueJob(*row) for row in rows]


def settle(
    connection: Connection,
    now: datetime,
    jobs: Sequence[DueJob],
    accounts: Sequence[tuple[DueJob, Account]],
) -> Settled:
    """Account for every due fire time of the locked `jobs`, wake the workers of the new runs, advance the jobs.

    `accounts` holds one account for each distinct (cron, timezone, next_run_at, ends_at, reach) among them.
    """
    values = {
        "now": now,
        "job_nos": [job.job_no for job in jobs],
        "crons": [job.cron for job, _ in accounts],
        "timezones": [job.timezone for job, _ in accounts],
        "firsts": [account.first for _, account in accounts],
        "ends": [job.ends_at for job, _ in accounts],
        "reaches": [job.reach for job, _ in accounts],
        "previouses": [account.previous for _, account in accounts],
        "lasts": [account.last for _, account in accounts],
        "nexts": [account.next for _, account in accounts],
        "counts": [account.count for _, account in accounts],
        "cuts": [account.cut for _, account in accounts],
        "punctual": PUNCTUAL,
        "coalesced": MISSED_COALESCED,
        "late": MISSED_LATE,
        "passed": MISSED_PASSED,
        "overlap": SKIPPED_OVERLAP,
    }
    (row,) = settle_statement.run(connection, values)
    return Settled(len(jobs), row.queued, row.missed, row.skipped, row.waiting)


def what_comes(connection: Connection) -> Coming:
    (row,) = coming_statement.run(connection, {})
    return Coming(row.due, row.admission)


def set_aside(connection: Connection, job_no: int, reason: str) -> None:
    """Pause a locked job whose fire times cannot be computed, and leave a failure entry that says why."""
    set_aside_statement.run(connection, {"job_no": job_no, "reason": reason})
