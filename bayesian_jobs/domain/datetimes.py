"""Points in time as people write them; inside the service all of them are aware and in UTC."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

from bayesian_jobs.errors import InvalidValue

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 9000
LONGEST_TEXT: Final = 100
YEARS_TO_SEARCH: Final = 28
"""After 28 years the weekdays of the Gregorian calendar repeat (apart from the century years)."""

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_ISO: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?\ ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
    r"|[0-9]{8}T[0-9]{4}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?",
    re.IGNORECASE,
)

_WEEKDAY = r"(?:(?P<weekday>mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\ +)?"
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|\.)?"
_YEAR = r"(?P<year>[0-9]{4})"
_TIME = (
    r"(?:,\ *|\ +)(?:at\ +)?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,6}))?)?(?:\ ?(?P<half>am|pm))?"
)
_ZONE = r"(?:\ *(?P<zone>z|utc|gmt|[+-][0-9]{2}:?[0-9]{2}))?"
_HUMAN: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_WEEKDAY}{_MONTH}\ +{_DAY}(?:,?\ +{_YEAR})?{_TIME}{_ZONE}",
        rf"{_WEEKDAY}{_DAY}\ +{_MONTH},?(?:\ +{_YEAR})?{_TIME}{_ZONE}",
        rf"{_WEEKDAY}{_MONTH}\ +{_DAY}{_TIME}{_ZONE}\ +{_YEAR}",
    )
)


class _Given(NamedTuple):
    """What a human text says; a year or weekday that it leaves out is None."""

    year: int | None
    weekday: int | None
    month: int
    day: int
    clock: timedelta
    zone: timezone


def parse_datetime(text: str, now: datetime) -> datetime:
    """The time that `text` names, aware and in UTC.

    ISO 8601 (a date alone means midnight), or a date with the month's name and a time: "Mon Feb 20, 14:56",
    "20 Feb 2027 14:56:00 +0100". Without an offset it is UTC. Without a year it is the next such date not
    before `now`, and when a weekday is given, the next one (within 28 years) on which the weekday is right.
    Raises InvalidValue with the reason.
    """
    plain = _plain(text)
    if _ISO.fullmatch(plain):
        return _in_range(_from_iso(plain))
    for pattern in _HUMAN:
        match = pattern.fullmatch(plain)
        if match:
            return _in_range(_resolved(_given(match), now))
    raise InvalidValue(_why_unreadable(plain))


def format_datetime(value: datetime) -> str:
    """ISO 8601 in UTC: "2026-11-24T05:00:00Z", with microseconds only when they are not zero."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _plain(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidValue('a time is a text such as "2026-11-24T05:00:00Z" or "Mon Feb 20, 14:56"')
    if len(text) > LONGEST_TEXT:
        raise InvalidValue(f"a time has at most {LONGEST_TEXT} characters")
    if not text.isascii() or "\0" in text:
        raise InvalidValue("a time is written in ASCII letters and digits")
    return " ".join(text.split())


def _why_unreadable(text: str) -> str:
    if not text:
        return "an empty text is not a time"
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        return 'a bare number is not a time: write it as "2026-11-24T05:00:00Z"'
    if re.match(r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4}", text):
        return 'day and month cannot be told apart: write it as "2026-11-24T05:00:00Z"'
    if re.match(r"[0-9]{5,}-|.* BC$", text):
        return f"a time lies in the years {FIRST_YEAR} to {LAST_YEAR}"
    if re.search(r"[0-9]\ ?[a-z]{2,5}$|[a-z]+/[a-z_/]+$", text, re.IGNORECASE):
        return 'it ends with an unknown time zone: use "Z" or an offset such as "+01:00"'
    return 'it is not a time such as "2026-11-24T05:00:00Z" or "Mon Feb 20, 14:56"'


def _from_iso(text: str) -> datetime:
    try:
        value = datetime.fromisoformat(text.upper().replace(" Z", "Z").replace(" +", "+").replace(" -", "-"))
    except ValueError as error:
        reason = "an offset is shorter than a day" if "offset" in str(error) else str(error)
        raise InvalidValue(f"there is no such time: {reason}") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _in_range(value: datetime) -> datetime:
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        utc = None
    if utc is None or not FIRST_YEAR <= utc.year <= LAST_YEAR:
        raise InvalidValue(f"a time lies in the years {FIRST_YEAR} to {LAST_YEAR}")
    return utc


def _given(match: re.Match[str]) -> _Given:
    said = match.groupdict()
    return _Given(
        year=int(said["year"]) if said["year"] else None,
        weekday=_WEEKDAYS.index(said["weekday"][:3].lower()) if said["weekday"] else None,
        month=_MONTHS.index(said["month"][:3].lower()) + 1,
        day=int(said["day"]),
        clock=_clock(said),
        zone=_zone(said["zone"]),
    )


def _clock(said: dict[str, str | None]) -> timedelta:
    hour, minute, second = int(said["hour"] or 0), int(said["minute"] or 0), int(said["second"] or 0)
    if said["half"]:
        if not 1 <= hour <= 12:
            raise InvalidValue("with am or pm the hour is 1 to 12")
        hour = hour % 12 + (12 if said["half"].lower() == "pm" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise InvalidValue("there is no such time: hours end at 23, minutes and seconds at 59")
    return timedelta(
        hours=hour, minutes=minute, seconds=second, microseconds=int((said["fraction"] or "0").ljust(6, "0"))
    )


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise InvalidValue(f'"{text}" is not an offset from UTC')
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _resolved(given: _Given, now: datetime) -> datetime:
    if given.year is not None:
        value = _on(given, given.year)
        if value is None:
            raise InvalidValue("there is no such date")
        if given.weekday not in (None, value.weekday()):
            raise InvalidValue(f"that date is a {value:%A}")
        return value
    for value in _candidates(given, now):
        if value >= now and given.weekday in (None, value.weekday()):
            return value
    raise InvalidValue(f"there is no such date within {YEARS_TO_SEARCH} years")


def _candidates(given: _Given, now: datetime) -> Iterator[datetime]:
    # From the year before: with an offset, "Dec 31" may still lie ahead when it is January in UTC.
    year = now.astimezone(UTC).year
    for candidate in range(year - 1, year + YEARS_TO_SEARCH + 1):
        value = _on(given, candidate)
        if value is not None:
            yield value


def _on(given: _Given, year: int) -> datetime | None:
    """The given date and time in `year`; None when there is no such date (29 February)."""
    try:
        return datetime(year, given.month, given.day, tzinfo=given.zone) + given.clock
    except ValueError:
        return None
