"""Claiming queued runs, which starts them; and recording, on the way, how others have ended.

A claim is a start. What a worker process claims beyond its idle threads begins within a moment or goes back: see
store/begins.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bayesian_jobs.domain.job import FIRST_PRIORITY, LAST_PRIORITY
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.endings import ENDED, Ending, values_of
from bayesian_jobs.store.locks import LOCK_SERVICE
from bayesian_jobs.store.notifications import HELD, JOBS_CHANGED
from bayesian_jobs.store.prepared import Prepared

# What becomes of a queued run `r`, judged by its job `j` as it is now. The grace counts from when the run was to start
# (by its jitter, also if that has been changed since), and no longer once a handler has begun to work on it. A run that
# was asked for obeys only a pause that came later.
VERDICT = """
    CASE WHEN r.job_no IS NULL THEN 'running'
         WHEN j.job_no IS NULL THEN 'cancelled'
         WHEN j.state <> 'running' AND (NOT r.requested OR r.scheduled_for <= j.paused_at) THEN 'cancelled'
         WHEN NOT r.begun AND j.misfire_grace_time + greatest(
             r.scheduled_for + CASE WHEN j.jitter IS NULL OR r.requested THEN interval '0'
                                    ELSE bayesian_jobs_delay(j.jitter, j.job_id, r.scheduled_for) END,
             CASE WHEN r.attempt = 0 AND r.claim_at > r.queued_at THEN r.claim_at END) < clock.now THEN 'missed'
         ELSE 'running' END
"""

DUE = """r.run_id, r.scheduled_for, r.job_no, r.job_version, r.attempt, r.recoveries, r.begun, r.requested, r.queued_at,
           r.claim_at, r.kwargs"""
"""What a claim has to know of a queued run `r`."""


# The version check makes a claim that raced with an edit come to nothing: the edit has brought the queued run under its
# own version, which is seen here, beside the job as this statement's older snapshot shows it.
def claim_of(due: str) -> str:
    """The statement that records the ends of runs, and starts the queued ones which `due` selects and locks while
    `ready` is true, its columns being DUE."""
    return f"""
-- First the row that whoever gives up the process has first as well.
WITH alive AS MATERIALIZED (
    SELECT process_no FROM processes WHERE process_no = %(process_no)s::bigint AND ended_at IS NULL FOR UPDATE
),
{ENDED},
-- The time when all that may have had to wait for others is done. What is claimed is not waited for.
clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now WHERE (SELECT count(*) FROM alive) + (SELECT count(*) FROM ended) >= 0
),
ready AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM alive) AND (SELECT state FROM service) = 'running' AS ready
),
due AS MATERIALIZED (
    {due}
),
-- What has been taken back from a dead worker may have killed it: nothing waits in memory beside it, nor it there.
placed AS (
    SELECT due.*, row_number() OVER () AS place FROM due
),
judged AS (
    SELECT r.run_id, r.scheduled_for, r.place, coalesce(r.kwargs, j.kwargs) AS kwargs,
           j.max_retries, j.retry_delay, j.time_limit, {VERDICT} AS verdict
    FROM placed AS r CROSS JOIN clock LEFT JOIN jobs AS j ON j.job_no = r.job_no
    WHERE (r.job_no IS NULL OR j.job_no IS NULL OR j.version >= r.job_version)
      AND (r.place <= %(idle)s::bigint OR r.recoveries = 0)
),
started AS (
    UPDATE runs AS r
    SET state = 'running', claim_at = NULL, resend_at = NULL, attempt = r.attempt + 1,
        worker = %(process_no)s::bigint, started_at = clock.now, finished_at = NULL, reason = NULL,
        traceback = NULL, progress = NULL
    FROM judged AS d CROSS JOIN clock
    WHERE r.run_id = d.run_id AND r.scheduled_for = d.scheduled_for AND d.verdict = 'running'
    RETURNING r.run_id, r.scheduled_for, r.job_no, r.job_id, r.attempt, r.failures, r.recoveries,
              r.actor, r.queue, r.queued_at, d.kwargs, r.message, r.flow_id, r.task,
              d.max_retries, d.retry_delay, d.time_limit
),
held AS (
    UPDATE processes
    SET holding = %(holding)s::uuid[] || (SELECT array_agg(run_id) FROM started),
        lease_until = (SELECT now FROM clock) + %(lease)s::interval
    WHERE process_no = %(process_no)s::bigint AND EXISTS (SELECT FROM started)
),
told AS MATERIALIZED (
    SELECT pg_notify('{JOBS_CHANGED}', '{HELD}') FROM started WHERE %(tell)s::bool LIMIT 1
)
SELECT d.run_id::text, d.scheduled_for, s.job_no, s.job_id, s.attempt, s.failures, s.recoveries, s.actor,
       s.queue, s.queued_at, coalesce(s.kwargs::text, '{{}}'), s.message::text, s.flow_id::text, s.task,
       s.max_retries, s.retry_delay, s.time_limit, -- so far the fields of ClaimedRun
       (SELECT count(*) FROM alive), (SELECT count(*) FROM told), (SELECT count(*) FROM ended),
       (SELECT count(*) FROM woken)
FROM clock LEFT JOIN judged AS d ON true LEFT JOIN started AS s USING (run_id, scheduled_for)
"""


# The priorities are looked into one by one: an index of all would be walked through whatever waits for a later time.
CLAIM = claim_of(f"""
    SELECT r.* FROM unnest(%(queues)s::text[]) AS q(queue)
    CROSS JOIN generate_series({FIRST_PRIORITY}, {LAST_PRIORITY}) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT {DUE} FROM runs AS r
        WHERE queue = q.queue AND priority = p.priority::smallint AND claim_at <= (SELECT now FROM clock)
        ORDER BY claim_at LIMIT %(limit)s::bigint FOR UPDATE SKIP LOCKED
    ) AS r
    WHERE (SELECT ready FROM ready)
    LIMIT %(limit)s::bigint
""")

REJECT = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
rejected AS MATERIALIZED (
    SELECT * FROM unnest(%(run_ids)s::uuid[], %(scheduled_fors)s::timestamptz[]) AS u(run_id, scheduled_for)
),
locked AS MATERIALIZED (
    SELECT job_no, job_id, state, paused_at, misfire_grace_time, jitter FROM jobs
    WHERE job_no = ANY(ARRAY(SELECT r.job_no FROM runs AS r JOIN rejected USING (run_id, scheduled_for)))
    ORDER BY job_no FOR UPDATE
),
judged AS MATERIALIZED (
    SELECT r.run_id, r.scheduled_for, {VERDICT} AS verdict
    FROM rejected JOIN runs AS r USING (run_id, scheduled_for) CROSS JOIN clock
    LEFT JOIN locked AS j ON j.job_no = r.job_no
    WHERE r.state = 'queued'
),
ended AS (
    UPDATE runs AS r SET state = d.verdict, claim_at = NULL, finished_at = clock.now,
        reason = CASE d.verdict WHEN 'missed' THEN %(late)s::text ELSE %(cancelled)s::text END
    FROM judged AS d CROSS JOIN clock
    WHERE r.run_id = d.run_id AND r.scheduled_for = d.scheduled_for
      AND r.state = 'queued' AND d.verdict <> 'running'
    RETURNING r.job_no
)
UPDATE jobs SET state = 'finished', updated_at = clock.now FROM ended CROSS JOIN clock
WHERE jobs.job_no = ended.job_no AND jobs.state IN ('running', 'paused') AND jobs.next_run_at IS NULL
  AND jobs.open_runs IS NULL -- else others may be open, and close_left_open looks
"""

NEXT_CLAIM = f"""
SELECT min(first.claim_at) - clock_timestamp() AS wait
FROM unnest(%(queues)s::text[]) AS q(queue)
CROSS JOIN generate_series({FIRST_PRIORITY}, {LAST_PRIORITY}) AS p(priority)
CROSS JOIN LATERAL (
    SELECT claim_at FROM runs WHERE queue = q.queue AND priority = p.priority::smallint AND claim_at IS NOT NULL
    ORDER BY claim_at LIMIT 1
) AS first
"""

claim_statement = Prepared("claim", CLAIM, LOCK_SERVICE)
reject_statement = Prepared("reject", REJECT, LOCK_SERVICE)
next_claim_statement = Prepared("next_claim", NEXT_CLAIM)

FIELDS = len(ClaimedRun._fields)
ATTEMPT = ClaimedRun._fields.index("attempt")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim found. `rejected`: runs that may not start, for `reject_runs`. `alive`: False when this process
    has been given up for dead, and so has claimed nothing. `told`: its commit tells the schedulers that somebody holds
    runs. `ended`: how many ends were recorded."""

    started: list[ClaimedRun]
    rejected: list[tuple[str, datetime]]
    alive: bool
    told: bool
    ended: int


def claim_runs(
    connection: Connection,
    process_no: int,
    queues: Sequence[str],
    limit: int,
    *,
    holding: Sequence[str],
    lease: timedelta,
    ahead: int = 0,
    tell: bool = True,
    endings: Sequence[Ending] = (),
) -> Claim:
    """Start up to `limit` due runs of `queues`, the first queue first and in each those of the lowest priority, and
    note them as held by the process; and up to `ahead` more that have never been taken back from a dead worker. Before
    that, record the `endings`, none of which may be the success of a flow's task: that takes `finish_runs`.

    Takes the service lock (shared) and row locks on the process and the runs; skips queued ones that others have
    locked. `holding` are the runs that the process holds already. `tell`: notify the schedulers that somebody
    holds runs.
    """
    rows = claim_statement.tuples(
        connection,
        {
            "process_no": process_no,
            "queues": list(queues),
            "limit": limit + ahead,
            "idle": limit,
            "holding": list(holding),
            "lease": lease,
            "tell": tell,
        }
        | values_of(endings),
    )
    return claim_from(rows)


def claim_from(rows: Sequence[tuple[Any, ...]]) -> Claim:
    """What the rows of a statement of `claim_of` tell."""
    alive, told, ended, _ = rows[0][FIELDS:]
    return Claim(
        started=[ClaimedRun._make(row[:FIELDS]) for row in rows if row[ATTEMPT] is not None],
        rejected=[(row[0], row[1]) for row in rows if row[ATTEMPT] is None and row[0] is not None],
        alive=alive > 0,
        told=told > 0,
        ended=ended,
    )


def reject_runs(connection: Connection, runs: Sequence[tuple[str, datetime]], *, late: str, cancelled: str) -> None:
    """End runs that may not start: past their grace as missed, those of a paused or deleted job as cancelled."""
    run_ids, scheduled_fors = zip(*runs, strict=True)
    reject_statement.run(
        connection,
        {
            "run_ids": list(run_ids),
            "scheduled_fors": list(scheduled_fors),
            "late": late,
            "cancelled": cancelled,
        },
    )


def next_claim_in(connection: Connection, queues: Sequence[str]) -> timedelta | None:
    """How long until the next run of `queues` may be claimed; None if none waits."""
    (row,) = next_claim_statement.run(connection, {"queues": list(queues)})
    wait: timedelta | None = row.wait
    return wait
