"""Admit: a job that plain SQL has made pending becomes a running one, or is set aside with its error; and a pause whose
time is over ends. Each job in a transaction of its own, so that none of them can keep the others waiting."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.domain import reasons
from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.job import JobSpec, JobState
from bayesian_jobs.domain.misfire import account
from bayesian_jobs.domain.neighbours import INSTANT
from bayesian_jobs.domain.storable import describe_exception, storable_text
from bayesian_jobs.domain.trigger import Once, Trigger
from bayesian_jobs.errors import Fault, InvalidOptions, shortened
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.define import Job, columns, locked, running_from, skip_paused, trigger_of
from bayesian_jobs.lifecycle.edit import first_ahead
from bayesian_jobs.lifecycle.options import check_may_run, first_fire, parse_options
from bayesian_jobs.lifecycle.pauses import NOT_PAUSED
from bayesian_jobs.store import admission as store
from bayesian_jobs.store import audit, jobs
from bayesian_jobs.store.engine import database_now, is_lost

AT_A_TIME = 100
"""Jobs that one look takes up, before due jobs have their turn again."""

SLICE = 5000
"""Fire times that one look walks for one job; more of them are settled in several looks."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Admitted:
    """How many jobs were admitted, resumed, set aside."""

    admitted: int = 0
    resumed: int = 0
    set_aside: int = 0

    def __bool__(self) -> bool:
        return bool(self.admitted or self.resumed or self.set_aside)


def admit_jobs(connection: Connection, registry: Registry, limit: int = AT_A_TIME) -> Admitted:
    """Take up to `limit` pending jobs, and as many whose pause is over. Any number of schedulers may do so at once:
    each job is locked by one of them, and the others pass it by."""
    done = Admitted()
    seen: list[int] = []
    while len(seen) < limit and take_pending(connection, registry, seen, done):
        pass
    seen = []
    while len(seen) < limit and take_resumable(connection, seen, done):
        pass
    return done


def take_pending(connection: Connection, registry: Registry, seen: list[int], done: Admitted) -> bool:
    """Admit the next pending job, or set it aside. False: there is none."""
    with connection.begin():
        pending = store.claim_pending(connection, seen)
        if pending is None:
            return False
        seen.append(pending.job_no)
        error = why_not(connection, lambda: admit(connection, registry, pending))
        if error is None:
            done.admitted += 1
        else:
            log.warning("job %r is set aside: %s", pending.options["job_id"], error)
            store.set_aside(connection, pending.job_no, error, kwargs_readable=is_readable(pending.options["kwargs"]))
            done.set_aside += 1
    return True


def take_resumable(connection: Connection, seen: list[int], done: Admitted) -> bool:
    """Resume the next job whose pause is over, or set it aside. False: there is none."""
    with connection.begin():
        resumable = store.claim_resumable(connection, seen)
        if resumable is None:
            return False
        job_no, job_id = resumable
        seen.append(job_no)
        error = why_not(connection, lambda: resume(connection, job_id))
        if error is None:
            done.resumed += 1
        else:
            log.warning("job %r cannot be resumed: %s", job_id, error)
            store.set_aside(connection, job_no, error)
            done.set_aside += 1
    return True


def why_not(connection: Connection, act: Callable[[], None]) -> str | None:
    """Do it; if it cannot be done, nothing of it is, and this is the reason. Raises DBAPIError when the connection is
    lost."""
    try:
        with connection.begin_nested():
            act()
    except InvalidOptions as error:
        return storable_text(str(error))
    except Exception as error:
        if isinstance(error, DBAPIError) and is_lost(error):
            raise
        log.exception("unexpected")
        return describe_exception(error)[0]
    return None


def admit(connection: Connection, registry: Registry, pending: store.PendingJob) -> None:
    """Make a locked pending job a running one. Raises InvalidOptions, with everything that is wrong."""
    now = database_now(connection)
    options = {**pending.options, "kwargs": read_kwargs(pending.options["kwargs"])}
    spec = parse_options(options, registry, now)
    check_may_run(spec, now)
    changes = columns(spec, registry, now) | {"error": None} | NOT_PAUSED
    if pending.is_new:
        changes["next_run_at"] = first_fire(spec.trigger, pending.defined_at)
    else:
        changes["next_run_at"] = settle_passed(connection, locked(connection, spec.job_id), spec, now)
        if is_cut(spec.trigger, changes["next_run_at"], now):
            changes["state"] = JobState.PENDING
    version = jobs.change_job(connection, pending.job_no, changes)
    jobs.take_queued_runs_along(
        connection,
        pending.job_no,
        version=version,
        actor=changes["handler"],
        queue=changes["queue"],
        priority=changes["priority"],
    )


def settle_passed(connection: Connection, job: Job, spec: JobSpec, now: datetime) -> datetime | None:
    """Record the fire times of a locked job, which had been admitted before, as skipped, so that nothing fires by
    surprise; at most SLICE of them. Returns the next fire time: one that is due still means that there are more."""
    first: datetime | None = job["next_run_at"]
    if isinstance(spec.trigger, Once):
        check_not_had(spec.trigger, job)
        if first is not None and first <= now and first != spec.trigger.at:
            jobs.record_skipped(connection, job, first, first, 1, reasons.SKIPPED_CHANGED)
        return spec.trigger.at
    if first is None or first > now:
        return first_ahead(connection, job, spec.trigger, now)
    due = account(spec.trigger, first, now, limit=SLICE)
    jobs.record_skipped(connection, job, due.first, due.last, due.count, reasons.SKIPPED_CHANGED)
    return due.next


def check_not_had(trigger: Once, job: Job) -> None:
    """A one-off time that was accounted for already is none to wait for. Raises InvalidOptions."""
    last: datetime | None = job["last_scheduled_for"]
    if trigger.at != job["next_run_at"] and last is not None and trigger.at <= last:
        reason = "has passed, and the job has run since; name a time to come"
        raise InvalidOptions([Fault("when", format_datetime(trigger.at), reason)])


def resume(connection: Connection, job_id: str) -> None:
    """Set a locked job running again whose pause is over. What has passed in the pause is recorded as skipped, no more
    than SLICE fire times at once; what has passed since is judged as after a downtime."""
    job = locked(connection, job_id)
    last: datetime = job["paused_until"] - INSTANT
    next_run_at = skip_paused(connection, job, last, limit=SLICE)
    if job["error"] is not None:
        changes: dict[str, Any] = {"state": JobState.PENDING, "error": None, **NOT_PAUSED}
    elif is_cut(trigger_of(job), next_run_at, last):
        changes = {"next_run_at": next_run_at}
    else:
        changes = running_from(connection, job, next_run_at)
    if "state" in changes:
        audit.enter(connection, Action.JOB_RESUMED, job_id=job_id)
    jobs.change_job(connection, job["job_no"], changes)


def is_cut(trigger: Trigger, next_run_at: datetime | None, now: datetime) -> bool:
    """Whether there are fire times that have passed and are not settled yet."""
    return not isinstance(trigger, Once) and next_run_at is not None and next_run_at <= now


def read_kwargs(text: str) -> Any:
    """Raises InvalidOptions."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidOptions([Fault("kwargs", shortened(text), f"cannot be read: {error}")]) from error


def is_readable(kwargs: str) -> bool:
    try:
        read_kwargs(kwargs)
    except InvalidOptions:
        return False
    return True
