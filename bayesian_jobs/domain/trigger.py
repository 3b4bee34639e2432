"""When a job fires: once, every period, or by cron in a time zone.

The rule of cron at clock changes is in `cron_times`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final

from bayesian_jobs.domain.cron_fields import is_cron
from bayesian_jobs.domain.cron_times import compiled, parse_cron, parse_timezone
from bayesian_jobs.domain.datetimes import LAST_YEAR

__all__ = [
    "LATEST",
    "Cron",
    "Interval",
    "Once",
    "Trigger",
    "fire_times",
    "is_cron",
    "next_after",
    "parse_cron",
    "parse_timezone",
]

LATEST: Final = datetime(LAST_YEAR, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""No trigger fires after this; PostgreSQL and Python both read it back, and can add any period to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """Fires at one time."""

    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _utc(self.at))

    @property
    def start(self) -> datetime:
        return self.at

    @property
    def end(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Fires at start, start + period, start + 2 periods, …, never after `end`; lateness never shifts it."""

    start: datetime
    period: timedelta
    end: datetime | None = None

    def __post_init__(self) -> None:
        _in_utc(self)
        if self.period <= timedelta(0):
            raise ValueError("a period is longer than zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """Fires when the clock of a time zone matches the expression, never before `start` and never after `end`."""

    expression: str
    timezone: str
    start: datetime
    end: datetime | None = None

    def __post_init__(self) -> None:
        _in_utc(self)


Trigger = Once | Interval | Cron


def next_after(trigger: Trigger, after: datetime, *, inclusive: bool = False) -> datetime | None:
    """The first fire time later than `after` (`inclusive`: not before it), in UTC; None: there is none."""
    return next(fire_times(trigger, after, inclusive=inclusive), None)


def fire_times(trigger: Trigger, after: datetime, *, inclusive: bool = False) -> Iterator[datetime]:
    """The fire times later than `after` (`inclusive`: not before it), ascending, in UTC, up to LATEST."""
    if _utc(after) > LATEST:
        return iter(())
    first = _utc(after) if inclusive else _utc(after) + timedelta(microseconds=1)
    match trigger:
        case Once():
            return iter([trigger.at] if first <= trigger.at <= LATEST else [])
        case Interval():
            return _interval_times(trigger, first)
        case Cron():
            times = compiled(trigger.expression, trigger.timezone).since(max(first, trigger.start))
            return times if trigger.end is None else takewhile(trigger.end.__ge__, times)


def _interval_times(trigger: Interval, first: datetime) -> Iterator[datetime]:
    """Exact integer arithmetic in microseconds; the last fire time is the one before LATEST or the end is passed."""
    periods = max(0, -((trigger.start - first) // trigger.period))
    last = (min(LATEST, trigger.end or LATEST) - trigger.start) // trigger.period
    while periods <= last:
        yield trigger.start + periods * trigger.period
        periods += 1


def _in_utc(trigger: Interval | Cron) -> None:
    object.__setattr__(trigger, "start", _utc(trigger.start))
    if trigger.end is not None:
        object.__setattr__(trigger, "end", _utc(trigger.end))


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without an offset cannot be compared with the clock")
    return value.astimezone(UTC)
