"""What a change of a job would come to, without making it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from bayesian_jobs.lifecycle.define import Job
from bayesian_jobs.lifecycle.upcoming import fire_times_of
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import Transactions, Within, database_now

TOLD = 10
"""How many of the next fire times are told."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The job as it is (None: there is none) and as it would be, and the next fire times of both."""

    before: Job | None
    after: Job
    upcoming_before: list[datetime]
    upcoming_after: list[datetime]


def rehearse(engine: Engine, job_id: str | None, change: Callable[[Transactions], Job]) -> Rehearsal:
    """Let `change` do its work in a transaction that is rolled back: what decides is the same as for a real change,
    nothing of it stays, and nobody is notified. `job_id`: that of the job that it changes, which stays locked as long.

    Raises what `change` raises.
    """
    with engine.connect() as connection:
        before = None
        if job_id is not None and store.lock_job(connection, job_id) is not None:
            before = store.get_job(connection, job_id)
        after = change(Within(connection))
        now = database_now(connection)
        connection.rollback()
    return Rehearsal(
        before=before,
        after=after,
        upcoming_before=[] if before is None else fire_times_of(before, now, TOLD),
        upcoming_after=fire_times_of(after, now, TOLD),
    )
