"""Closing what the end of a run has left open: jobs that are over, and jobs that wait for a run that has ended."""

from collections.abc import Sequence

from sqlalchemy import Connection

from bayesian_jobs.store.notifications import notify_jobs_changed
from bayesian_jobs.store.open_runs import any_is_open, last_is_open, open_runs
from bayesian_jobs.store.prepared import Prepared

# A job that is over: without a further fire time and without an open run. Or one whose due fire time waits for a run
# that has ended. The end of the run mostly sees to both; this finds what that could not see to, because others had the
# job locked, or because two ends at once each saw the other's run as open.
LEFT_OPEN = f"""
(next_run_at IS NULL AND state IN ('running', 'paused') AND last_run_id IS NOT NULL AND handler <> 'ErrorHandler'
    AND NOT {any_is_open("jobs")}
 OR waiting AND CASE WHEN open_runs IS NULL THEN NOT {last_is_open("jobs")}
                     ELSE cardinality({open_runs("jobs")}) < max_concurrent_runs END)
"""
LOCK_OVER = f"SELECT job_no FROM jobs WHERE {LEFT_OPEN} FOR UPDATE SKIP LOCKED"
# Looked at again now that they are locked: a run that was committed since the first look is seen by this one.
CLOSE = f"""
UPDATE jobs SET waiting = false,
    state = CASE WHEN waiting THEN state ELSE 'finished' END,
    updated_at = CASE WHEN waiting THEN updated_at ELSE clock_timestamp() END
WHERE job_no = ANY(%(job_nos)s::bigint[]) AND {LEFT_OPEN}
RETURNING next_run_at IS NOT NULL AS is_due
"""
LET_GO_ON = """
UPDATE jobs SET waiting = false
WHERE job_no IN (SELECT job_no FROM jobs WHERE job_no = ANY(%(job_nos)s::bigint[]) AND waiting FOR UPDATE SKIP LOCKED)
RETURNING job_no
"""

lock_over_statement = Prepared("lock_over", LOCK_OVER)
close_statement = Prepared("close", CLOSE)
let_go_on_statement = Prepared("let_go_on", LET_GO_ON)


def close_left_open(connection: Connection) -> bool:
    """Finish the jobs that have no further fire time and no open run, and let those go on whose due fire time waits for
    a run that has ended. Passes by those that others have locked. True: some job is due now."""
    found = [row.job_no for row in lock_over_statement.run(connection, {})]
    return bool(found) and any(row.is_due for row in close_statement.run(connection, {"job_nos": found}))


def let_go_on(connection: Connection, job_nos: Sequence[int]) -> None:
    """A run of each of these jobs has ended: those that wait for that, and that nobody has locked, are due again."""
    if job_nos and let_go_on_statement.run(connection, {"job_nos": list(job_nos)}):
        notify_jobs_changed(connection)
