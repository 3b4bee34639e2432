"""Runs: the history of what was executed, missed or skipped."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec, conditions, cursors, idempotency, media, pages, parameters, places
from bayesian_jobs.api.conditions import IF_MATCH
from bayesian_jobs.api.filters import AFTER_RUN, LIMIT, RUN_STATE
from bayesian_jobs.api.idempotency import IDEMPOTENCY_KEY
from bayesian_jobs.api.operation import JOBS_OPTIONS, RUNS, Body, operation
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.errors import Fault, InvalidOptions, JobNotFound, RunNotFound
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import request
from bayesian_jobs.store import jobs
from bayesian_jobs.store import runs as store
from bayesian_jobs.store.engine import Transactions

PAGE = (RUN_STATE, LIMIT, AFTER_RUN)
REQUESTING = {202: "RunRequested", 404: "Problem", 409: "Problem"}
ONCE = REQUESTING | {422: "Problem"}
RUNNING_NOW = ONCE | {412: "Problem"}
RETRYING = ONCE | {413: "Problem", 415: "Problem"}
RETRY = Body(schema={"$ref": "#/components/schemas/Retry"}, required=False)


class Runs:
    """`/runs`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, scope=Scope.READ, query=PAGE, answers={200: "RunList"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List runs of all jobs, the newest first."""
        resp.data = page(self.engine, req.context.query, job_no=None)


class JobRuns:
    """`/jobs/{job_id}/runs`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, scope=Scope.READ, query=PAGE, answers={200: "RunList", 404: "Problem"})
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

    @operation(RUNS, scope=Scope.READ, answers={200: "Run", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, run_id: str) -> None:
        """One run: fire time, attempts, worker, outcome and error."""
        with self.engine.connect() as connection:
            row = store.get_run(connection, run_id)
        if row is None:
            raise RunNotFound(run_id)
        resp.media = codec.run(row)


class RunNow:
    """`/jobs/{job_id}/run`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(JOBS_OPTIONS, scope=Scope.WRITE, headers=(IF_MATCH, IDEMPOTENCY_KEY), answers=RUNNING_NOW)
    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Run a job now, once, outside its schedule.

        A paused or finished job runs as well, and stays what it is.
        """
        media.refuse_body(req)
        condition = conditions.read(req)

        def carry_out(transactions: Transactions) -> None:
            accept(resp, request.run_now(transactions, job_id, condition))

        idempotency.once(self.engine, req, resp, {}, carry_out)


class Retry:
    """`/runs/{run_id}/retry`"""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry

    @operation(RUNS, scope=Scope.WRITE, headers=(IDEMPOTENCY_KEY,), body=RETRY, answers=RETRYING)
    def on_post(self, req: falcon.Request, resp: falcon.Response, run_id: str) -> None:
        """Try a run again that has failed, was cancelled or missed.

        It becomes a run of its own, with `kwargs` if the body names them, else with those that the job has now.
        """
        body = media.read_object(req)

        def carry_out(transactions: Transactions) -> None:
            accept(resp, request.retry(transactions, self.registry, run_id, edited_kwargs(body)))

        idempotency.once(self.engine, req, resp, body, carry_out)


class Cancel:
    """`/runs/{run_id}/cancel`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, scope=Scope.WRITE, headers=(IDEMPOTENCY_KEY,), answers=ONCE)
    def on_post(self, req: falcon.Request, resp: falcon.Response, run_id: str) -> None:
        """Cancel a run that is queued or executing.

        A queued run never starts. One that executes is interrupted; it is `running`, and holds `cancel_requested_at`,
        until its worker has told how it ended.
        """
        media.refuse_body(req)
        idempotency.once(
            self.engine, req, resp, {}, lambda transactions: accept(resp, request.cancel(transactions, run_id))
        )


def accept(resp: falcon.Response, run: Mapping[str, Any]) -> None:
    """Answer 202 with the run."""
    places.show(resp, places.of_run(run["run_id"]))
    resp.media = {"run": codec.run(run)}
    resp.status = falcon.HTTP_202


def edited_kwargs(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Raises InvalidOptions."""
    faults = [Fault(name, body[name], "is not known here (there is: kwargs)") for name in body if name != "kwargs"]
    kwargs = body.get("kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        faults.append(Fault("kwargs", kwargs, "must be an object: the handler's keyword arguments"))
    if faults:
        raise InvalidOptions(faults)
    return kwargs


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
