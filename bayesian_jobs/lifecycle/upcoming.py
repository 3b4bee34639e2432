"""What is still to come of a job: its next fire times."""

from datetime import datetime
from itertools import islice

from sqlalchemy import Engine

from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.trigger import Once, fire_times
from bayesian_jobs.errors import JobNotFound
from bayesian_jobs.lifecycle.define import Job, readable_trigger
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import database_now


def upcoming(engine: Engine, job_id: str, count: int) -> list[datetime]:
    """The job's next fire times, up to `count` of them, not before now by the database's clock; only that of a one-off
    job may have passed, for as long as it is not dispatched. A job that is not running has none.

    Raises JobNotFound, and InvalidOptions when the stored trigger cannot be read any more.
    """
    with engine.connect() as connection:
        now = database_now(connection)
        job = store.get_job(connection, job_id)
    if job is None:
        raise JobNotFound(job_id)
    return fire_times_of(job, now, count)


def fire_times_of(job: Job, now: datetime, count: int) -> list[datetime]:
    """The same of a job that was read at `now`. Raises InvalidOptions."""
    first: datetime | None = job["next_run_at"]
    if job["state"] != JobState.RUNNING or first is None:
        return []
    trigger = readable_trigger(job)
    if isinstance(trigger, Once):
        return [first]
    return list(islice(fire_times(trigger, max(first, now), inclusive=True), count))
