"""The options of a job, as a program gives them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.errors import Fault, InvalidOptions


class Schedule(TypedDict, total=False):
    """When a job runs, and how: docs/reference/job-options.md. A time is text or an aware datetime, a duration is text
    or a timedelta; None is the same as leaving an option out."""

    periodically: str | timedelta | None
    when: str | datetime | None
    end: str | datetime | None
    timezone: str | None
    jitter: str | timedelta | None
    misfire_grace_time: str | timedelta | None
    catch_up: str | None
    max_concurrent_runs: int | None
    overlap: str | None
    queue: str | None
    priority: int | None
    max_retries: int | None
    retry_delay: str | timedelta | None
    time_limit: str | timedelta | None
    description: str | None
    tags: Sequence[str] | None


class Options(Schedule, total=False):
    """The same, and in which state the job is."""

    state: str | None


class Changes(Options, total=False):
    """What of a job is to be changed; None stands for the default."""

    handler: str
    kwargs: Mapping[str, Any]


def as_written(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as people write them, in JSON values. Raises InvalidOptions for a datetime without a zone."""
    return {name: written(name, value) for name, value in options.items()}


def written(name: str, value: Any) -> Any:
    match value:
        case datetime():
            if value.utcoffset() is None:
                raise InvalidOptions([Fault(name, value.isoformat(), "has no time zone")])
            return format_datetime(value)
        case timedelta():
            return format_duration(value)
        case tuple():
            return list(value)
    return value
