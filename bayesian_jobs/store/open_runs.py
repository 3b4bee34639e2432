"""Which runs of a job are open, queued or executing, without a walk through its history.

A job that has one run at a time knows its last one. A job that may have more keeps the fire times of those that were
open when the last one was made, in `jobs.open_runs`; at most so many as it may have.
"""

OPEN = "('queued', 'running')"


def open_runs(job: str) -> str:
    """SQL: the fire times of the open runs of the row `job` of `jobs`, as an array."""
    return f"""ARRAY(
        SELECT DISTINCT known.at FROM unnest({job}.open_runs || {job}.last_scheduled_for) AS known(at)
        CROSS JOIN LATERAL (
            SELECT FROM runs WHERE runs.job_no = {job}.job_no AND runs.scheduled_for = known.at AND runs.state IN {OPEN}
        ) AS open
    )"""


def last_is_open(job: str) -> str:
    """SQL: whether the last run of the row `job` of `jobs` is open."""
    return f"""coalesce((
        SELECT runs.state IN {OPEN} FROM runs
        WHERE runs.run_id = {job}.last_run_id AND runs.scheduled_for = {job}.last_scheduled_for
    ), false)"""


def any_is_open(job: str) -> str:
    """SQL: whether any run of the row `job` of `jobs` is open."""
    return f"""CASE WHEN {job}.open_runs IS NULL THEN {last_is_open(job)} ELSE {open_runs(job)} <> '{{}}' END"""
