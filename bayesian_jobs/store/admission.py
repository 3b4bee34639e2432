"""What only a scheduler takes up: jobs that plain SQL has made pending, and pauses whose time is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text


def duration(column: str) -> str:
    """SQL: an interval as text, its months by their name."""
    return f"replace({column}::text, 'mon', 'month')"


def within(column: str, *limits: str) -> str:
    """SQL: null, or the value, but not beyond the limits. (Of a null, `least` and `greatest` would make the limit.)"""
    highest, *lowest = limits
    bounded = f"least({column}, {highest})"
    return f"CASE WHEN {column} IS NOT NULL THEN {f'greatest({bounded}, {lowest[0]})' if lowest else bounded} END"


LATEST, EARLIEST = "timestamptz '9000-12-31 00:00Z'", "timestamptz '1970-01-01 00:00Z'"
LONGEST = "interval '99999 days'"

# As the options that people write, since plain SQL may have written what Python cannot even read. A job that was just
# inserted counts from then on; so that a made-up time of creation does not make up a history, at most a day back.
CLAIM_PENDING = text(f"""
SELECT job_no, version = 1 AND next_run_at IS NULL AND last_run_id IS NULL AS is_new,
    greatest(least(created_at, clock_timestamp()), clock_timestamp() - interval '1 day') AS defined_at,
    job_id, handler, kwargs::text AS kwargs, coalesce(cron, {duration("period")}) AS periodically,
    starts_at::text AS when, ends_at::text AS end, timezone, {duration("jitter")} AS jitter,
    {duration("misfire_grace_time")} AS misfire_grace_time, catch_up, max_concurrent_runs, overlap,
    nullif(queue, 'default') AS queue, priority, max_retries, {duration("retry_delay")} AS retry_delay,
    {duration("time_limit")} AS time_limit, description, tags
FROM jobs WHERE state = 'pending' AND NOT job_no = ANY(:seen) ORDER BY job_no LIMIT 1 FOR UPDATE SKIP LOCKED
""")

CLAIM_RESUMABLE = text("""
SELECT job_no, job_id FROM jobs
WHERE state = 'paused' AND paused_until IS NOT NULL AND paused_until <= clock_timestamp() AND NOT job_no = ANY(:seen)
ORDER BY paused_until LIMIT 1 FOR UPDATE SKIP LOCKED
""")

# What no part of the service could read again is brought within its limits; the error tells what it was.
SET_ASIDE = text(f"""
UPDATE jobs SET state = 'paused', error = :error, paused_at = clock_timestamp(), paused_reason = NULL,
    paused_until = NULL, version = version + 1, updated_at = clock_timestamp(),
    created_at = least(created_at, clock_timestamp()),
    starts_at = {within("starts_at", LATEST, EARLIEST)},
    ends_at = {within("ends_at", LATEST, EARLIEST)},
    next_run_at = {within("next_run_at", LATEST, EARLIEST)},
    jitter = {within("jitter", LONGEST)},
    misfire_grace_time = {within("misfire_grace_time", LONGEST)},
    retry_delay = {within("retry_delay", LONGEST)},
    time_limit = {within("time_limit", LONGEST)},
    kwargs = CASE WHEN :kwargs_readable THEN kwargs ELSE '{{}}' END
WHERE job_no = :job_no
""")


@dataclass(frozen=True, slots=True)
class PendingJob:
    """A pending job whose row this transaction has locked.

    `is_new`: it has just been inserted and never had a fire time; it counts from `defined_at`. `options` are those of
    the job, as people write them, times and durations and the JSON of the kwargs as texts.
    """

    job_no: int
    is_new: bool
    defined_at: datetime
    options: Mapping[str, Any]


def claim_pending(connection: Connection, seen: Sequence[int]) -> PendingJob | None:
    """Lock the first pending job that is not among `seen` (job_nos) and that nobody else has locked."""
    row = connection.execute(CLAIM_PENDING, {"seen": list(seen)}).first()
    if row is None:
        return None
    job_no, is_new, defined_at, *_ = row
    options = {name: value for name, value in row._mapping.items() if name not in PendingJob.__slots__}
    return PendingJob(job_no, is_new, defined_at, options)


def claim_resumable(connection: Connection, seen: Sequence[int]) -> tuple[int, str] | None:
    """Lock the job whose pause has been over for longest, among those not `seen` and not locked by others. Returns its
    job_no and job_id."""
    row = connection.execute(CLAIM_RESUMABLE, {"seen": list(seen)}).first()
    return (row.job_no, row.job_id) if row else None


def set_aside(connection: Connection, job_no: int, error: str, *, kwargs_readable: bool = True) -> None:
    """Pause a locked job that cannot be admitted or resumed, and say why."""
    connection.execute(SET_ASIDE, {"job_no": job_no, "error": error, "kwargs_readable": kwargs_readable})
