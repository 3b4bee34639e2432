"""Durations as people write them ("1 week", "5:00:00", "1 day, 0:30:00"), exact to the microsecond."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Final

from bayesian_jobs.errors import InvalidValue

LONGEST: Final = timedelta(days=99_999)
SHORTEST_PERIOD: Final = timedelta(seconds=1)
LONGEST_JITTER: Final = timedelta(days=1)
LONGEST_TEXT: Final = 100

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_UNITS: Final = {
    "weeks": (r"(?:weeks?|wks?|w)", 604_800),
    "days": (r"(?:days?|dys?|d)", 86_400),
    "hours": (r"(?:hours?|hrs?|h)", 3_600),
    "minutes": (r"(?:minutes?|mins?|m)", 60),
    "seconds": (r"(?:seconds?|secs?|s)", 1),
}
_CLOCK = r"(?:(?P<clock_hours>[0-9]+):(?P<clock_minutes>[0-5][0-9]):(?P<clock_seconds>[0-5][0-9](?:\.[0-9]+)?))?"
_GRAMMAR: Final = re.compile(
    "".join(rf"(?:(?P<{name}>{_NUMBER})\s*{words}(?![a-z])(?:\s*,)?\s*)?" for name, (words, _) in _UNITS.items())
    + _CLOCK
)
_CLOCK_UNITS: Final = {"clock_hours": 3_600, "clock_minutes": 60, "clock_seconds": 1}
_SECONDS_PER: Final = {name: seconds for name, (_, seconds) in _UNITS.items()} | _CLOCK_UNITS


def parse_duration(text: str) -> timedelta:
    """The length that `text` names: more than zero, at most 99999 days, a whole number of microseconds.

    Numbers carry a unit (week, day, hour, minute, second and their usual short forms), larger units first,
    and may end with a clock, hours:minutes:seconds. Months and years are refused, because they have no fixed
    length.
    Raises InvalidValue with the reason.
    """
    lowered = _plain(text).lower()
    match = _GRAMMAR.fullmatch(lowered)
    if match is None or not lowered or lowered.endswith(","):
        raise InvalidValue(_why_unreadable(lowered))
    named = {name: number for name, number in match.groupdict().items() if number is not None}
    microseconds = sum(_microseconds(number, _SECONDS_PER[name]) for name, number in named.items())
    return _within_limits(microseconds)


def parse_period(text: str) -> timedelta:
    """How often a job fires: a duration of at least SHORTEST_PERIOD. Raises InvalidValue with the reason."""
    period = parse_duration(text)
    if period < SHORTEST_PERIOD:
        raise InvalidValue(f"a period is at least {format_duration(SHORTEST_PERIOD)}")
    return period


def parse_jitter(text: str) -> timedelta:
    """By how much runs may be delayed: a duration of at most LONGEST_JITTER. Raises InvalidValue with the reason."""
    jitter = parse_duration(text)
    if jitter > LONGEST_JITTER:
        raise InvalidValue(f"a jitter is at most {format_duration(LONGEST_JITTER)}")
    return jitter


def format_duration(value: timedelta) -> str:
    """The shortest usual text of a duration; `parse_duration` reads back exactly the same length."""
    if value < timedelta(days=1):
        return _below_a_day(value)
    rest = value - timedelta(days=value.days)
    if rest:
        return f"{_counted(value.days, 'day')}, {_clock(rest)}"
    if value.days % 7 == 0:
        return _counted(value.days // 7, "week")
    return _counted(value.days, "day")


def _plain(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidValue('a duration is a text such as "1 week" or "5:00:00"')
    if len(text) > LONGEST_TEXT:
        raise InvalidValue(f"a duration has at most {LONGEST_TEXT} characters")
    if not text.isascii() or "\0" in text:
        raise InvalidValue("a duration is written in ASCII letters and digits")
    return text.strip()


def _why_unreadable(text: str) -> str:
    if not text:
        return "an empty text is not a duration"
    if text.startswith("-"):
        return "a duration must be longer than zero"
    if re.fullmatch(_NUMBER, text):
        return f'a number needs a unit, such as "{text} seconds" or "{text} minutes"'
    if re.fullmatch(r"[0-9]+:[0-9]+", text):
        return 'it may mean hours and minutes or minutes and seconds: write "h:mm:ss", for example "0:01:30"'
    if re.search(r"[0-9]\s*(?:mo|months?|y|yrs?|years?)\b", text):
        return "months and years have no fixed length: use days or weeks, or a cron expression"
    return 'it is not a duration such as "1 week", "90 seconds", "5:00:00" or "1 day, 0:30:00"'


def _microseconds(number: str, seconds: int) -> int:
    numerator, denominator = Decimal(number).as_integer_ratio()
    whole, remainder = divmod(numerator * seconds * 1_000_000, denominator)
    if remainder:
        raise InvalidValue("a duration is a whole number of microseconds")
    return whole


def _within_limits(microseconds: int) -> timedelta:
    if microseconds <= 0:
        raise InvalidValue("a duration must be longer than zero")
    if microseconds > LONGEST // timedelta(microseconds=1):
        raise InvalidValue(f"a duration is at most {LONGEST.days} days")
    return timedelta(microseconds=microseconds)


def _below_a_day(value: timedelta) -> str:
    for unit, length in (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if value and not value % length:
            return _counted(value // length, unit)
    if value >= timedelta(hours=1):
        return _clock(value)
    if not value.microseconds:
        return _counted(value.seconds, "second")
    return f"{value.seconds}{_fraction(value)} seconds"


def _clock(value: timedelta) -> str:
    minutes, seconds = divmod(value.seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}{_fraction(value)}"


def _fraction(value: timedelta) -> str:
    return f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
