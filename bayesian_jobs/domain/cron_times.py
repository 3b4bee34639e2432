"""When a cron expression fires in a time zone.

The rule at clock changes is that of Debian's cron, made exact:

- The hour field is fixed (`30 2 * * *`, `0 1-5 * * *`): the job fires when the local clock *first reaches or
  jumps over* the time. A time that is skipped in spring fires at the first instant after the gap (several
  skipped times are one fire there, together with a time that is due at that instant anyway); a time that
  comes twice in autumn fires once, the first time.
- The hour field begins with `*` or names every hour (`*/30 * * * *`, `0 */2 * * *`): the job fires whenever
  the local clock shows a matching time, so in autumn in both passes of the repeated hour, and in spring not
  for skipped times.

Evaluated one UTC day at a time. While the offset does not change around the day, fire times are the local
ones shifted by the offset; around a clock change every local time is converted on its own. That holds as
long as no zone changes its offset twice within a day: since 1970 the shortest distance is 6.9 days (tzdata
2026).
"""

import calendar
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from bayesian_jobs.domain.cron_fields import LAST, DayRule, fields, normalised
from bayesian_jobs.domain.datetimes import LAST_YEAR
from bayesian_jobs.errors import InvalidValue

CALENDAR_CYCLE_MONTHS: Final = 400 * 12
"""After 400 years dates and weekdays repeat: what does not fire until then never fires."""

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)
_SECOND: Final = timedelta(seconds=1)
_NOT_ZONES: Final = ("posix/", "right/", "localtime", "posixrules", "Factory")


def parse_timezone(name: str) -> str:
    """`name` when the time zone database has it; raises InvalidValue otherwise."""
    zone(name)
    return name


def zone(name: object) -> ZoneInfo:
    """The time zone of an IANA name ("Europe/Berlin", "UTC"); raises InvalidValue when there is none."""
    if not isinstance(name, str) or not name or name.startswith(_NOT_ZONES):
        raise InvalidValue('a time zone is an IANA name such as "Europe/Berlin" or "UTC"')
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidValue("the time zone database has no such name") from None


def parse_cron(expression: str, timezone: str = "UTC") -> str:
    """The expression in its normalised spelling.

    Raises InvalidValue when it cannot be read, never fires (30 February), or the time zone is unknown.
    """
    text = normalised(expression)
    compiled(text, timezone)
    return text


@lru_cache(maxsize=4096)
def compiled(expression: str, timezone: str) -> "CronTimes":
    """The evaluated form of an expression in a zone, made once; raises InvalidValue like `parse_cron`."""
    return CronTimes(expression, zone(timezone))


class CronTimes:
    """The fire times of one cron expression in one time zone; immutable."""

    __slots__ = ("_day_rule", "_every_hour", "_minutes", "_offsets", "_zone")

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        parsed = fields(normalised(expression))
        self._zone = zone
        self._day_rule = parsed.day_rule
        self._every_hour = parsed.every_hour
        self._minutes = [60 * hour + minute for hour in parsed.hours for minute in parsed.minutes]
        self._offsets = [minute * _MINUTE for minute in self._minutes]
        if next_date(self._day_rule, date(2000, 1, 1)) is None:
            raise InvalidValue("it never fires: no date matches")

    def since(self, first: datetime) -> Iterator[datetime]:
        """The fire times not before `first`, ascending and in UTC, until the end of the year 9000."""
        first = first.astimezone(UTC)
        day = first.date()
        while day.year <= LAST_YEAR:
            # A local date lies within the UTC days from the one before it to the one after it.
            matching = next_date(self._day_rule, day - _DAY)
            if matching is None:
                return
            day = max(day, matching - _DAY)
            yield from self._in_day(_midnight(day), first)
            day += _DAY

    def _in_day(self, opening: datetime, first: datetime) -> Iterator[datetime]:
        """The fire times from `opening` (UTC midnight) to the next midnight that are not before `first`."""
        offsets = {self._offset_at(opening + days * _DAY) for days in (-1, 0, 1)}
        if len(offsets) > 1:
            return self._converted(opening, first, min(offsets), max(offsets))
        offset = offsets.pop()
        local_times = self._local_times(max(opening, first) + offset, opening + _DAY + offset)
        return (local - offset for local in local_times)

    def _converted(self, opening: datetime, first: datetime, least: timedelta, most: timedelta) -> Iterator[datetime]:
        """The same on a day near a clock change; all offsets of these days lie between `least` and `most`."""
        for hour in range(max(0, (first - opening) // _HOUR), 24):
            begin, end = max(opening + hour * _HOUR, first), opening + (hour + 1) * _HOUR
            local_times = self._local_times(begin + least, end + most)
            instants = {instant for local in local_times for instant in self._instants(local)}
            yield from sorted(instant for instant in instants if begin <= instant < end)

    def _local_times(self, first: datetime, end: datetime) -> Iterator[datetime]:
        """The matching local times from `first` until before `end`, given as if they were UTC."""
        day = first.date()
        while day <= end.date():
            if matches(self._day_rule, day):
                midnight = _midnight(day)
                for time in self._offsets[bisect_left(self._minutes, -((midnight - first) // _MINUTE)) :]:
                    if midnight + time >= end:
                        return
                    yield midnight + time
            day += _DAY

    def _instants(self, local: datetime) -> tuple[datetime, ...]:
        """When the job fires for one local time."""
        aware = local.replace(tzinfo=self._zone)
        before, after = _utcoffset(aware), _utcoffset(aware.replace(fold=1))
        if before == after:
            return (local - before,)
        if before > after:
            return (local - before, local - after) if self._every_hour else (local - before,)
        return () if self._every_hour else (self._change_between(local - after, local - before),)

    def _change_between(self, old: datetime, new: datetime) -> datetime:
        """The instant of the clock change that lies after `old` and not after `new`."""
        offset = self._offset_at(new)
        while new - old > _SECOND:
            middle = old + (new - old) // _SECOND // 2 * _SECOND
            if self._offset_at(middle) == offset:
                new = middle
            else:
                old = middle
        return new

    def _offset_at(self, instant: datetime) -> timedelta:
        return _utcoffset(instant.astimezone(self._zone))


def next_date(rule: DayRule, first: date) -> date | None:
    """The first matching date not before `first`; None: there is none within 400 years or up to year 9000."""
    year, month, day = first.year, first.month, first.day
    for _ in range(CALENDAR_CYCLE_MONTHS + 1):
        if year > LAST_YEAR:
            return None
        found = next((other for other in matching_days(rule, year, month) if other >= day), None)
        if found is not None:
            return date(year, month, found)
        day = 1
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return None


def matches(rule: DayRule, day: date) -> bool:
    """Whether the rule holds on this date."""
    return day.day in matching_days(rule, day.year, day.month)


@lru_cache(maxsize=8192)
def matching_days(rule: DayRule, year: int, month: int) -> tuple[int, ...]:
    """The days of one month on which the rule holds, ascending."""
    if month not in rule.months:
        return ()
    first_weekday, length = calendar.monthrange(year, month)
    found = []
    for day in range(1, length + 1):
        weekday = (first_weekday + day) % 7
        by_day = day in rule.days or (rule.last_day and day == length)
        by_weekday = weekday in rule.weekdays or _is_nth(rule, weekday, day, length)
        if (by_day or by_weekday) if rule.either else (by_day and by_weekday):
            found.append(day)
    return tuple(found)


def _is_nth(rule: DayRule, weekday: int, day: int, length: int) -> bool:
    if not rule.nth_weekdays:
        return False
    place = (weekday, (day + 6) // 7)
    return place in rule.nth_weekdays or (day > length - 7 and (weekday, LAST) in rule.nth_weekdays)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _utcoffset(value: datetime) -> timedelta:
    offset = value.utcoffset()
    assert offset is not None, "a time in a ZoneInfo has an offset"
    return offset
