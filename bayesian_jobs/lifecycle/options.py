"""The options of a job, as people write them, made into a JobSpec: the one place that decides what is acceptable,
whether they come by query, body, YAML file or command line."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

from bayesian_jobs.domain.datetimes import format_datetime, parse_datetime
from bayesian_jobs.domain.durations import format_duration, parse_duration
from bayesian_jobs.domain.job import JobSpec, JobState, parse_job_id
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
from bayesian_jobs.handlers.registry import Registry

OPTIONS = ("job_id", "handler", "kwargs", "periodically", "when", "misfire_grace_time", "state", "timezone")
TRIGGER = ("periodically", "when", "timezone")
ARGUMENTS = ("handler", "kwargs")

T = TypeVar("T")


def parse_options(options: Mapping[str, Any], registry: Registry, now: datetime) -> JobSpec:
    """The job that `options` ask for; an option that is absent or None takes its default.

    Raises InvalidOptions, with everything that is wrong at once.
    """
    reader = Reader(options)
    job_id = reader.text("job_id", parse_job_id)
    fields = read_definition(reader, set(OPTIONS), registry, now)
    state = reader.text("state", parse_state)
    check_arguments(reader, registry, fields["handler"], fields["kwargs"])
    reader.refuse()
    return JobSpec(job_id=job_id or str(uuid4()), state=state or JobState.RUNNING, **fields)


def parse_changes(stored: JobSpec, changes: Mapping[str, Any], registry: Registry, now: datetime) -> JobSpec:
    """`stored` with these changes, None standing for an option's default. What they do not name is not looked at: the
    options of one trigger are named together, and so are the handler and its kwargs.

    Raises InvalidOptions, with everything that is wrong at once.
    """
    named = set(changes)
    reader = Reader(changes if named.isdisjoint(TRIGGER) else {**with_trigger(stored.trigger, changes), **changes})
    spec = replace(stored, **read_definition(reader, named, registry, now))
    if "state" in named:
        reader.required("state", parse_state)
    if not named.isdisjoint(ARGUMENTS):
        check_arguments(reader, registry, spec.handler, spec.kwargs)
    reader.refuse()
    return spec


def read_definition(reader: "Reader", named: set[str], registry: Registry, now: datetime) -> dict[str, Any]:
    """The fields of a JobSpec that the options `named` make; None, with a fault, for what cannot be used."""
    fields: dict[str, Any] = {}
    if "handler" in named:
        fields["handler"] = reader.required("handler", lambda name: offered(registry, name))
    if "kwargs" in named:
        fields["kwargs"] = reader.kwargs()
    if not named.isdisjoint(TRIGGER):
        fields["trigger"] = read_trigger(reader, now)
    if "misfire_grace_time" in named:
        fields["misfire_grace_time"] = reader.text("misfire_grace_time", parse_duration)
    return fields


def check_arguments(reader: "Reader", registry: Registry, handler: str | None, kwargs: dict[str, Any] | None) -> None:
    if handler is not None and kwargs is not None:
        reader.faults.extend(registry.signature(handler).validate(kwargs))


def with_trigger(trigger: Trigger, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options that make `trigger`, to be changed by `changes`: its time zone stays only with a cron expression."""
    options: dict[str, Any] = {"when": format_datetime(trigger.start)}
    if isinstance(trigger, Interval):
        options["periodically"] = format_duration(trigger.period)
    if isinstance(trigger, Cron):
        options["periodically"] = trigger.expression
        if is_cron(str(changes.get("periodically", trigger.expression) or "")):
            options["timezone"] = trigger.timezone
    return options


def check_may_run(spec: JobSpec, now: datetime) -> None:
    """A new job must not be one that would never run. Raises InvalidOptions."""
    trigger, grace = spec.trigger, spec.misfire_grace_time
    if isinstance(trigger, Once) and grace is not None and trigger.at + grace < now:
        reason = "lies in the past, and misfire_grace_time is over as well: the job would never run"
        raise InvalidOptions([Fault("when", format_datetime(trigger.at), reason)])


class Reader:
    """Reads option after option, and collects what is wrong with them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = {name: value for name, value in options.items() if value is not None}
        self.faults = [
            Fault(name, options[name], f"is not an option of a job (there are: {', '.join(OPTIONS)})")
            for name in options
            if name not in OPTIONS
        ]

    def text(self, option: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of the option's text; None if the option is absent, or, with a fault, unusable."""
        value = self.options.get(option)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(option, "must be text")
            return None
        try:
            return parse(value)
        except InvalidValue as error:
            self.fault(option, str(error))
        except InvalidOptions as error:
            self.faults.extend(error.faults)
        return None

    def required(self, option: str, parse: Callable[[str], T]) -> T | None:
        if option not in self.options:
            self.fault(option, "is required")
        return self.text(option, parse)

    def kwargs(self) -> dict[str, Any] | None:
        value = self.options.get("kwargs", {})
        if isinstance(value, dict):
            return value
        self.fault("kwargs", "must be an object: the handler's keyword arguments")
        return None

    def fault(self, option: str, reason: str) -> None:
        self.faults.append(Fault(option, self.options.get(option), reason))

    def refuse(self) -> None:
        """Raises InvalidOptions if anything was wrong."""
        if self.faults:
            raise InvalidOptions(self.faults)


def offered(registry: Registry, name: str) -> str:
    """The name, if it is that of a handler for users. Raises InvalidOptions, InvalidValue."""
    if registry.get(name).internal:
        raise InvalidValue("is a handler of the service's own")
    return name


def read_trigger(reader: Reader, now: datetime) -> Trigger | None:
    """The trigger that `periodically`, `when` and `timezone` make; None, with a fault, if there is none."""
    faults_before = len(reader.faults)
    start = reader.text("when", lambda text: parse_datetime(text, now)) or now
    timezone = reader.text("timezone", parse_timezone) or "UTC"
    periodically = str(reader.options.get("periodically", ""))
    if is_cron(periodically):
        expression = reader.text("periodically", lambda text: parse_cron(text, timezone))
        trigger: Trigger = Cron(expression=expression or "", timezone=timezone, start=start)
    else:
        period = reader.text("periodically", parse_duration)
        trigger = Interval(start=start, period=period) if period else Once(at=start)
        if timezone != "UTC" and len(reader.faults) == faults_before:
            reader.fault("timezone", "is for a cron expression in 'periodically'")
    if len(reader.faults) > faults_before:
        return None
    if first_fire(trigger, now) is None:
        reader.fault("when", "leaves no fire time")
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
