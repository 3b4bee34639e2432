"""Defining jobs: create, change, pause, resume, delete. What is answered here is obeyed from then on.

Each change locks the job's row, so that no scheduler dispatches it meanwhile, and then its queued runs, which waits
for claims of them that are under way. After the commit nothing is created or started from what was before.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.job import JobSpec, JobState
from bayesian_jobs.domain.misfire import account
from bayesian_jobs.domain.trigger import Cron, Interval, Once, Trigger, parse_cron, parse_timezone
from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue, JobExists, JobNotFound
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.condition import UNCONDITIONAL, Condition
from bayesian_jobs.lifecycle.options import check_may_run, first_fire, parse_options
from bayesian_jobs.lifecycle.pauses import NOT_PAUSED, Pause, parse_change
from bayesian_jobs.store import audit
from bayesian_jobs.store import jobs as store
from bayesian_jobs.store.begins import wait_for_begins
from bayesian_jobs.store.engine import Transactions, database_now
from bayesian_jobs.store.notifications import notify_jobs_changed
from bayesian_jobs.store.requests import open_runs_of

Job = Mapping[str, Any]
"""A row of `jobs`, with what its last run came to."""


def create(engine: Transactions, registry: Registry, options: Mapping[str, Any]) -> Job:
    """Store a new job. Raises InvalidOptions or JobExists; then nothing is stored."""
    with engine.begin() as connection:
        now = database_now(connection)
        spec = parse_options(options, registry, now)
        if not add(connection, registry, spec, now):
            raise JobExists(spec.job_id)
        return read(connection, spec.job_id)


def add(
    connection: Connection,
    registry: Registry,
    spec: JobSpec,
    now: datetime,
    origin: Mapping[str, Any] | None = None,
) -> bool:
    """Store a new job; False: its job_id is taken. `origin`: the file that it comes from. Raises InvalidOptions."""
    check_may_run(spec, now)
    if store.insert_job(connection, {**columns(spec, registry, now), **(origin or {})}) is None:
        return False
    audit.enter(connection, Action.JOB_ADDED, job_id=spec.job_id, details={"handler": spec.handler})
    notify_jobs_changed(connection)
    return True


def change_state(
    engine: Transactions,
    job_id: str,
    state: str,
    *,
    reason: str | None = None,
    until: str | None = None,
    condition: Condition = UNCONDITIONAL,
) -> Job:
    """Pause a job, for a `reason` and `until` a time if they are given, or set it running again; a state that it has
    already changes nothing, but a pause is from now on for this reason and until then.

    Pausing cancels its queued runs. Resuming settles the fire times that passed meanwhile as skipped, and so the
    next one lies in the future; only a one-off job whose run was put off by the pause is due at once. One that was set
    aside becomes pending: the scheduler judges it anew. Raises InvalidOptions, JobNotFound,
    ConditionFailed.
    """
    wanted, words = parse_change(engine, state, reason, until)
    with engine.begin() as connection:
        set_state(connection, job_id, wanted, words, condition)
        return read(connection, job_id)


def set_state(
    connection: Connection,
    job_id: str,
    wanted: str,
    words: Pause | None = None,
    condition: Condition = UNCONDITIONAL,
) -> None:
    """Lock a job, and pause it or set it running again; `words` None: a pause that it is in stays as it is.

    Raises InvalidOptions, JobNotFound, ConditionFailed.
    """
    job = locked(connection, job_id, condition)
    if job["state"] != wanted:
        check_not_over(connection, job, wanted)
        pause(connection, job, words or Pause()) if wanted == JobState.PAUSED else resume(connection, job)
    elif wanted == JobState.PAUSED and has_run_since_paused(job):
        pause(connection, job, words or Pause(job["paused_reason"], job["paused_until"]))
    elif words and wanted == JobState.PAUSED and any(job[name] != value for name, value in words.columns.items()):
        store.change_job(connection, job["job_no"], words.columns)
        audit.enter(connection, Action.JOB_PAUSED, job_id=job_id, details=words.told)
        notify_jobs_changed(connection)


def delete(engine: Transactions, job_id: str, condition: Condition = UNCONDITIONAL) -> list[str]:
    """Remove the job and cancel its queued runs; its history stays until retention.

    Raises JobNotFound, ConditionFailed.
    """
    with engine.begin() as connection:
        job = locked(connection, job_id, condition)
        remove(connection, job)
        return [job["job_id"]]


def remove(connection: Connection, job: Job) -> None:
    """Remove a locked job and cancel its queued runs."""
    store.cancel_queued_runs(connection, job["job_no"], reasons.CANCELLED_DELETED)
    wait_for_begins(connection, job["job_no"])
    store.delete_job(connection, job["job_no"])
    audit.enter(connection, Action.JOB_REMOVED, job_id=job["job_id"])


def clean_failed(engine: Transactions) -> list[str]:
    """Remove all failure entries. Returns their job_ids."""
    with engine.begin() as connection:
        removed = store.delete_failures(connection)
        if removed:
            audit.enter(connection, Action.FAILURES_REMOVED, details={"count": len(removed)})
        return removed


def pause(connection: Connection, job: Job, words: Pause) -> None:
    changes = {"state": JobState.PAUSED, "paused_at": func.clock_timestamp(), **words.columns}
    store.change_job(connection, job["job_no"], changes)
    store.cancel_queued_runs(connection, job["job_no"], reasons.CANCELLED_PAUSED)
    wait_for_begins(connection, job["job_no"])
    audit.enter(connection, Action.JOB_PAUSED, job_id=job["job_id"], details=words.told)
    if words.until:
        notify_jobs_changed(connection)


def resume(connection: Connection, job: Job) -> None:
    if job["error"] is not None:
        changes = {"state": JobState.PENDING, "error": None, **NOT_PAUSED}
    else:
        changes = running_from(connection, job, skip_paused(connection, job, database_now(connection)))
    store.change_job(connection, job["job_no"], changes)
    audit.enter(connection, Action.JOB_RESUMED, job_id=job["job_id"])
    notify_jobs_changed(connection)


def has_run_since_paused(job: Job) -> bool:
    """Whether a run has been asked for since: a new pause is for that as well."""
    last, paused_at = job["last_scheduled_for"], job["paused_at"]
    return last is not None and (paused_at is None or last > paused_at)


def running_from(connection: Connection, job: Job, next_run_at: datetime | None) -> dict[str, Any]:
    """Of a locked job whose pause is over; it is finished if its last fire time has passed in the pause, and none of
    its runs is still executing."""
    goes_on = next_run_at is not None or open_runs_of(connection, job) > 0
    return {"state": JobState.RUNNING if goes_on else JobState.FINISHED, "next_run_at": next_run_at, **NOT_PAUSED}


def skip_paused(connection: Connection, job: Job, until: datetime, limit: int | None = None) -> datetime | None:
    """Record every fire time of a locked job up to `until` that is not dispatched (of a cron at most `limit` of them)
    as skipped. Returns the next one.

    That of a one-off job is not skipped but stays due: it was put off, and is judged by its grace like any other.
    Raises InvalidOptions when the stored trigger cannot be read any more.
    """
    trigger = readable_trigger(job)
    first: datetime | None = job["next_run_at"]
    if first is None or first > until or isinstance(trigger, Once):
        return first
    due = account(trigger, first, until, limit)
    store.record_skipped(connection, job, due.first, due.last, due.count, reasons.SKIPPED_PAUSED)
    return due.next


def check_not_over(connection: Connection, job: Job, wanted: str) -> None:
    if job["state"] == JobState.PENDING:
        raise InvalidOptions([Fault("state", wanted, f"job {job['job_id']!r} is pending: not taken up yet")])
    if job["error"] is not None and wanted == JobState.RUNNING:
        return
    if job["next_run_at"] is None and (job["state"] == JobState.FINISHED or wanted == JobState.RUNNING):
        if open_runs_of(connection, job):
            return
        raise InvalidOptions([Fault("state", wanted, f"job {job['job_id']!r} has no fire time left")])


def columns(spec: JobSpec, registry: Registry, now: datetime) -> dict[str, Any]:
    """The columns of `jobs` that hold the definition."""
    trigger = spec.trigger
    return {
        "job_id": spec.job_id,
        "handler": spec.handler,
        "queue": spec.queue or registry.get(spec.handler).queue,
        "kwargs": spec.kwargs,
        "period": trigger.period if isinstance(trigger, Interval) else None,
        "cron": trigger.expression if isinstance(trigger, Cron) else None,
        "timezone": trigger.timezone if isinstance(trigger, Cron) else "UTC",
        "starts_at": trigger.start,
        "ends_at": trigger.end,
        "jitter": spec.jitter,
        "misfire_grace_time": spec.misfire_grace_time,
        "catch_up": spec.catch_up,
        "max_concurrent_runs": spec.max_concurrent_runs,
        "overlap": spec.overlap,
        "priority": spec.priority,
        "max_retries": spec.max_retries,
        "retry_delay": spec.retry_delay,
        "time_limit": spec.time_limit,
        "description": spec.description,
        "tags": list(spec.tags),
        "state": spec.state,
        "next_run_at": first_fire(trigger, now),
    }


def trigger_of(job: Job) -> Trigger:
    if job["cron"] is not None:
        return Cron(expression=job["cron"], timezone=job["timezone"], start=job["starts_at"], end=job["ends_at"])
    if job["period"] is not None:
        return Interval(start=job["starts_at"], period=job["period"], end=job["ends_at"])
    return Once(at=job["starts_at"])


def readable_trigger(job: Job) -> Trigger:
    """The same, if its fire times can be computed. Raises InvalidOptions: plain SQL may have written anything."""
    trigger = trigger_of(job)
    if isinstance(trigger, Cron):
        try:
            parse_cron(trigger.expression, parse_timezone(trigger.timezone))
        except InvalidValue as error:
            raise InvalidOptions([Fault("periodically", trigger.expression, str(error))]) from error
    return trigger


def locked(connection: Connection, job_id: str, condition: Condition = UNCONDITIONAL) -> Job:
    """The job, locked until the transaction ends. Raises JobNotFound, ConditionFailed."""
    job = store.lock_job(connection, job_id)
    if job is None:
        raise JobNotFound(job_id)
    condition.check(job_id, job)
    return job


def read(connection: Connection, job_id: str) -> Job:
    job = store.get_job(connection, job_id)
    if job is None:
        raise JobNotFound(job_id)
    return job
