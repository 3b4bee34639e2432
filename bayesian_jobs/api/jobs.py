"""Jobs: adding, listing, reading, changing and removing them."""

from collections.abc import Callable, Mapping
from typing import Any

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec, conditions, cursors, dry_run, idempotency, media, pages, parameters, places
from bayesian_jobs.api.audit import signed
from bayesian_jobs.api.conditions import IF_MATCH, IF_NONE_MATCH
from bayesian_jobs.api.dry_run import DRY_RUN
from bayesian_jobs.api.filters import AFTER_JOB, AT, COUNT, JOB_TYPE, LIMIT, OF_HANDLER, OF_STATE, TAG, TEXT
from bayesian_jobs.api.idempotency import IDEMPOTENCY_KEY
from bayesian_jobs.api.job_options import CHANGED_STATE, JOB_OPTIONS, REASON, UNTIL
from bayesian_jobs.api.operation import ADD_JOBS, JOBS_OPTIONS, Body, operation
from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.errors import Fault, InvalidOptions, JobNotFound
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.explain import explain
from bayesian_jobs.lifecycle.upcoming import upcoming
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import Transactions

LISTING = (JOB_TYPE, OF_STATE, OF_HANDLER, TEXT, TAG, LIMIT, AFTER_JOB)
ADDING = {200: "DryRun", 201: "JobAdded", 409: "Problem", 413: "Problem", 415: "Problem", 422: "Problem"}
PUT_QUERY, PUT_HEADERS = (CHANGED_STATE, REASON, UNTIL, DRY_RUN), (IF_MATCH, IF_NONE_MATCH)
PUTTING = {200: "JobPut", 201: "JobAdded", 404: "Problem", 412: "Problem", 413: "Problem", 415: "Problem"}
CHANGING = {200: "JobPatched", 404: "Problem", 412: "Problem", 413: "Problem", 415: "Problem"}
REMOVING = {200: "Removed", 404: "Problem", 412: "Problem"}
NEW_JOB = Body(schema={"$ref": "#/components/schemas/NewJob"})
DEFINITION = Body(schema={"$ref": "#/components/schemas/JobDefinition"}, required=False)
CHANGES = Body(schema={"$ref": "#/components/schemas/JobChanges"}, example={"periodically": "1 day"})


class Jobs:
    """`/jobs`"""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry

    @operation(JOBS_OPTIONS, scope=Scope.READ, query=LISTING, answers={200: "JobList"})
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

    @operation(ADD_JOBS, scope=Scope.WRITE, query=(DRY_RUN,), headers=(IDEMPOTENCY_KEY,), body=NEW_JOB, answers=ADDING)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add a job of any handler."""
        add(self.engine, self.registry, req, resp, media.read_object(req))


class Job:
    """`/jobs/{job_id}`; and `POST /jobs/<handler in kebab case>`, which shares the shape of the path."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self.engine = engine
        self.registry = registry

    @operation(JOBS_OPTIONS, scope=Scope.READ, answers={200: "Job", 404: "Problem"})
    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """One job, with its next run and the outcome of its last one."""
        with self.engine.connect() as connection:
            row = store.get_job(connection, job_id)
        if row is None:
            raise JobNotFound(job_id)
        conditions.show(resp, row)
        resp.media = codec.job(row)

    @operation(JOBS_OPTIONS, scope=Scope.WRITE, query=PUT_QUERY, headers=PUT_HEADERS, body=DEFINITION, answers=PUTTING)
    def on_put(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Pause or resume a job, or create or replace it.

        With `state` in the query and no body, the job's state changes; a pause may have a `reason` and last `until` a
        time, after which the job runs on without firing by surprise. With a body, the job becomes what that says; it
        is created if there is none (201). The same request again changes nothing: without `when` and `state`, a job
        keeps its own.

        With `dry_run=true` nothing changes, and the answer (200) says what would.
        """
        condition, query = conditions.read(req), without_dry_run(req.context.query)
        if query:
            media.refuse_body(req)
            state = parameters.state_change(query)
            self._change(
                req,
                resp,
                job_id,
                lambda on: define.change_state(on, job_id, **state, condition=condition),
                codec.job_state,
            )
        elif options := media.read_object(req):

            def put(on: Transactions) -> codec.Row:
                job, created = edit.put(on, self.registry, job_id, options, condition)
                if created:
                    resp.status = falcon.HTTP_201
                    places.show(resp, places.of_job(job_id))
                return job

            self._change(req, resp, job_id, put, codec.one_job)
        else:
            raise InvalidOptions([Fault("state", None, "is required in the query, or else options as the body")])

    @operation(JOBS_OPTIONS, scope=Scope.WRITE, query=(DRY_RUN,), headers=(IF_MATCH,), body=CHANGES, answers=CHANGING)
    def on_patch(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Change some options of a job.

        Null stands for an option's default; what is not named stays. If the trigger changes, the next fire
        time lies in the future.

        With `dry_run=true` nothing changes, and the answer says what would.
        """
        changes, condition = media.read_object(req, required=True), conditions.read(req)
        self._change(
            req, resp, job_id, lambda on: edit.patch(on, self.registry, job_id, changes, condition), codec.one_job
        )

    @operation(JOBS_OPTIONS, scope=Scope.WRITE, headers=(IF_MATCH,), answers=REMOVING)
    def on_delete(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Remove a job; its queued runs are cancelled."""
        resp.media = {"removed": define.delete(signed(self.engine, req), job_id, conditions.read(req))}

    @operation(
        ADD_JOBS,
        scope=Scope.WRITE,
        query=(*JOB_OPTIONS, DRY_RUN),
        headers=(IDEMPOTENCY_KEY,),
        answers=ADDING,
        find=lambda resource, job_id: resource.registry.by_endpoint(job_id),
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Add a job of the handler that the path names."""
        handler = self.registry.by_endpoint(job_id)
        options = {**without_dry_run(req.context.query), "handler": handler.__name__, "kwargs": media.read_object(req)}
        add(self.engine, self.registry, req, resp, options)

    def _change(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        job_id: str,
        change: Callable[[Transactions], codec.Row],
        describe: Callable[[codec.Row], dict[str, Any]],
    ) -> None:
        """Carry `change` out and answer with the job, or only with what it would change."""
        if dry_run.is_asked(req):
            dry_run.tell(self.engine, resp, job_id, change)
        else:
            job = change(signed(self.engine, req))
            conditions.show(resp, job)
            resp.media = describe(job)


class Upcoming:
    """`/jobs/{job_id}/upcoming`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(JOBS_OPTIONS, scope=Scope.READ, query=(COUNT,), answers={200: "Upcoming", 404: "Problem"})
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

    @operation(JOBS_OPTIONS, scope=Scope.READ, query=(AT,), answers={200: "Explanation", 404: "Problem"})
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

    @operation(JOBS_OPTIONS, scope=Scope.WRITE, answers={200: "Removed"})
    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Remove all failure entries."""
        resp.media = {"removed": define.clean_failed(signed(self.engine, req))}


def add(
    engine: Engine, registry: Registry, req: falcon.Request, resp: falcon.Response, options: dict[str, Any]
) -> None:
    """Answer 201 with the job that `options` make, or 200 with what it would be."""

    def carry_out(transactions: Transactions) -> None:
        job = define.create(transactions, registry, options)
        conditions.show(resp, job)
        places.show(resp, places.of_job(job["job_id"]))
        resp.media = codec.one_job(job)
        resp.status = falcon.HTTP_201

    if dry_run.is_asked(req):
        idempotency.read_key(req)
        dry_run.tell(engine, resp, None, lambda transactions: define.create(transactions, registry, options))
    else:
        idempotency.once(engine, req, resp, options, carry_out)


def without_dry_run(query: Mapping[str, str]) -> dict[str, str]:
    """What the query says besides."""
    return {name: value for name, value in query.items() if name != DRY_RUN.name}


def _position(row: Mapping[str, Any]) -> str:
    job_id: str = row["job_id"]
    return job_id
