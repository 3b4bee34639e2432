"""The meaning of cron, written down a second time as plainly as possible: by watching the clock minute by minute."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ZONES = {
    # name: first of two years that hold its peculiar changes
    "Europe/Berlin": 2026,
    "Europe/Dublin": 2026,  # winter is the daylight saving time
    "America/New_York": 2026,
    "America/St_Johns": 2010,  # changed at 00:01 local time
    "America/Havana": 2026,  # midnight does not exist in spring
    "America/Sao_Paulo": 2017,  # midnight does not exist, and 23:00 comes twice
    "America/Santiago": 2026,
    "America/Nuuk": 2026,
    "America/Caracas": 2007,  # half an hour
    "Atlantic/Azores": 2026,  # changes at UTC midnight
    "Africa/Cairo": 2026,
    "Africa/Casablanca": 2026,
    "Asia/Gaza": 2026,
    "Asia/Kathmandu": 1985,
    "Asia/Pyongyang": 2017,
    "Asia/Tehran": 2021,
    "Australia/Sydney": 2026,
    "Australia/Lord_Howe": 2026,  # half an hour
    "Pacific/Auckland": 2026,
    "Pacific/Chatham": 2026,
    "Pacific/Apia": 2011,  # skipped 30 December
    "Pacific/Kwajalein": 1993,  # skipped 21 August
    "Antarctica/Troll": 2026,  # two hours
}
MONTH_NAMES = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
MONTHS = {name: number for number, name in enumerate(MONTH_NAMES, 1)}
WEEKDAYS = {name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}


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


def weekday_rule(text: str) -> tuple[set[int], Callable[[date], bool]]:
    """The weekdays, Sunday = 0, and which of them in a month: "1-5" every, "5#2" the second, "L5" the last Friday."""
    if text.startswith("L"):
        return {int(text[1:]) % 7}, lambda day: (day + 7 * DAY).month != day.month
    weekday, _, place = text.partition("#")
    if place:
        return field_values(weekday, 0, 7, WEEKDAYS), lambda day: (day.day - 1) // 7 + 1 == int(place)
    top = 6 if text.startswith("*") or ("/" in text and "-" not in text) else 7
    text = "0" + text.removeprefix("7") if text.startswith("7/") else text
    return {value % 7 for value in field_values(text, 0, top, WEEKDAYS)}, lambda day: True


class Tick(NamedTuple):
    """One minute: what the local clock shows, and the times it reaches or jumps over for the first time."""

    utc: datetime
    local: datetime
    reached: list[datetime]


class Oracle:
    """One expression of five fields."""

    def __init__(self, expression: str) -> None:
        minute, hour, day, month, weekday = expression.split()
        self.wildcard_hour = hour.startswith("*") or field_values(hour, 0, 23) == set(range(24))
        self._last_day = day == "L"
        self._days = set() if self._last_day else field_values(day, 1, 31)
        self._months = field_values(month, 1, 12, MONTHS)
        self._weekdays = [weekday_rule(part) for part in weekday.split(",")]
        self._either = not day.startswith("*") and not weekday.startswith("*")
        self._clock = {(h, m) for h in field_values(hour, 0, 23) for m in field_values(minute, 0, 59)}

    def matches_date(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        by_day = (day + DAY).day == 1 if self._last_day else day.day in self._days
        by_weekday = any(day.isoweekday() % 7 in weekdays and is_place(day) for weekdays, is_place in self._weekdays)
        return by_day or by_weekday if self._either else by_day and by_weekday

    def matches_clock(self, hour: int, minute: int) -> bool:
        return (hour, minute) in self._clock

    def matches(self, local: datetime) -> bool:
        return self.matches_clock(local.hour, local.minute) and self.matches_date(local.date())

    def never_fires(self) -> bool:
        """No date of 400 years matches; then they repeat."""
        return not any(self.matches_date(date(2000, 1, 1) + number * DAY) for number in range(400 * 366))

    def fire_times(self, clock: list[Tick]) -> list[datetime]:
        """The fire times among the minutes that were watched.

        A job whose hour is fixed fires at the first minute at which the clock has reached, or has jumped over, a
        matching time that it had never reached before. Any other fires whenever the clock shows a matching time.
        """
        if self.wildcard_hour:
            return [tick.utc for tick in clock if self.matches(tick.local)]
        return [tick.utc for tick in clock if any(map(self.matches, tick.reached))]


def watch(zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[Tick]:
    """Every minute from `first` to `last` (UTC, inclusive)."""
    highest = first.astimezone(zone).replace(tzinfo=None) - MINUTE
    for count in range((last - first) // MINUTE + 1):
        utc = first + count * MINUTE
        local = utc.astimezone(zone).replace(tzinfo=None)
        reached = [highest + step * MINUTE for step in range(1, (local - highest) // MINUTE + 1)]
        yield Tick(utc, local, reached)
        highest = max(highest, local)


def clock_changes(zone: ZoneInfo, first_year: int, years: int) -> Iterator[datetime]:
    """The UTC minutes at which the offset of the zone changes."""
    day = datetime(first_year, 1, 1, tzinfo=UTC)
    while day.year < first_year + years:
        offset, following = day.astimezone(zone).utcoffset(), day + timedelta(days=1)
        if following.astimezone(zone).utcoffset() != offset:
            minutes = (day + count * MINUTE for count in range(1, 24 * 60 + 1))
            yield next(minute for minute in minutes if minute.astimezone(zone).utcoffset() != offset)
        day = following
