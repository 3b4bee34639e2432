"""The fire times of jobs that run once or every period."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesian_jobs.domain.trigger import LATEST, Cron, Interval, Once, fire_times, next_after

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds of a strategy
periods = st.timedeltas(MICROSECOND, timedelta(days=99_999))


def test_a_job_that_runs_once_fires_at_its_time_and_never_again() -> None:
    once = Once(at=START)
    assert once.start == START
    assert next_after(once, START - MICROSECOND) == START
    assert next_after(once, START) is None
    assert next_after(once, START, inclusive=True) == START
    assert list(fire_times(once, START - timedelta(days=1))) == [START]


def test_the_first_fire_time_of_an_interval_is_its_start() -> None:
    weekly = Interval(start=START, period=timedelta(weeks=1))
    assert next_after(weekly, START - timedelta(days=9999)) == START
    assert next_after(weekly, START, inclusive=True) == START
    assert next_after(weekly, START) == START + timedelta(weeks=1)


@given(start=times, period=periods, after=times, inclusive=st.booleans())
def test_the_next_fire_time_is_in_phase_and_there_is_none_in_between(
    start: datetime, period: timedelta, after: datetime, inclusive: bool
) -> None:
    found = next_after(Interval(start=start, period=period), after, inclusive=inclusive)
    assert found is not None
    assert found >= start
    assert (found - start) % period == timedelta(0)
    assert found >= after if inclusive else found > after
    before = found - period
    assert before < start or (before < after if inclusive else before <= after)


@given(start=times, period=periods, periods_later=st.integers(0, 20))
def test_fire_times_are_the_start_plus_whole_periods(start: datetime, period: timedelta, periods_later: int) -> None:
    after = start + periods_later * period
    interval = Interval(start=start, period=period)
    expected = [start + count * period for count in range(periods_later, periods_later + 5)]
    assert list(islice(fire_times(interval, after, inclusive=True), 5)) == [t for t in expected if t <= LATEST]


def test_a_period_of_a_microsecond_is_found_at_once_after_a_century() -> None:
    interval = Interval(start=START, period=MICROSECOND)
    later = START + timedelta(days=36_500)
    assert next_after(interval, later) == later + MICROSECOND


def test_no_interval_fires_after_the_year_9000() -> None:
    interval = Interval(start=LATEST - timedelta(days=1), period=timedelta(days=1))
    assert list(fire_times(interval, START)) == [LATEST - timedelta(days=1), LATEST]
    assert next_after(interval, datetime.max.replace(tzinfo=UTC)) is None


def test_times_of_any_offset_are_kept_in_utc() -> None:
    berlin = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    interval = Interval(start=berlin, period=timedelta(days=1))
    assert interval.start.tzinfo is UTC
    # A day later by the clock of Berlin is 23 hours later here: a period counts real time.
    assert next_after(interval, berlin + timedelta(minutes=1)) == datetime(2026, 3, 29, 11, tzinfo=UTC)
    assert Once(at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))).at == datetime(
        2025, 12, 31, 19, tzinfo=UTC
    )


def test_a_time_without_an_offset_is_a_programming_error() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    for wrong in (
        lambda: Once(at=naive),
        lambda: Interval(start=naive, period=MICROSECOND),
        lambda: Cron(expression="@daily", timezone="UTC", start=naive),
        lambda: next_after(Once(at=START), naive),
    ):
        with pytest.raises(ValueError, match="offset"):
            wrong()


def test_a_period_is_longer_than_zero() -> None:
    with pytest.raises(ValueError, match="longer than zero"):
        Interval(start=START, period=timedelta(0))
