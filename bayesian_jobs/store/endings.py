"""Recording how attempts ended: with an outcome, or back in the queue. Fenced by the attempt: a report that comes after
another attempt has taken over changes nothing.

Locks are taken in the order jobs, then runs; whoever has locked a run first waits for no job. Those of flows come last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bayesian_jobs.domain import reasons
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.closing import let_go_on
from bayesian_jobs.store.flows import go_on
from bayesian_jobs.store.notifications import JOBS_CHANGED
from bayesian_jobs.store.prepared import Prepared

# Whoever has locked the job meanwhile is not waited for: `close_left_open` sees to what is left open here. A failure
# entry stays paused, should somebody run it.
RECORD_END = f"""
failure_entry AS (
    INSERT INTO jobs (job_id, handler, state, kwargs)
    SELECT bayesian_jobs_uuid7()::text, 'ErrorHandler', 'paused', jsonb_build_object(
        'exc_str', reason, 'exc_traceback', traceback, 'failed_job_id', job_id, 'failed_job_handler', actor,
        'failed_handler_kwargs', kwargs, 'run_id', run_id)
    FROM ended WHERE state = 'failed'
),
over AS MATERIALIZED (
    SELECT jobs.job_no, jobs.waiting, jobs.open_runs FROM jobs JOIN ended USING (job_no)
    WHERE jobs.waiting OR (jobs.next_run_at IS NULL AND jobs.state IN ('running', 'paused')
        AND jobs.handler <> 'ErrorHandler')
    FOR UPDATE OF jobs SKIP LOCKED
),
-- Each known run must be seen to have ended: one that this statement's snapshot does not show yet is open.
done AS MATERIALIZED (
    SELECT over.job_no FROM over WHERE NOT over.waiting AND NOT EXISTS (
        SELECT FROM unnest(over.open_runs) AS known(at) WHERE NOT EXISTS (
            SELECT FROM runs WHERE runs.job_no = over.job_no AND runs.scheduled_for = known.at
              AND (runs.state NOT IN ('queued', 'running') OR runs.run_id IN (SELECT run_id FROM ended))))
),
closed AS (
    UPDATE jobs SET state = 'finished', updated_at = clock_timestamp() FROM done WHERE jobs.job_no = done.job_no
),
gone_on AS (
    UPDATE jobs SET waiting = false FROM over WHERE jobs.job_no = over.job_no AND over.waiting
),
woken AS MATERIALIZED (
    SELECT pg_notify('{JOBS_CHANGED}', '') FROM over WHERE waiting LIMIT 1
)"""
RECORDED = "SELECT run_id::text, (SELECT count(*) FROM woken) AS woken FROM ended"
"""`woken` is there so that it is carried out."""

CANCELLED = "o.state = 'failed' AND r.cancel_requested_at IS NOT NULL"
# Whether somebody has asked for a run to be cancelled is decided by its row as it is when it is locked: a request that
# comes while the end is being recorded waits for it, or is obeyed by it. One that has succeeded all the same, has.
ENDED = f"""
outcome AS MATERIALIZED (
    SELECT * FROM unnest(%(run_ids)s::uuid[], %(scheduled_fors)s::timestamptz[], %(attempts)s::int[],
                         %(states)s::text[], %(reasons)s::text[], %(tracebacks)s::text[], %(kwargs)s::text[])
        AS u(run_id, scheduled_for, attempt, state, reason, traceback, kwargs)
),
ended AS (
    UPDATE runs AS r SET state = CASE WHEN {CANCELLED} THEN 'cancelled' ELSE o.state END,
        finished_at = clock_timestamp(), reason = CASE WHEN {CANCELLED} THEN %(cancelled)s::text ELSE o.reason END,
        traceback = o.traceback, failures = r.failures + (o.state = 'failed' AND NOT ({CANCELLED}))::int
    FROM outcome AS o
    WHERE r.run_id = o.run_id AND r.scheduled_for = o.scheduled_for AND r.attempt = o.attempt AND r.state = 'running'
    RETURNING r.run_id, r.job_no, r.job_id, r.actor, r.state, r.reason, r.traceback,
              CASE r.state WHEN 'failed' THEN coalesce(r.message -> 'kwargs', o.kwargs::jsonb) END AS kwargs
),
{RECORD_END}"""
FINISH = f"WITH {ENDED} {RECORDED}"

FAIL_LOST = f"""
WITH lost AS MATERIALIZED (
    SELECT r.run_id, r.scheduled_for, r.attempt, coalesce(r.kwargs, j.kwargs, r.message -> 'kwargs') AS kwargs
    FROM unnest(%(run_ids)s::uuid[], %(scheduled_fors)s::timestamptz[], %(attempts)s::int[])
        AS u(run_id, scheduled_for, attempt)
    JOIN runs AS r USING (run_id, scheduled_for, attempt) LEFT JOIN jobs AS j ON j.job_no = r.job_no
),
ended AS (
    UPDATE runs AS r SET finished_at = clock_timestamp(),
        state = CASE WHEN r.cancel_requested_at IS NULL THEN 'failed' ELSE 'cancelled' END,
        reason = CASE WHEN r.cancel_requested_at IS NULL THEN %(reason)s::text ELSE %(cancelled)s::text END
    FROM lost AS o
    WHERE r.run_id = o.run_id AND r.scheduled_for = o.scheduled_for AND r.attempt = o.attempt AND r.state = 'running'
    RETURNING r.run_id, r.job_no, r.job_id, r.actor, r.state, r.reason, r.traceback, o.kwargs
),
{RECORD_END}
{RECORDED}"""

# A run that goes back to the queue takes its job's present version, handler and queue along, under a lock that an edit
# of the job waits for (or that waits for the edit); otherwise the old handler could come back for the new kwargs.
# One that is to be cancelled ends here instead.
REQUEUE = """
WITH back AS MATERIALIZED (
    SELECT * FROM unnest(%(run_ids)s::uuid[], %(scheduled_fors)s::timestamptz[], %(attempts)s::int[],
                         %(delays)s::interval[], %(reasons)s::text[], %(tracebacks)s::text[],
                         %(failures)s::int[], %(recoveries)s::int[],
                         %(begun)s::bool[])
        AS u(run_id, scheduled_for, attempt, delay, reason, traceback, failures, recoveries, begun)
),
locked AS MATERIALIZED (
    SELECT job_no, version, handler, queue, priority FROM jobs
    WHERE job_no = ANY(ARRAY(SELECT r.job_no FROM runs AS r JOIN back USING (run_id, scheduled_for)))
    ORDER BY job_no FOR SHARE
),
held AS MATERIALIZED (
    SELECT r.run_id, r.scheduled_for, j.* FROM back JOIN runs AS r USING (run_id, scheduled_for)
    LEFT JOIN locked AS j ON j.job_no = r.job_no
)
UPDATE runs AS r
SET state = CASE WHEN r.cancel_requested_at IS NULL THEN 'queued' ELSE 'cancelled' END,
    claim_at = CASE WHEN r.cancel_requested_at IS NULL THEN clock_timestamp() + b.delay END,
    finished_at = CASE WHEN r.cancel_requested_at IS NOT NULL THEN clock_timestamp() END,
    reason = CASE WHEN r.cancel_requested_at IS NULL THEN b.reason ELSE %(cancelled)s::text END,
    traceback = b.traceback, begun = r.begun OR b.begun,
    failures = r.failures + b.failures, recoveries = r.recoveries + b.recoveries,
    job_version = j.version, actor = coalesce(j.handler, r.actor), queue = coalesce(j.queue, r.queue),
    priority = coalesce(j.priority, r.priority), kwargs = CASE WHEN j.handler <> r.actor THEN NULL ELSE r.kwargs END
FROM back AS b JOIN held AS j USING (run_id, scheduled_for)
WHERE r.run_id = b.run_id AND r.scheduled_for = b.scheduled_for AND r.attempt = b.attempt AND r.state = 'running'
RETURNING r.run_id::text, r.queue, CASE r.state WHEN 'cancelled' THEN r.job_no END AS over_of
"""

finish_statement = Prepared("finish", FINISH)
fail_lost_statement = Prepared("fail_lost", FAIL_LOST)
requeue_statement = Prepared("requeue", REQUEUE)


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of one run: its terminal state, why, and the traceback of a failure."""

    run: ClaimedRun
    state: str
    reason: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """One run that goes back to the queue, to be claimed again after `delay`; `failed` and `lost` are counted, and one
    whose attempt has not `begun` is judged by its grace again."""

    run_id: str
    scheduled_for: datetime
    attempt: int
    reason: str
    delay: timedelta = timedelta(0)
    traceback: str | None = None
    failed: bool = False
    lost: bool = False
    begun: bool = True


def finish_runs(connection: Connection, endings: Sequence[Ending]) -> set[str]:
    """Record the ends, a failure entry for each failed run, and what the success of a flow's task starts; one that has
    failed after somebody had asked to cancel it is cancelled. Returns the run ids it was recorded for: a run whose
    attempt is over already (taken back) is not among them, and nothing of it changes."""
    ended = finish_statement.run(connection, values_of(endings))
    recorded = {row.run_id for row in ended}
    go_on(connection, [each.run for each in endings if each.state == "succeeded" and each.run.run_id in recorded])
    return recorded


def values_of(endings: Sequence[Ending]) -> dict[str, Any]:
    """What ENDED is given."""
    return {
        "run_ids": [each.run.run_id for each in endings],
        "scheduled_fors": [each.run.scheduled_for for each in endings],
        "attempts": [each.run.attempt for each in endings],
        "states": [each.state for each in endings],
        "reasons": [each.reason for each in endings],
        "tracebacks": [each.traceback for each in endings],
        "kwargs": [each.run.kwargs_json if each.state == "failed" else None for each in endings],
        "cancelled": reasons.CANCELLED_REQUESTED,
    }


def fail_lost_runs(connection: Connection, runs: Sequence[tuple[str, datetime, int]], reason: str) -> None:
    """Record that running runs of a dead process, (run_id, scheduled_for, attempt), have failed, each with its
    failure entry; those that somebody has asked to cancel are cancelled."""
    run_ids, scheduled_fors, attempts = zip(*runs, strict=True)
    values = {
        "run_ids": list(run_ids),
        "scheduled_fors": list(scheduled_fors),
        "attempts": list(attempts),
        "reason": reason,
        "cancelled": reasons.CANCELLED_REQUESTED,
    }
    fail_lost_statement.run(connection, values)


def requeue_runs(connection: Connection, returns: Sequence[Return]) -> dict[str, str]:
    """Put running runs back into their queues, fenced by their attempt; those that somebody has asked to cancel end,
    and the jobs that wait for that go on. Returns run id → queue of all that were still in that attempt."""
    rows = requeue_statement.run(
        connection,
        {
            "run_ids": [each.run_id for each in returns],
            "scheduled_fors": [each.scheduled_for for each in returns],
            "attempts": [each.attempt for each in returns],
            "delays": [each.delay for each in returns],
            "reasons": [each.reason for each in returns],
            "tracebacks": [each.traceback for each in returns],
            "failures": [int(each.failed) for each in returns],
            "recoveries": [int(each.lost) for each in returns],
            "begun": [each.begun for each in returns],
            "cancelled": reasons.CANCELLED_REQUESTED,
        },
    )
    let_go_on(connection, [row.over_of for row in rows if row.over_of is not None])
    return {row.run_id: row.queue for row in rows}
