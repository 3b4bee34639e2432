"""Changing what a job is: some of its options, or all of them. Whatever changes, nothing fires by surprise."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine

from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.trigger import is_cron
from bayesian_jobs.errors import Fault, InvalidOptions
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.define import Job, columns, locked, read, replace, set_state
from bayesian_jobs.lifecycle.options import parse_options
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.engine import database_now
from bayesian_jobs.store.notifications import notify_jobs_changed


def put(engine: Engine, registry: Registry, job_id: str, options: Mapping[str, Any]) -> tuple[Job, bool]:
    """Make the job be what `options` say, and create it if there is none; True: it was created.

    Without `when` an existing job keeps its own, and without `state` its state, so that the same request again
    changes nothing. A finished job begins again only with another trigger. Raises InvalidOptions.
    """
    options = {**options, "job_id": same_id(job_id, options)}
    with engine.begin() as connection:
        now = database_now(connection)
        job = store.lock_job(connection, job_id)
        if job is None:
            spec = parse_options(options, registry, now)
            if store.insert_job(connection, columns(spec, registry, now)) is not None:
                notify_jobs_changed(connection)
                return read(connection, job_id), True
            job = locked(connection, job_id)  # created by somebody else, just now
        when = options.get("when") or format_datetime(job["starts_at"])
        become(connection, registry, job, {**options, "when": when})
        if options.get("state") and job["state"] != JobState.FINISHED:
            set_state(connection, job_id, options["state"])
        return read(connection, job_id), False


def patch(engine: Engine, registry: Registry, job_id: str, changes: Mapping[str, Any]) -> Job:
    """Change the options that are named, of which null stands for the default; the others stay as they are (RFC 7396,
    at the top level: kwargs are given whole). All or nothing. Raises InvalidOptions, JobNotFound."""
    same_id(job_id, changes)
    with engine.begin() as connection:
        job = locked(connection, job_id)
        become(connection, registry, job, merged(job, changes))
        if changes.get("state"):
            set_state(connection, job_id, changes["state"])
        return read(connection, job_id)


def become(connection: Connection, registry: Registry, job: Job, options: Mapping[str, Any]) -> None:
    """Give a locked job the definition that `options` make, if it is another one. Raises InvalidOptions."""
    if job["state"] == JobState.PENDING:
        raise InvalidOptions([Fault("job_id", job["job_id"], "is a pending job: not taken up yet")])
    now = database_now(connection)
    spec = parse_options(options, registry, now)
    if differs(columns(spec, registry, now), job):
        replace(connection, registry, job, spec)


def differs(definition: Mapping[str, Any], job: Job) -> bool:
    """Whether a definition is another one than the job's; where the job stands is no part of it."""
    parts = [name for name in definition if name not in ("state", "next_run_at", "kwargs")]
    # As JSON, since to Python true is 1.
    kwargs, stored = (json.dumps(each["kwargs"], sort_keys=True) for each in (definition, job))
    return kwargs != stored or any(job[name] != definition[name] for name in parts)


def merged(job: Job, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The job's options with these changes; a time zone stays only as long as there is a cron expression."""
    options = {**options_of(job), **changes}
    if "timezone" not in changes and not is_cron(str(options["periodically"] or "")):
        del options["timezone"]
    return options


def options_of(job: Job) -> dict[str, Any]:
    """The options that a stored job has, as a user would write them; without its state."""
    return {
        "job_id": job["job_id"],
        "handler": job["handler"],
        "kwargs": job["kwargs"],
        "periodically": job["cron"] or (job["period"] and format_duration(job["period"])),
        "when": format_datetime(job["starts_at"]),
        "misfire_grace_time": job["misfire_grace_time"] and format_duration(job["misfire_grace_time"]),
        "timezone": job["timezone"] if job["cron"] else None,
    }


def same_id(job_id: str, options: Mapping[str, Any]) -> str:
    """The job_id of the path, which a body may only repeat. Raises InvalidOptions."""
    if options.get("job_id", job_id) != job_id:
        raise InvalidOptions([Fault("job_id", options["job_id"], f"cannot be changed; the path names {job_id!r}")])
    return job_id
