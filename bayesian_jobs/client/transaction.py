"""Jobs that exist exactly if the caller's own data does: made and removed within the caller's database transaction."""

import json
from collections.abc import Mapping
from typing import Any, Unpack

from bayesian_jobs.client.options import Schedule, as_written
from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.domain.job import JobSpec
from bayesian_jobs.domain.json_values import why_not_storable
from bayesian_jobs.domain.trigger import Cron, Interval, Trigger
from bayesian_jobs.errors import Fault, InvalidOptions, JobExists
from bayesian_jobs.lifecycle.options import check_may_run, parse_options
from bayesian_jobs.store import scheduling


def schedule(
    connection: Any,
    handler: str,
    kwargs: Mapping[str, Any] | None = None,
    *,
    job_id: str | None = None,
    keep: bool = False,
    **options: Unpack[Schedule],
) -> str | None:
    """Make a job in the transaction of `connection`, which the caller commits or rolls back, and the job with it.

    `connection` leads to the database of the service: a Connection or Session of SQLAlchemy, or a connection of
    psycopg2, psycopg or Django. The database user needs EXECUTE on `schedule_job`, and nothing else. Without `job_id`
    the job gets one; without `when` its time is now, and so it runs soon after the commit.

    Returns the job_id; None if `keep` is set and there is such a job already, which stays as it is. Raises
    InvalidOptions, with everything that is wrong, and JobExists; the transaction goes on. Whether there is such a
    handler and such a queue, and what the handler takes, only the scheduler knows: it sets the job aside, with its
    error, if they do not fit.
    """
    now = scheduling.now(connection)
    given = {"handler": handler, "kwargs": dict(kwargs or {}), "job_id": job_id, **as_written(options)}
    if "state" in given:
        raise InvalidOptions([Fault("state", given["state"], "cannot be chosen here: the job is to run")])
    spec = parse_options(given, Unjudged(), now)
    check_may_run(spec, now)
    made = scheduling.schedule_job(connection, arguments(spec, given))
    if made is None and not keep:
        raise JobExists(spec.job_id)
    return made


def unschedule(connection: Any, job_id: str) -> bool:
    """Remove a job in the transaction of `connection` and cancel its queued runs; a run that executes goes on. False:
    there is no such job. Waits for whoever is changing the job, and for claims of its runs that are under way; the
    scheduler passes it over until the transaction ends, so let that be soon."""
    return scheduling.unschedule_job(connection, job_id)


class Unjudged:
    """What a job may name, where there is no registry of handlers: anything."""

    def offered(self, name: str) -> str:
        return name

    def consumed(self, queue: str) -> str:
        return queue

    def faults(self, handler: str, kwargs: Mapping[str, Any]) -> list[Fault]:
        reason = why_not_storable(dict(kwargs))
        return [Fault("kwargs", kwargs, reason)] if reason else []


def arguments(spec: JobSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the function `schedule_job`. A `when` that is not given is the database's now."""
    return {
        "handler": spec.handler,
        "kwargs": json.dumps(spec.kwargs),
        "job_id": spec.job_id,
        "periodically": periodically(spec.trigger),
        "when": None if given.get("when") is None else spec.trigger.start,
        "end": spec.trigger.end,
        "timezone": spec.trigger.timezone if isinstance(spec.trigger, Cron) else None,
        "jitter": spec.jitter,
        "misfire_grace_time": spec.misfire_grace_time,
        "catch_up": str(spec.catch_up),
        "max_concurrent_runs": spec.max_concurrent_runs,
        "overlap": str(spec.overlap),
        "queue": spec.queue,
        "priority": spec.priority,
        "max_retries": spec.max_retries,
        "retry_delay": spec.retry_delay,
        "time_limit": spec.time_limit,
        "description": spec.description,
        "tags": list(spec.tags),
        "if_exists": "keep",
    }


def periodically(trigger: Trigger) -> str | None:
    match trigger:
        case Cron():
            return trigger.expression
        case Interval():
            return format_duration(trigger.period)
    return None
