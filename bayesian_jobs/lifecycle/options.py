"""The options of a job, as people write them, made into a JobSpec: the one place that decides what is acceptable,
whether they come by query, body, YAML file or command line."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol
from uuid import uuid4

from bayesian_jobs.domain.datetimes import format_datetime, parse_datetime
from bayesian_jobs.domain.durations import format_duration, parse_duration, parse_jitter, parse_period
from bayesian_jobs.domain.job import (
    ALLOW,
    FIRST_PRIORITY,
    LAST_PRIORITY,
    MOST_CONCURRENT_RUNS,
    MOST_RETRIES,
    PRIORITY,
    JobSpec,
    JobState,
    Overlap,
    parse_description,
    parse_job_id,
    parse_overlap,
)
from bayesian_jobs.domain.misfire import PUNCTUAL, CatchUp
from bayesian_jobs.domain.trigger import (
    Cron,
    Interval,
    Once,
    Trigger,
    is_cron,
    next_after,
    parse_cron,
    parse_timezone,
)
from bayesian_jobs.errors import Fault, InvalidOptions, InvalidValue
from bayesian_jobs.lifecycle.reader import Reader

OPTIONS = (
    "job_id",
    "handler",
    "kwargs",
    "periodically",
    "when",
    "end",
    "timezone",
    "jitter",
    "misfire_grace_time",
    "catch_up",
    "max_concurrent_runs",
    "overlap",
    "queue",
    "priority",
    "max_retries",
    "retry_delay",
    "time_limit",
    "description",
    "tags",
    "state",
)
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "timezone": "UTC",
        "catch_up": CatchUp.LATEST,
        "max_concurrent_runs": 1,
        "overlap": Overlap.SKIP,
        "priority": PRIORITY,
        "tags": [],
        "state": JobState.RUNNING,
    }
)
"""What an option is that is left out, as far as it can be written out: the queue is that of the handler."""


class Catalogue(Protocol):
    """What a job may name: a `Registry` of handlers, or what stands for one where there is none."""

    def offered(self, name: str) -> str:
        """The name, if it is that of a handler for users. Raises InvalidOptions, InvalidValue."""

    def consumed(self, queue: str) -> str:
        """The queue, if a worker consumes it. Raises InvalidValue."""

    def faults(self, handler: str, kwargs: Mapping[str, Any]) -> list[Fault]:
        """What is wrong with the keyword arguments of such a handler."""


TRIGGER = ("periodically", "when", "end", "timezone")
ARGUMENTS = ("handler", "kwargs")


def parse_options(options: Mapping[str, Any], catalogue: Catalogue, now: datetime) -> JobSpec:
    """The job that `options` ask for; an option that is absent or None takes its default.

    Raises InvalidOptions, with everything that is wrong at once.
    """
    reader = Reader(spelled_out(options), OPTIONS)
    job_id = reader.text("job_id", parse_job_id)
    fields = read_definition(reader, set(OPTIONS), catalogue, now)
    state = reader.text("state", parse_state)
    spec = JobSpec(job_id=job_id or str(uuid4()), state=state or JobState.RUNNING, **fields)
    check_arguments(reader, catalogue, spec.handler, spec.kwargs)
    check_together(reader, set(OPTIONS), spec)
    reader.refuse()
    return spec


def parse_changes(stored: JobSpec, changes: Mapping[str, Any], catalogue: Catalogue, now: datetime) -> JobSpec:
    """`stored` with these changes, None standing for an option's default. What they do not name is not looked at: the
    options of one trigger are named together, and so are the handler and its kwargs.

    Raises InvalidOptions, with everything that is wrong at once.
    """
    changes = spelled_out(changes)
    named = set(changes)
    options = changes if named.isdisjoint(TRIGGER) else {**with_trigger(stored.trigger, changes), **changes}
    reader = Reader(options, OPTIONS)
    spec = replace(stored, **read_definition(reader, named, catalogue, now))
    if "state" in named:
        reader.required("state", parse_state)
    if not named.isdisjoint(ARGUMENTS):
        check_arguments(reader, catalogue, spec.handler, spec.kwargs)
    check_together(reader, named, spec)
    reader.refuse()
    return spec


def spelled_out(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the number of concurrent runs that an overlap of `allow` stands for, unless there is one."""
    if options.get("overlap") != ALLOW or options.get("max_concurrent_runs") is not None:
        return options
    return {**options, "max_concurrent_runs": MOST_CONCURRENT_RUNS}


def read_definition(reader: Reader, named: set[str], catalogue: Catalogue, now: datetime) -> dict[str, Any]:
    """The fields of a JobSpec that the options `named` make; None, with a fault, for what cannot be used."""
    fields: dict[str, Any] = {}
    if "handler" in named:
        fields["handler"] = reader.required("handler", catalogue.offered)
    if "kwargs" in named:
        fields["kwargs"] = reader.kwargs()
    if not named.isdisjoint(TRIGGER):
        fields["trigger"] = read_trigger(reader, now)
    fields.update({name: read(reader) for name, read in policy(catalogue).items() if name in named})
    return fields


def policy(catalogue: Catalogue) -> dict[str, Callable[[Reader], Any]]:
    """How each of the options is read that depend on no other."""
    return {
        "jitter": lambda reader: reader.text("jitter", parse_jitter),
        "misfire_grace_time": lambda reader: reader.text("misfire_grace_time", parse_duration),
        "catch_up": lambda reader: reader.choice("catch_up", CatchUp) or CatchUp.LATEST,
        "max_concurrent_runs": lambda reader: reader.number("max_concurrent_runs", 1, MOST_CONCURRENT_RUNS) or 1,
        "overlap": lambda reader: reader.text("overlap", parse_overlap) or Overlap.SKIP,
        "queue": lambda reader: reader.text("queue", catalogue.consumed),
        "priority": lambda reader: reader.number("priority", FIRST_PRIORITY, LAST_PRIORITY, PRIORITY),
        "max_retries": lambda reader: reader.number("max_retries", 0, MOST_RETRIES),
        "retry_delay": lambda reader: reader.text("retry_delay", parse_duration),
        "time_limit": lambda reader: reader.text("time_limit", parse_duration),
        "description": lambda reader: reader.text("description", parse_description),
        "tags": lambda reader: reader.tags(),
    }


def check_arguments(reader: Reader, catalogue: Catalogue, handler: str | None, kwargs: dict[str, Any] | None) -> None:
    if handler is not None and kwargs is not None:
        reader.faults.extend(catalogue.faults(handler, kwargs))


def with_trigger(trigger: Trigger, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options that make `trigger`, to be changed by `changes`: its time zone stays only with a cron expression."""
    options: dict[str, Any] = {"when": format_datetime(trigger.start)}
    if isinstance(trigger, Interval):
        options["periodically"] = format_duration(trigger.period)
    if isinstance(trigger, Cron):
        options["periodically"] = trigger.expression
        if is_cron(str(changes.get("periodically", trigger.expression) or "")):
            options["timezone"] = trigger.timezone
    if trigger.end is not None and changes.get("periodically", True) is not None:
        options["end"] = format_datetime(trigger.end)
    return options


def check_together(reader: Reader, named: set[str], spec: JobSpec) -> None:
    """What options must be to one another; only if one of them is named, and all of them could be read."""
    endless = spec.catch_up == CatchUp.ALL and spec.misfire_grace_time is None
    if endless and asked(reader, named, {"catch_up", "misfire_grace_time"}):
        reader.faults.append(Fault("catch_up", spec.catch_up, "needs misfire_grace_time, which says how far back"))
    useless = spec.overlap == Overlap.QUEUE_ONE and spec.catch_up == CatchUp.NONE
    if useless and asked(reader, named, {"catch_up", "overlap"}):
        reader.faults.append(Fault("overlap", spec.overlap, "runs what has passed, which catch_up 'none' forbids"))
    period = spec.trigger.period if isinstance(spec.trigger, Interval) else None
    if spec.jitter and period and spec.jitter >= period and asked(reader, named, {"jitter", *TRIGGER}):
        reader.faults.append(Fault("jitter", format_duration(spec.jitter), "must be shorter than the period"))


def asked(reader: Reader, named: set[str], options: set[str]) -> bool:
    return not named.isdisjoint(options) and options.isdisjoint(fault.option for fault in reader.faults)


def check_may_run(spec: JobSpec, now: datetime) -> None:
    """A new job must not be one that would never run. Raises InvalidOptions."""
    trigger, grace = spec.trigger, spec.misfire_grace_time
    check_fires(trigger, now)
    if isinstance(trigger, Once) and grace is not None and trigger.at + grace < now:
        reason = "lies in the past, and misfire_grace_time is over as well: the job would never run"
        raise InvalidOptions([Fault("when", format_datetime(trigger.at), reason)])
    if isinstance(trigger, Once) and spec.catch_up == CatchUp.NONE and trigger.at + PUNCTUAL < now:
        reason = "has passed for more than a minute, and the job does not catch up: it would never run"
        raise InvalidOptions([Fault("when", format_datetime(trigger.at), reason)])


def check_fires(trigger: Trigger, now: datetime) -> None:
    """A job that is new, or gets another trigger, must have a fire time. Raises InvalidOptions."""
    if first_fire(trigger, now) is None:
        option, at = ("when", trigger.start) if trigger.end is None else ("end", trigger.end)
        raise InvalidOptions([Fault(option, format_datetime(at), "leaves no fire time")])


def read_trigger(reader: Reader, now: datetime) -> Trigger | None:
    """The trigger that `periodically`, `when`, `end` and `timezone` make; None, with a fault, if there is none."""
    faults_before = len(reader.faults)
    start = reader.text("when", lambda text: parse_datetime(text, now)) or now
    end = reader.text("end", lambda text: parse_datetime(text, now))
    timezone = reader.text("timezone", parse_timezone) or "UTC"
    periodically = str(reader.options.get("periodically", ""))
    if is_cron(periodically):
        expression = reader.text("periodically", lambda text: parse_cron(text, timezone))
        trigger: Trigger = Cron(expression=expression or "", timezone=timezone, start=start, end=end)
    else:
        period = reader.text("periodically", parse_period)
        trigger = Interval(start=start, period=period, end=end) if period else Once(at=start)
        if end is not None and "periodically" not in reader.options:
            reader.fault("end", "is for a periodic job")
        if timezone != "UTC" and len(reader.faults) == faults_before:
            reader.fault("timezone", "is for a cron expression in 'periodically'")
    if len(reader.faults) > faults_before:
        return None
    return trigger


def first_fire(trigger: Trigger, now: datetime) -> datetime | None:
    """The first fire time of a job that begins now: a one-off job keeps its time even when that has passed, a
    periodic one keeps its phase."""
    return trigger.at if isinstance(trigger, Once) else next_after(trigger, now, inclusive=True)


def parse_state(text: str) -> JobState:
    """One of the states that a user may ask for. Raises InvalidValue."""
    if text not in (JobState.RUNNING, JobState.PAUSED):
        raise InvalidValue("must be 'running' or 'paused'")
    return JobState[text.upper()]
