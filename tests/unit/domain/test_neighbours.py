"""The last fire time before a time is the one that walking there from the start finds."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesian_jobs.domain.neighbours import latest_before
from bayesian_jobs.domain.trigger import LATEST, Cron, Interval, Once, fire_times

START = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def walked(trigger, at):
    last = None
    for each in fire_times(trigger, START, inclusive=True):
        if each >= at:
            break
        last = each
    return last


moments = st.timedeltas(min_value=timedelta(days=-30), max_value=timedelta(days=150)).map(lambda since: START + since)


@given(at=moments, minutes=st.integers(17, 100_000))
def test_of_an_interval(at, minutes):
    trigger = Interval(start=START, period=timedelta(minutes=minutes))
    assert latest_before(trigger, at) == walked(trigger, at)


@given(
    at=moments,
    expression=st.sampled_from(["0 * * * *", "*/20 3 * * 1-5", "* * 1 * *", "30 2 * * *", "0 0 29 * *"]),
    timezone=st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe"]),
)
def test_of_a_cron(at, expression, timezone):
    trigger = Cron(expression=expression, timezone=timezone, start=START)
    assert latest_before(trigger, at) == walked(trigger, at)


def test_of_a_one_off_job():
    assert latest_before(Once(at=START), START) is None
    assert latest_before(Once(at=START), START + MICROSECOND) == START


@pytest.mark.parametrize(
    "trigger",
    [
        Interval(start=START, period=timedelta(hours=1)),
        Cron(expression="30 * * * *", timezone="UTC", start=START),
    ],
)
def test_the_time_itself_is_not_before_it(trigger):
    second = START + timedelta(hours=1)
    assert latest_before(trigger, START) is None
    assert latest_before(trigger, second) == START
    assert latest_before(trigger, second + MICROSECOND) == second


@given(at=moments, end=moments)
def test_of_what_ends(at, end):
    for trigger in (
        Interval(start=START, period=timedelta(minutes=50), end=end),
        Cron(expression="*/20 3 * * 1-5", timezone="UTC", start=START, end=end),
    ):
        assert latest_before(trigger, at) == walked(trigger, at)


def test_far_away_and_rare_is_found_as_well():
    rare = Cron(expression="0 0 29 2 *", timezone="UTC", start=datetime(1970, 1, 1, tzinfo=UTC))
    assert latest_before(rare, datetime(2103, 6, 1, tzinfo=UTC)) == datetime(2096, 2, 29, tzinfo=UTC)
    seconds = Interval(start=START, period=MICROSECOND)
    assert latest_before(seconds, LATEST) == LATEST - MICROSECOND
    month = Cron(expression="* * * 1 *", timezone="UTC", start=datetime(1970, 1, 1, tzinfo=UTC))
    assert latest_before(month, datetime(8999, 12, 31, tzinfo=UTC)) == datetime(8999, 1, 31, 23, 59, tzinfo=UTC)
