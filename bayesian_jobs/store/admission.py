"""What only a scheduler takes up: jobs that plain SQL has made pending, and pauses whose time is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

# As texts, since plain SQL may have written what Python cannot even read. A job that was just inserted counts from then
# on; so that a made-up time of creation does not make up a history, at most a day back.
CLAIM_PENDING = text("""
SELECT job_no, job_id, handler, kwargs::text, coalesce(cron, replace(period::text, 'mon', 'month')) AS periodically,
       timezone, starts_at::text AS starts_at, replace(misfire_grace_time::text, 'mon', 'month') AS misfire_grace_time,
       version = 1 AND next_run_at IS NULL AND last_run_id IS NULL AS is_new,
       greatest(least(created_at, clock_timestamp()), clock_timestamp() - interval '1 day') AS defined_at
FROM jobs WHERE state = 'pending' AND NOT job_no = ANY(:seen) ORDER BY job_no LIMIT 1 FOR UPDATE SKIP LOCKED
""")

CLAIM_RESUMABLE = text("""
SELECT job_no, job_id FROM jobs
WHERE state = 'paused' AND paused_until IS NOT NULL AND paused_until <= clock_timestamp() AND NOT job_no = ANY(:seen)
ORDER BY paused_until LIMIT 1 FOR UPDATE SKIP LOCKED
""")

# What no part of the service could read again is brought within its limits; the error tells what it was. (Of a null,
# least and greatest make the limit.)
SET_ASIDE = text("""
UPDATE jobs SET state = 'paused', error = :error, paused_at = clock_timestamp(), paused_reason = NULL,
    paused_until = NULL, version = version + 1, updated_at = clock_timestamp(),
    created_at = least(created_at, clock_timestamp()),
    starts_at = greatest(least(starts_at, timestamptz '9000-12-31 00:00Z'), timestamptz '1970-01-01 00:00Z'),
    next_run_at = CASE WHEN next_run_at IS NOT NULL THEN
        greatest(least(next_run_at, timestamptz '9000-12-31 00:00Z'), timestamptz '1970-01-01 00:00Z') END,
    misfire_grace_time = CASE WHEN misfire_grace_time IS NOT NULL THEN
        least(misfire_grace_time, interval '99999 days') END,
    kwargs = CASE WHEN :kwargs_readable THEN kwargs ELSE '{}' END
WHERE job_no = :job_no
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingJob:
    """A pending job whose row this transaction has locked. Its definition is text, as PostgreSQL writes it.

    `is_new`: it has just been inserted and never had a fire time; it counts from `defined_at`.
    """

    job_no: int
    job_id: str
    handler: str
    kwargs: str
    periodically: str | None
    timezone: str
    starts_at: str
    misfire_grace_time: str | None
    is_new: bool
    defined_at: datetime


def claim_pending(connection: Connection, seen: Sequence[int]) -> PendingJob | None:
    """Lock the first pending job that is not among `seen` (job_nos) and that nobody else has locked."""
    row = connection.execute(CLAIM_PENDING, {"seen": list(seen)}).first()
    return PendingJob(**row._asdict()) if row else None


def claim_resumable(connection: Connection, seen: Sequence[int]) -> tuple[int, str] | None:
    """Lock the job whose pause has been over for longest, among those not `seen` and not locked by others. Returns its
    job_no and job_id."""
    row = connection.execute(CLAIM_RESUMABLE, {"seen": list(seen)}).first()
    return (row.job_no, row.job_id) if row else None


def set_aside(connection: Connection, job_no: int, error: str, *, kwargs_readable: bool = True) -> None:
    """Pause a locked job that cannot be admitted or resumed, and say why."""
    connection.execute(SET_ASIDE, {"job_no": job_no, "error": error, "kwargs_readable": kwargs_readable})
