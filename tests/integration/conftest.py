"""A service without its processes: tests call the tick, the claim and the report themselves."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry, discover
from bayesian_jobs.lifecycle import define
from bayesian_jobs.lifecycle.dispatch import dispatch_batch
from bayesian_jobs.store import endings, processes
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.claims import Claim, claim_runs, reject_runs
from bayesian_jobs.store.engine import database_now, make_engine
from bayesian_jobs.store.jobs import get_job
from bayesian_jobs.store.runs import list_runs

LEASE = timedelta(seconds=30)


class Noop(BaseHandler):
    """Does nothing."""

    def execute(self, number: int = 0) -> None: ...


class OtherQueue(BaseHandler):
    """Does nothing, elsewhere."""

    queue = "other"

    def execute(self, number: int = 0) -> None: ...


class Service:
    """What a test does to the service, and what it sees of it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.registry = Registry([*(discover(()).get(name) for name in discover(())), Noop, OtherQueue])

    def now(self) -> datetime:
        with self.engine.connect() as connection:
            return database_now(connection)

    def add(self, job_id: str = "job", handler: str = "Noop", **options: Any) -> Any:
        return define.create(self.engine, self.registry, {"job_id": job_id, "handler": handler, **options})

    def job(self, job_id: str = "job") -> Any:
        with self.engine.connect() as connection:
            return get_job(connection, job_id)

    def runs(self) -> list[Any]:
        """The ledger, oldest fire time first."""
        with self.engine.connect() as connection:
            return list_runs(connection, limit=100_000)[::-1]

    def states(self) -> list[str]:
        return [run["state"] for run in self.runs()]

    def dispatch(self, now: datetime | None = None, limit: int = 500) -> Any:
        with self.engine.connect() as connection:
            return dispatch_batch(connection, limit, now)

    def process(self, kind: str = "worker", lease: timedelta = LEASE) -> int:
        with self.engine.begin() as connection:
            return processes.register(connection, kind, lease)

    def claim(self, process_no: int | None = None, limit: int = 10, queues: tuple[str, ...] = ("default",)) -> Claim:
        process_no = process_no or self.process()
        with self.engine.begin() as connection:
            return claim_runs(connection, process_no, queues, limit, holding=[], lease=LEASE)

    def claim_one(self, process_no: int | None = None) -> ClaimedRun:
        (run,) = self.claim(process_no).started
        return run

    def reject(self, claim: Claim) -> None:
        with self.engine.begin() as connection:
            reject_runs(connection, claim.rejected, late="late", cancelled="cancelled")

    def finish(self, run: ClaimedRun, state: str = "succeeded", reason: str | None = None) -> bool:
        with self.engine.begin() as connection:
            return run.run_id in endings.finish_runs(connection, [endings.Ending(run, state, reason)])

    def requeue(self, run: ClaimedRun, **how: Any) -> bool:
        with self.engine.begin() as connection:
            returned = endings.Return(run.run_id, run.scheduled_for, run.attempt, "again", **how)
            return run.run_id in endings.requeue_runs(connection, [returned])

    def execute_sql(self, statement: str, **values: Any) -> Any:
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return result.all() if result.returns_rows else None

    def make_due(self, job_id: str = "job", ago: timedelta = timedelta(0)) -> None:
        """Let the job's accounting begin `ago` before now, as after a downtime of that length."""
        self.execute_sql(
            "UPDATE jobs SET next_run_at = clock_timestamp() - :ago, starts_at = clock_timestamp() - :ago"
            " WHERE job_id = :job_id",
            job_id=job_id,
            ago=ago,
        )


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    engine = make_engine(database_url, "test", pool_size=10, hot=True)
    yield Service(engine)
    engine.dispose()
