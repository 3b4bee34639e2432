"""Jobs: adding, listing, reading, changing and removing them."""

from collections.abc import Mapping
from typing import Any

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec, conditions, cursors, idempotency, media, pages, parameters
from bayesian_jobs.api.conditions import IF_MATCH, IF_NONE_MATCH
from bayesian_jobs.api.idempotency import IDEMPOTENCY_KEY
from bayesian_jobs.api.operation import ADD_JOBS, JOBS_OPTIONS, Body, operation
from bayesian_jobs.api.parameters import (
    AFTER_JOB,
    AT,
    CHANGED_STATE,
    COUNT,
    JOB_OPTIONS,
    JOB_TYPE,
    LIMIT,
    OF_HANDLER,
    OF_STATE,
    REASON,
    TAG,
    TEXT,
    UNTIL,
)
from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.errors import Fault, InvalidOptions, JobNotFound
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.explain import explain
from bayesian_jobs.lifecycle.upcoming import upcoming
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import Transactions

LISTING = (JOB_TYPE, OF_STATE, OF_HANDLER, TEXT, TAG, LIMIT, AFTER_JOB)
ADDING = {201: "JobAdded", 409: "Problem", 413: "Problem", 415: "Problem", 422: "Problem"}
PUT_QUERY, PUT_HEADERS = (CHANGED_STATE, REASON, UNTIL), (IF_MATCH, IF_NONE_MATCH)
PUTTING = {200: "JobChanged", 201: "JobAdded", 404: "Problem", 412: "Problem", 413: "Problem", 415: "Problem"}
CHANGING = {200: "JobAdded", 404: "Problem", 412: "Problem", 413: "Problem", 415: "Problem"}
REMOVING = {200: "Removed", 404: "Problem", 412: "Problem"}
NEW_JOB = Body(schema={"$ref": "#/components/schemas/NewJob"})
DEFINITION = Body(schema={"$ref": "#/components/schemas/JobDefinition"}, required=False)
CHANGES = Body(schema={"$ref": "#/components/schemas/JobChanges"}, example={"periodically": "1 day"})


class Jobs:
    """`/jobs`"""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry

    @operation(JOBS_OPTIONS, query=LISTING, answers={200: "JobList"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List jobs.

        Ordered by job_id; `next` is the cursor of the following page, null on the last one. A page ends early where
        it would hold more than about 4 MB.
        """
        values = req.context.query
        limit = parameters.whole_number(values, LIMIT)
        start = cursors.read_job_cursor(values["after"]) if "after" in values else None
        job_type = parameters.chosen(values, JOB_TYPE) or "all"
        state = parameters.chosen(values, OF_STATE)

        def read(count: int, after: str | None) -> list[Mapping[str, Any]]:
            with self.engine.connect() as connection:
                return store.list_jobs(
                    connection,
                    job_type=job_type,
                    state=state,
                    handler=values.get("handler"),
                    text=values.get("text"),
                    tag=values.get("tag"),
                    limit=count,
                    after=after,
                )

        found = pages.rows(read, _position, start, limit + 1)
        resp.data = pages.encode("jobs", found, limit, codec.job, lambda row: cursors.job_cursor(_position(row)))

    @operation(ADD_JOBS, headers=(IDEMPOTENCY_KEY,), body=NEW_JOB, answers=ADDING)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add a job of any handler."""
        add(self.engine, self.registry, req, resp, media.read_object(req))


class Job:
    """`/jobs/{job_id}`; and `POST /jobs/<handler in kebab case>`, which shares the shape of the path."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry

    @operation(JOBS_OPTIONS, answers={200: "Job", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """One job, with its next run and the outcome of its last one."""
        with self.engine.connect() as connection:
            row = store.get_job(connection, job_id)
        if row is None:
            raise JobNotFound(job_id)
        conditions.show(resp, row)
        resp.media = codec.job(row)

    @operation(JOBS_OPTIONS, query=PUT_QUERY, headers=PUT_HEADERS, body=DEFINITION, answers=PUTTING)
    def on_put(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Pause or resume a job, or create or replace it.

        With `state` in the query and no body, the job's state changes; a pause may have a `reason` and last `until` a
        time, after which the job runs on without firing by surprise. With a body, the job becomes what that says; it
        is created if there is none (201). The same request again changes nothing: without `when` and `state`, a job
        keeps its own.
        """
        condition = conditions.read(req)
        if req.context.query:
            media.refuse_body(req)
            job = define.change_state(
                self.engine, job_id, **parameters.state_change(req.context.query), condition=condition
            )
            resp.media = {"job_id": job["job_id"], "state": job["state"]}
        else:
            options = media.read_object(req)
            if not options:
                raise InvalidOptions([Fault("state", None, "is required in the query, or else options as the body")])
            job, created = edit.put(self.engine, self.registry, job_id, options, condition)
            resp.media = {"job": codec.job(job)}
            resp.status = falcon.HTTP_201 if created else falcon.HTTP_200
        conditions.show(resp, job)

    @operation(JOBS_OPTIONS, headers=(IF_MATCH,), body=CHANGES, answers=CHANGING)
    def on_patch(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Change some options of a job.

        Null stands for an option's default; what is not named stays. If the trigger changes, the next fire
        time lies in the future.
        """
        changes = media.read_object(req, required=True)
        job = edit.patch(self.engine, self.registry, job_id, changes, conditions.read(req))
        conditions.show(resp, job)
        resp.media = {"job": codec.job(job)}

    @operation(JOBS_OPTIONS, headers=(IF_MATCH,), answers=REMOVING)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Remove a job; its queued runs are cancelled."""
        resp.media = {"removed": define.delete(self.engine, job_id, conditions.read(req))}

    @operation(ADD_JOBS, query=JOB_OPTIONS, headers=(IDEMPOTENCY_KEY,), answers=ADDING)
    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Add a job of the handler that the path names."""
        handler = self.registry.by_endpoint(job_id)
        options = {**req.context.query, "handler": handler.__name__, "kwargs": media.read_object(req)}
        add(self.engine, self.registry, req, resp, options)


class Upcoming:
    """`/jobs/{job_id}/upcoming`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(JOBS_OPTIONS, query=(COUNT,), answers={200: "Upcoming", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """The next fire times of a job.

        A job that is not running has none.
        """
        times = upcoming(self.engine, job_id, parameters.whole_number(req.context.query, COUNT))
        resp.media = {"upcoming": [format_datetime(each) for each in times]}


class Explain:
    """`/jobs/{job_id}/explain`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(JOBS_OPTIONS, query=(AT,), answers={200: "Explanation", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Why a job did or did not run at a time, or whether it will.

        `explanation` says it in words and `verdict` in one; `fire_time` is that time if it is one, `previous` and
        `next` are those around it, and `run` is what the ledger holds of it.
        """
        resp.media = codec.explanation(explain(self.engine, job_id, req.context.query.get("at")))


class FailedJobs:
    """`/jobs/clean-failed`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(JOBS_OPTIONS, answers={200: "Removed"})
    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Remove all failure entries."""
        resp.media = {"removed": define.clean_failed(self.engine)}


def add(
    engine: Engine, registry: Registry, req: falcon.Request, resp: falcon.Response, options: dict[str, Any]
) -> None:
    """Answer 201 with the job that `options` make."""

    def carry_out(transactions: Transactions) -> None:
        job = define.create(transactions, registry, options)
        conditions.show(resp, job)
        resp.media = {"job": codec.job(job)}
        resp.status = falcon.HTTP_201

    idempotency.once(engine, req, resp, options, carry_out)


def _position(row: Mapping[str, Any]) -> str:
    job_id: str = row["job_id"]
    return job_id
