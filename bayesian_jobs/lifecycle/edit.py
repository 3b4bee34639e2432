"""Changing what a job is: some of its options, or all of them. Whatever changes, nothing fires by surprise."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.datetimes import format_datetime, parse_datetime
from bayesian_jobs.domain.job import JobSpec, JobState, Overlap, parse_job_id
from bayesian_jobs.domain.json_values import same_json
from bayesian_jobs.domain.misfire import Account, CatchUp, account
from bayesian_jobs.domain.trigger import Once, Trigger, next_after
from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.changes import changes_of
from bayesian_jobs.lifecycle.condition import UNCONDITIONAL, Condition
from bayesian_jobs.lifecycle.define import Job, add, columns, locked, read, readable_trigger, set_state, trigger_of
from bayesian_jobs.lifecycle.options import check_fires, parse_changes, parse_options
from bayesian_jobs.lifecycle.reader import member_of
from bayesian_jobs.store import audit
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.begins import wait_for_begins
from bayesian_jobs.store.engine import Transactions, database_now
from bayesian_jobs.store.notifications import notify_jobs_changed
from bayesian_jobs.store.unreadable import Unreadable


def put(
    engine: Transactions,
    registry: Registry,
    job_id: str,
    options: Mapping[str, Any],
    condition: Condition = UNCONDITIONAL,
) -> tuple[Job, bool]:
    """Make the job be what `options` say, and create it if there is none; True: it was created.

    Without `when` an existing job keeps its own, and without `state` its state, so that the same request again
    changes nothing. A finished job begins again only with another trigger, and cannot be paused otherwise. Raises
    InvalidOptions, ConditionFailed.
    """
    options = {**options, "job_id": same_id(job_id, options)}
    with engine.begin() as connection:
        now = database_now(connection)
        while (job := store.lock_job(connection, job_id)) is None:
            condition.check(job_id, None)
            if add(connection, registry, parse_options(options, registry, now), now):
                return read(connection, job_id), True
        condition.check(job_id, job)
        check_changeable(job)
        become(connection, registry, job, parse_options(anchored(options, job), registry, now))
        if options.get("state") and (job["state"] != JobState.FINISHED or options["state"] == JobState.PAUSED):
            set_state(connection, job_id, options["state"])
        return read(connection, job_id), False


def patch(
    engine: Transactions,
    registry: Registry,
    job_id: str,
    changes: Mapping[str, Any],
    condition: Condition = UNCONDITIONAL,
) -> Job:
    """Change the options that are named, of which null stands for the default; the others stay as they are (RFC 7396,
    at the top level: kwargs are given whole). All or nothing. Raises InvalidOptions, JobNotFound, ConditionFailed."""
    same_id(job_id, changes)
    with engine.begin() as connection:
        job = locked(connection, job_id, condition)
        check_changeable(job)
        if isinstance(job["kwargs"], Unreadable) and "kwargs" not in changes:
            raise InvalidOptions([Fault("kwargs", job["kwargs"], "cannot be read and so not be kept; name others")])
        spec = parse_changes(spec_of(job, registry), changes, registry, database_now(connection))
        become(connection, registry, job, spec)
        if "state" in changes:
            set_state(connection, job_id, changes["state"])
        return read(connection, job_id)


def become(connection: Connection, registry: Registry, job: Job, spec: JobSpec) -> None:
    """Give a locked job this definition, if it is another one. Raises InvalidOptions."""
    if differs(columns(spec, registry, database_now(connection)), job):
        replace(connection, registry, job, spec)


def replace(connection: Connection, registry: Registry, job: Job, spec: JobSpec) -> None:
    """Give a locked job a new definition; its state stays. Its queued runs will start with the new handler and
    kwargs. If the trigger changes, the next fire time lies in the future, and a job that was finished begins again; a
    one-off time that has passed is refused. Raises InvalidOptions.
    """
    now = database_now(connection)
    changes = columns(spec, registry, now) | {"state": job["state"]}
    if trigger_of(job) == spec.trigger:
        del changes["next_run_at"]
    else:
        check_lies_ahead(spec.trigger, now)
        skip_replaced(connection, job, now)
        changes["next_run_at"] = first_ahead(connection, job, spec.trigger, now)
        if job["state"] == JobState.FINISHED:
            changes["state"] = spec.state
    version = store.change_job(connection, job["job_no"], changes)
    audit.enter(connection, Action.JOB_CHANGED, job_id=job["job_id"], details=changes_of(job, changes))
    store.take_queued_runs_along(
        connection,
        job["job_no"],
        version=version,
        actor=changes["handler"],
        queue=changes["queue"],
        priority=changes["priority"],
    )
    wait_for_begins(connection, job["job_no"])
    notify_jobs_changed(connection)


def check_lies_ahead(trigger: Trigger, now: datetime) -> None:
    """A job that is changed must have a fire time, and one that is to run once must not run at once, or again.

    Raises InvalidOptions.
    """
    check_fires(trigger, now)
    if isinstance(trigger, Once) and trigger.at <= now:
        reason = "has passed, and a job that is changed does not run at once; name a time to come"
        raise InvalidOptions([Fault("when", format_datetime(trigger.at), reason)])


def first_ahead(connection: Connection, job: Job, trigger: Trigger, now: datetime) -> datetime | None:
    """The first fire time of a locked job under a new trigger: later than `now`, and than all that is accounted for,
    should the database's clock have been set back. A one-off job keeps its time."""
    if isinstance(trigger, Once):
        return trigger.at
    return next_after(trigger, max(now, store.last_accounted(connection, job["job_no"]) or now))


def skip_replaced(connection: Connection, job: Job, now: datetime) -> None:
    """Record the due fire times of a locked job that gets another trigger as skipped; of a trigger that cannot be read
    any more only the first is known."""
    first: datetime | None = job["next_run_at"]
    if first is None or first > now:
        return
    try:
        due = account(readable_trigger(job), first, now, limit=None)
    except InvalidOptions:
        due = Account(first, None, first, None, 1)
    store.record_skipped(connection, job, due.first, due.last, due.count, reasons.SKIPPED_CHANGED)


def anchored(options: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """The options, all of them, for a job that exists: it keeps the `when` that it has if they give none, and its
    `when` and `end` if they give one without a year that named it."""
    anchors = {"when": options.get("when") or format_datetime(job["starts_at"]), "end": options.get("end")}
    for name, at in (("when", job["starts_at"]), ("end", job["ends_at"])):
        if anchors[name] is not None and at is not None and names(anchors[name], at):
            anchors[name] = format_datetime(at)
    return {**options, **anchors}


def names(text: Any, at: datetime) -> bool:
    try:
        return parse_datetime(text, at) == at
    except InvalidValue:
        return False


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
    changed = any(job[name] != definition[name] for name in parts)
    return changed or not same_json(definition["kwargs"], job["kwargs"])


def spec_of(job: Job, registry: Registry) -> JobSpec:
    """What a stored job is; as state only what a user may ask for, and no queue if it is that of its handler."""
    own_queue = job["handler"] not in registry or job["queue"] != registry.get(job["handler"]).queue
    return JobSpec(
        job_id=job["job_id"],
        handler=job["handler"],
        kwargs=job["kwargs"],
        trigger=trigger_of(job),
        jitter=job["jitter"],
        misfire_grace_time=job["misfire_grace_time"],
        catch_up=member_of(CatchUp, job["catch_up"]),
        max_concurrent_runs=job["max_concurrent_runs"],
        overlap=member_of(Overlap, job["overlap"]),
        queue=job["queue"] if own_queue else None,
        priority=job["priority"],
        max_retries=job["max_retries"],
        retry_delay=job["retry_delay"],
        time_limit=job["time_limit"],
        description=job["description"],
        tags=tuple(job["tags"]),
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
