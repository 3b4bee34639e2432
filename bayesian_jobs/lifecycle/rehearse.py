"""What a change of a job would come to, without making it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from bayesian_jobs.domain.described import Described
from bayesian_jobs.lifecycle.define import Job
from bayesian_jobs.lifecycle.upcoming import fire_times_of
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import Transactions, Within, database_now

TOLD = 10
"""How many of the next fire times are told."""


Queued = dict[tuple[str, datetime], int]


class Effect(Described):
    """What a change would make of a queued run."""

    CANCELLED = "cancelled", "it would never start"
    CHANGED = "changed", "it would start with the new definition"


@dataclass(frozen=True, slots=True)
class Affected:
    """A queued run, and what the change would make of it."""

    run_id: str
    scheduled_for: datetime
    becomes: Effect


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The job as it is (None: there is none) and as it would be, the next fire times of both, and the queued runs that
    would not stay as they are."""

    before: Job | None
    after: Job
    upcoming_before: list[datetime]
    upcoming_after: list[datetime]
    affected: list[Affected]


def rehearse(engine: Engine, job_id: str | None, change: Callable[[Transactions], Job]) -> Rehearsal:
    """Let `change` do its work in a transaction that is rolled back: what decides is the same as for a real change,
    nothing of it stays, and nobody is notified. `job_id`: that of the job that it changes, which stays locked as long.

    Raises what `change` raises.
    """
    with engine.connect() as connection:
        before, queued = None, Queued()
        if job_id is not None and (job := store.lock_job(connection, job_id)) is not None:
            before = store.get_job(connection, job_id)
            queued = queued_runs(connection, job)
        after = change(Within(connection))
        affected = affected_of(queued, queued_runs(connection, after))
        now = database_now(connection)
        connection.rollback()
    return Rehearsal(
        before=before,
        after=after,
        upcoming_before=[] if before is None else fire_times_of(before, now, TOLD),
        upcoming_after=fire_times_of(after, now, TOLD),
        affected=affected,
    )


def queued_runs(connection: Connection, job: Job) -> Queued:
    """The version of the definition that each would start with, by run_id and fire time."""
    found = store.queued_runs(connection, job["job_no"])
    return {(run["run_id"], run["scheduled_for"]): run["job_version"] for run in found}


def affected_of(before: Queued, after: Queued) -> list[Affected]:
    effects = {run: Effect.CHANGED if run in after else Effect.CANCELLED for run in before}
    return [Affected(*run, effect) for run, effect in effects.items() if before[run] != after.get(run)]
