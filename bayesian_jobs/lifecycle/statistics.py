"""How the service is doing: what waits now, and what became of the runs of late."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from bayesian_jobs.store import doctor as store
from bayesian_jobs.store.statistics import STRETCHES, Statistics, statistics


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is due and has not started: jobs that have no run for it yet, and runs that no worker has taken (of each
    MOST_COUNTED + 1 stand for more); and since when the first of either has been so."""

    due_jobs: int
    waiting_runs: int
    since: datetime | None


def observe(engine: Engine, last: str) -> tuple[Backlog, Statistics]:
    """Of the `last` one of STRETCHES, and of now, by one snapshot of the database. Gives up after seconds.

    Raises DBAPIError.
    """
    with store.snapshot(engine) as connection:
        store.be_brief(connection)
        due = store.find(connection, store.DUE_JOBS)
        waiting = [store.waiting(connection, queue) for queue in store.queues_with_queued_runs(connection)]
        oldest = [found.oldest for found in (due, *waiting) if found.oldest is not None]
        backlog = Backlog(due.count, sum(found.count for found in waiting), min(oldest, default=None))
        return backlog, statistics(connection, STRETCHES[last])
