"""Fire times and what must become of them, written down a second time: in whole microseconds, and from lists that were
made by watching the clock. Nothing of the service is called here."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from cron_oracle import DAY, MINUTE, MONTHS, WEEKDAYS, ZONES, Oracle, clock_changes, watch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
LONGEST = 99_999 * 86_400 * SECOND
"""Microseconds of the longest period and grace."""


def micros(time: datetime) -> int:
    span = time - EPOCH
    return (span.days * 86_400 + span.seconds) * SECOND + span.microseconds


@dataclass(frozen=True)
class Every:
    """The k-th fire time is start + k periods."""

    start: datetime
    period: timedelta

    def at(self, index: int) -> datetime:
        return self.start + index * self.period

    def first_from(self, time: datetime) -> int:
        """The index of the first fire time not before `time`."""
        length = (self.period.days * 86_400 + self.period.seconds) * SECOND + self.period.microseconds
        missing = micros(time) - micros(self.start)
        return 0 if missing <= 0 else (missing + length - 1) // length


@dataclass(frozen=True)
class Listed:
    """Fire times that are all known; none is known after `end`."""

    times: list[datetime]
    end: datetime

    def at(self, index: int) -> datetime | None:
        return self.times[index] if index < len(self.times) else None

    def first_from(self, time: datetime) -> int:
        return bisect_left(self.times, time)


FireTimes = Every | Listed

Minutes = tuple["array[int]", "array[int]"]
"""Minutes of a day, and the number of the minute of the stretch that goes with each."""


def known(times: FireTimes, found: datetime | None, index: int) -> bool:
    """Whether `found` is the fire time of that index; what lies after the end of a list is not known."""
    expected = times.at(index)
    if expected is None:
        assert isinstance(times, Listed)
        return found is None or found > times.end
    return found == expected


class Stretch:
    """Every minute from `first` to `last` in one zone, by the local date and minute of the day that it showed, and by
    those that it was the first to reach (or to jump over)."""

    def __init__(self, zone: str, first: datetime, last: datetime) -> None:
        self.zone, self.first, self.last = zone, first, last
        self._shown: dict[date, Minutes] = {}
        self._reached: dict[date, Minutes] = {}
        # From a day before, so that it is known which times the clock had reached.
        for number, tick in enumerate(watch(ZoneInfo(zone), first - DAY, last), -(DAY // MINUTE)):
            if number >= 0:
                self._note(self._shown, tick.local, number)
                for local in tick.reached:
                    self._note(self._reached, local, number)

    @staticmethod
    def _note(days: dict[date, Minutes], local: datetime, number: int) -> None:
        clocks, numbers = days.setdefault(local.date(), (array("l"), array("l")))
        clocks.append(local.hour * 60 + local.minute)
        numbers.append(number)

    def fire_times(self, expression: str) -> Listed:
        oracle = Oracle(expression)
        clocks = {clock for clock in range(24 * 60) if oracle.matches_clock(*divmod(clock, 60))}
        days = self._shown if oracle.wildcard_hour else self._reached
        numbers = {
            number
            for day, minutes in days.items()
            if oracle.matches_date(day)
            for clock, number in zip(*minutes, strict=True)
            if clock in clocks
        }
        return Listed([self.first + number * MINUTE for number in sorted(numbers)], self.last)


def stretches(zone: str, whole: bool) -> Iterator[Stretch]:
    """Two years of the zone, in one stretch; or three days before and after each change of its clock."""
    year = ZONES[zone]
    if whole:
        yield Stretch(zone, datetime(year, 1, 1, tzinfo=UTC), datetime(year + 2, 1, 1, tzinfo=UTC))
        return
    for change in clock_changes(ZoneInfo(zone), year, 2):
        yield Stretch(zone, change - 3 * DAY, change + 3 * DAY)


@dataclass
class Expected:
    """What a dispatch at `now` must leave of the fire times from `begin`, an index, on: those that are due are numbers
    `begin` to `end`, without `end`; the last of them has a run, or none of them has."""

    begin: int
    end: int
    run: datetime | None
    late: bool
    missed: int = field(init=False)

    def __post_init__(self) -> None:
        self.missed = self.end - self.begin - (self.run is not None)


def expected(times: FireTimes, begin: int, now: datetime, grace: timedelta | None, open_run: bool = False) -> Expected:
    """By the contract: of several, only the last may run; if fire time + grace >= now, and no run is open."""
    end = times.first_from(now + MICROSECOND)
    last = times.at(end - 1)
    assert end > begin
    assert last is not None
    late = grace is not None and last + grace < now
    return Expected(begin, end, None if late or open_run else last, late)


def any_span(random: Random, most: int) -> timedelta:
    """From a microsecond to `most` of them, each order of magnitude as often as any other; often a round number."""
    length = int(10 ** random.uniform(0, len(str(most))))
    unit = random.choice([1, SECOND, 60 * SECOND, 3600 * SECOND])
    return timedelta(microseconds=min(max(length - length % unit, 1), most))


def any_moment(random: Random, first: datetime, last: datetime) -> datetime:
    return first + random.randint(0, micros(last) - micros(first)) * MICROSECOND


def any_now(random: Random, first: datetime, last: datetime) -> datetime:
    """After a downtime that began at `first`, short or long."""
    most = micros(last) - micros(first)
    now = any_moment(random, first, last) if random.random() < 0.5 or not most else first + any_span(random, most)
    return max(first, now.replace(second=0, microsecond=0)) if random.random() < 0.3 else now


def any_period(random: Random) -> timedelta:
    """1 second to 99999 days."""
    return max(any_span(random, LONGEST), timedelta(seconds=1))


def any_grace(random: Random, times: FireTimes, now: datetime) -> timedelta | None:
    """None, any, or one that is over about now, to the microsecond, for the last fire time that is due."""
    form, last = random.random(), times.first_from(now + MICROSECOND) - 1
    time = times.at(last) if last >= 0 else None
    if form < 0.3 and time is not None:
        return max(now - time + random.randint(-1, 1) * MICROSECOND, MICROSECOND)
    return None if form < 0.5 else any_span(random, LONGEST)


def any_expression(random: Random) -> str:
    """A cron expression of any form that is accepted, most of them firing within days."""
    day = "L" if random.random() < 0.03 else any_field(random, 1, 31, rare=0.25)
    month = any_field(random, 1, 12, rare=0.1, names=list(MONTHS))
    return " ".join(
        [any_field(random, 0, 59, rare=0.5), any_field(random, 0, 23, rare=0.6), day, month, any_weekday(random)]
    )


def any_weekday(random: Random) -> str:
    form = random.random()
    if form < 0.04:
        return f"{random.randint(0, 6)}#{random.randint(1, 5)}"
    if form < 0.07:
        return f"L{random.randint(0, 6)}"
    return any_field(random, 0, 7, rare=0.3, names=list(WEEKDAYS))


def any_field(random: Random, low: int, high: int, rare: float, names: list[str] | None = None) -> str:
    if random.random() > rare:
        return "*" if random.random() < 0.7 else f"*/{random.randint(1, high - low)}"
    return ",".join(any_part(random, low, high, names) for _ in range(random.choice([1, 1, 1, 2, 3])))


def any_part(random: Random, low: int, high: int, names: list[str] | None) -> str:
    if names and random.random() < 0.2:
        return random.choice(names)
    first, last = sorted((random.randint(low, high), random.randint(low, high)))
    step = f"/{random.randint(1, high - low)}" if random.random() < 0.3 else ""
    if random.random() < 0.5:
        return f"{first}{step}"
    return f"{first}-{last}{step}" if first < last else str(first)
