"""Runs: the history of what was executed, missed or skipped."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec, cursors, pages, parameters
from bayesian_jobs.api.operation import RUNS, operation
from bayesian_jobs.api.parameters import AFTER, LIMIT, RUN_STATE
from bayesian_jobs.errors import JobNotFound, RunNotFound
from bayesian_jobs.store import jobs
from bayesian_jobs.store import runs as store

PAGE = (RUN_STATE, LIMIT, AFTER)


class Runs:
    """`/runs`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, query=PAGE, answers={200: "RunList"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List runs of all jobs, the newest first."""
        resp.data = page(self.engine, req.context.query, job_no=None)


class JobRuns:
    """`/jobs/{job_id}/runs`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, query=PAGE, answers={200: "RunList", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """List the runs of one job, the newest first."""
        with self.engine.connect() as connection:
            job = jobs.get_job(connection, job_id)
        if job is None:
            raise JobNotFound(job_id)
        resp.data = page(self.engine, req.context.query, job_no=job["job_no"])


class Run:
    """`/runs/{run_id}`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, answers={200: "Run", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, run_id: str) -> None:
        """One run: fire time, attempts, worker, outcome and error."""
        with self.engine.connect() as connection:
            row = store.get_run(connection, run_id)
        if row is None:
            raise RunNotFound(run_id)
        resp.media = codec.run(row)


def page(engine: Engine, values: Mapping[str, str], job_no: int | None) -> bytes:
    """One page of runs as the query asks for it. Raises InvalidOptions."""
    limit = parameters.whole_number(values, LIMIT)
    state = parameters.chosen(values, RUN_STATE)
    start = cursors.read_run_cursor(values["after"]) if "after" in values else None

    def read(count: int, after: tuple[datetime, str] | None) -> list[Mapping[str, Any]]:
        with engine.connect() as connection:
            return store.list_runs(connection, job_no=job_no, state=state, limit=count, after=after)

    found = pages.rows(read, _position, start, limit + 1)
    return pages.encode("runs", found, limit, codec.run, lambda row: cursors.run_cursor(*_position(row)))


def _position(row: Mapping[str, Any]) -> tuple[datetime, str]:
    return row["scheduled_for"], str(row["run_id"])
