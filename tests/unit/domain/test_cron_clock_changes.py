"""Cron where the clocks change, against an oracle that watches the clock minute by minute."""

from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cron_oracle import ZONES, Oracle, clock_changes, watch
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesian_jobs.domain.trigger import Cron, fire_times, parse_cron

EXPRESSIONS = (
    "30 2 * * *",
    "0 0 * * *",
    "30 23 * * *",
    "15,45 1-3 * * *",
    "*/10 2 * * *",
    "59 0-23/3 * * *",
    "0 3 * * SUN",
    "*/30 * * * *",
    "* * * * *",
    "0 */2 * * *",
    "20 0-23 * * *",
    "0 * 1,15 * 5",
)


def fired(expression: str, zone: str, first: datetime, last: datetime) -> list[datetime]:
    trigger = Cron(expression=parse_cron(expression, zone), timezone=zone, start=first)
    return list(takewhile(lambda time: time <= last, fire_times(trigger, first, inclusive=True)))


@pytest.mark.parametrize(("zone", "year"), ZONES.items(), ids=ZONES)
def test_every_expression_fires_as_the_oracle_says_around_each_change_of_two_years(zone: str, year: int) -> None:
    changes = list(clock_changes(ZoneInfo(zone), year, 2))
    assert changes
    for change in changes:
        first, last = change - timedelta(hours=14), change + timedelta(hours=14)
        clock = list(watch(ZoneInfo(zone), first, last))
        for expression in EXPRESSIONS:
            # The first minute of the watch is left out: the oracle does not know what was reached before it.
            expected = [time for time in Oracle(expression).fire_times(clock) if time > first]
            assert fired(expression, zone, first + timedelta(minutes=1), last) == expected, (expression, change)


@settings(max_examples=30, deadline=None)
@given(
    minute=st.sampled_from(["0", "30", "*/7", "10-20", "1,59", "*", "5/13"]),
    hour=st.sampled_from(["0", "2", "23", "1-3", "*", "*/2", "0,1", "*/5", "22,23", "0-23"]),
    day=st.sampled_from(["*", "*/2", "1-15", "29-31", "L"]),
    weekday=st.sampled_from(["*", "SUN", "1-5", "6-7", "*/3"]),
    zone=st.sampled_from(sorted(ZONES)),
    day_of_year=st.integers(0, 730),
)
def test_any_expression_fires_as_the_oracle_says_on_any_two_days(
    minute: str, hour: str, day: str, weekday: str, zone: str, day_of_year: int
) -> None:
    day = "29-31" if day == "L" else day
    expression = f"{minute} {hour} {day} * {weekday}"
    first = datetime(ZONES[zone], 1, 2, tzinfo=UTC) + timedelta(days=day_of_year)
    last = first + timedelta(days=2)
    # Watched from a day before, so that the oracle knows which times the clock had reached.
    clock = list(watch(ZoneInfo(zone), first - timedelta(days=1), last))
    expected = [time for time in Oracle(expression).fire_times(clock) if time >= first]
    assert fired(expression, zone, first, last) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "day", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", date(2026, 3, 29), ["01:00"]),  # right after the gap, 03:00 local
        ("0,30 2,3 * * *", "Europe/Berlin", date(2026, 3, 29), ["01:00", "01:30"]),  # skipped and due: one fire
        ("30 2 * * *", "Europe/Berlin", date(2026, 10, 25), ["00:30"]),  # the first pass
        ("30 2-3 * * *", "Europe/Berlin", date(2026, 10, 25), ["00:30", "02:30"]),
        ("30 */2 * * *", "Europe/Berlin", date(2026, 3, 29), [f"{hour:02}:30" for hour in range(2, 24, 2)]),
        ("15 2 * * *", "Australia/Lord_Howe", date(2026, 10, 3), ["15:30"]),  # a gap of half an hour
        ("45 1 * * *", "Australia/Lord_Howe", date(2026, 4, 4), ["14:45"]),  # the half hour that comes twice
        ("0 12 * * *", "Pacific/Apia", date(2011, 12, 30), ["10:00", "22:00"]),  # a day that does not exist
    ],
)
def test_a_fixed_time_fires_once_on_the_day_of_the_change(
    expression: str, zone: str, day: date, expected: list[str]
) -> None:
    opening = datetime(day.year, day.month, day.day, tzinfo=UTC)
    times = fired(expression, zone, opening, opening + timedelta(hours=23, minutes=59))
    assert [f"{time:%H:%M}" for time in times] == expected


def test_a_job_of_every_half_hour_fires_in_both_passes_of_the_repeated_hour() -> None:
    first = datetime(2026, 10, 24, 23, tzinfo=UTC)
    times = fired("*/30 * * * *", "Europe/Paris", first, first + timedelta(hours=4))
    assert times == [first + count * timedelta(minutes=30) for count in range(9)]
