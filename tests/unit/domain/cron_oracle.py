"""The meaning of cron, written down a second time as plainly as possible: by watching the clock minute by minute."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
_MONTH_NAMES = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}


def field_values(text: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    """The values of one field: lists, ranges, steps; a start with a step runs to the end of the field."""
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if first == "*":
            begin, end = low, high
        else:
            begin = (names or {}).get(first) if first.isalpha() else int(first)
            end = begin if not step else high
            if last:
                end = (names or {}).get(last) if last.isalpha() else int(last)
        values |= set(range(begin, end + 1, int(step or 1)))
    return values


class Tick(NamedTuple):
    """One minute: what the local clock shows, and the times it reaches or jumps over for the first time."""

    utc: datetime
    local: datetime
    reached: list[datetime]


class Oracle:
    """One expression of five plain fields (no names for the n-th or last weekday, no L)."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.wildcard_hour = hour.startswith("*") or field_values(hour, 0, 23) == set(range(24))
        self._days = field_values(day, 1, 31)
        self._months = field_values(month, 1, 12, _MONTHS)
        top = 6 if weekday.startswith("*") or ("/" in weekday and "-" not in weekday) else 7
        self._weekdays = {value % 7 for value in field_values(weekday, 0, top, _WEEKDAYS)}
        self._either = not day.startswith("*") and not weekday.startswith("*")
        self._clock = {(h, m) for h in field_values(hour, 0, 23) for m in field_values(minute, 0, 59)}

    def matches_date(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        by_day, by_weekday = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return by_day or by_weekday if self._either else by_day and by_weekday

    def matches(self, local: datetime) -> bool:
        return (local.hour, local.minute) in self._clock and self.matches_date(local.date())

    def fire_times(self, clock: list[Tick]) -> list[datetime]:
        """The fire times among the minutes that were watched.

        A job whose hour is fixed fires at the first minute at which the clock has reached, or has jumped over, a
        matching time that it had never reached before. Any other fires whenever the clock shows a matching time.
        """
        if self.wildcard_hour:
            return [tick.utc for tick in clock if self.matches(tick.local)]
        return [tick.utc for tick in clock if any(map(self.matches, tick.reached))]


def watch(zone: ZoneInfo, first: datetime, last: datetime) -> list[Tick]:
    """Every minute from `first` to `last` (UTC, inclusive)."""
    clock = []
    highest = first.astimezone(zone).replace(tzinfo=None) - MINUTE
    for count in range((last - first) // MINUTE + 1):
        utc = first + count * MINUTE
        local = utc.astimezone(zone).replace(tzinfo=None)
        reached = [highest + step * MINUTE for step in range(1, (local - highest) // MINUTE + 1)]
        clock.append(Tick(utc, local, reached))
        highest = max(highest, local)
    return clock


def clock_changes(zone: ZoneInfo, first_year: int, years: int) -> Iterator[datetime]:
    """The UTC minutes at which the offset of the zone changes."""
    day = datetime(first_year, 1, 1, tzinfo=UTC)
    while day.year < first_year + years:
        offset, following = day.astimezone(zone).utcoffset(), day + timedelta(days=1)
        if following.astimezone(zone).utcoffset() != offset:
            minutes = (day + count * MINUTE for count in range(1, 24 * 60 + 1))
            yield next(minute for minute in minutes if minute.astimezone(zone).utcoffset() != offset)
        day = following
