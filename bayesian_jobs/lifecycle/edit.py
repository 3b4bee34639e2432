"""Changing what a job is: some of its options, or all of them. Whatever changes, nothing fires by surprise."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine

from bayesian_jobs.domain.job import JobSpec, JobState, parse_job_id
from bayesian_jobs.domain.json_values import as_kept
from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.define import Job, add, anchored, columns, locked, read, replace, set_state, trigger_of
from bayesian_jobs.lifecycle.options import parse_changes, parse_options
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import database_now


def put(engine: Engine, registry: Registry, job_id: str, options: Mapping[str, Any]) -> tuple[Job, bool]:
    """Make the job be what `options` say, and create it if there is none; True: it was created.

    Without `when` an existing job keeps its own, and without `state` its state, so that the same request again
    changes nothing. A finished job begins again only with another trigger. Raises InvalidOptions.
    """
    options = {**options, "job_id": same_id(job_id, options)}
    with engine.begin() as connection:
        now = database_now(connection)
        while (job := store.lock_job(connection, job_id)) is None:
            if add(connection, registry, parse_options(options, registry, now), now):
                return read(connection, job_id), True
        check_changeable(job)
        become(connection, registry, job, parse_options(anchored(options, job), registry, now))
        if options.get("state") and job["state"] != JobState.FINISHED:
            set_state(connection, job_id, options["state"])
        return read(connection, job_id), False


def patch(engine: Engine, registry: Registry, job_id: str, changes: Mapping[str, Any]) -> Job:
    """Change the options that are named, of which null stands for the default; the others stay as they are (RFC 7396,
    at the top level: kwargs are given whole). All or nothing. Raises InvalidOptions, JobNotFound."""
    same_id(job_id, changes)
    with engine.begin() as connection:
        job = locked(connection, job_id)
        check_changeable(job)
        spec = parse_changes(spec_of(job), changes, registry, database_now(connection))
        become(connection, registry, job, spec)
        if "state" in changes:
            set_state(connection, job_id, changes["state"])
        return read(connection, job_id)


def become(connection: Connection, registry: Registry, job: Job, spec: JobSpec) -> None:
    """Give a locked job this definition, if it is another one. Raises InvalidOptions."""
    if differs(columns(spec, registry, database_now(connection)), job):
        replace(connection, registry, job, spec)


def check_changeable(job: Job) -> None:
    """Raises InvalidOptions."""
    reason = None
    if job["state"] == JobState.PENDING:
        reason = "is a pending job: not taken up yet"
    elif job["handler"] == store.FAILURE_HANDLER:
        reason = "is a failure entry, which only tells of a run that failed; it can be removed, not changed"
    if reason:
        raise InvalidOptions([Fault("job_id", job["job_id"], reason)])


def differs(definition: Mapping[str, Any], job: Job) -> bool:
    """Whether a definition is another one than the job's; where the job stands is no part of it."""
    parts = [name for name in definition if name not in ("state", "next_run_at", "kwargs")]
    # As JSON, since to Python true is 1.
    kwargs, stored = (json.dumps(as_kept(each["kwargs"]), sort_keys=True) for each in (definition, job))
    return kwargs != stored or any(job[name] != definition[name] for name in parts)


def spec_of(job: Job) -> JobSpec:
    """What a stored job is; as state only what a user may ask for."""
    return JobSpec(
        job_id=job["job_id"],
        handler=job["handler"],
        kwargs=job["kwargs"],
        trigger=trigger_of(job),
        misfire_grace_time=job["misfire_grace_time"],
        state=JobState.PAUSED if job["state"] == JobState.PAUSED else JobState.RUNNING,
    )


def same_id(job_id: str, options: Mapping[str, Any]) -> str:
    """The job_id of the path, which a body may only repeat. Raises InvalidOptions."""
    if options.get("job_id") not in (None, job_id):
        raise InvalidOptions([Fault("job_id", options["job_id"], f"cannot be changed; the path names {job_id!r}")])
    try:
        return parse_job_id(job_id)
    except InvalidValue as error:
        raise InvalidOptions([Fault("job_id", job_id, str(error))]) from error
