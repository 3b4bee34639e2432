"""What becomes of fire times that have passed, against an oracle that looks at each of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE, Account, Judgement, account, judge
from bayesian_jobs.domain.trigger import LATEST, Cron, Interval, Once, Trigger, fire_times, next_after

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = Interval(start=START, period=HOUR)
EVERY_MINUTE = Cron(expression="* * * * *", timezone="UTC", start=START)


def due(trigger: Trigger, first: datetime, now: datetime) -> list[datetime]:
    found = []
    for time in fire_times(trigger, first, inclusive=True):
        if time > now:
            break
        found.append(time)
    return found


@pytest.mark.parametrize("trigger", [HOURLY, Cron(expression="@hourly", timezone="UTC", start=START)])
def test_an_account_holds_the_fire_times_up_to_now(trigger: Trigger) -> None:
    hours = [START + count * HOUR for count in range(6)]
    assert account(trigger, START, START) == Account(START, None, START, hours[1], 1)
    assert account(trigger, START, hours[4]) == Account(START, hours[3], hours[4], hours[5], 5)
    assert account(trigger, hours[3], hours[5] - timedelta(microseconds=1)) == Account(
        hours[3], hours[3], hours[4], hours[5], 2
    )


def test_a_job_that_runs_once_has_one_fire_time_and_no_next() -> None:
    assert account(Once(at=START), START, START + HOUR) == Account(START, None, START, None, 1)


def test_a_century_of_missed_microseconds_is_counted_at_once() -> None:
    century = timedelta(days=36_500)
    microsecond = timedelta(microseconds=1)
    now = START + century
    assert account(Interval(start=START, period=microsecond), START, now) == Account(
        START, now - microsecond, now, now + microsecond, century // microsecond + 1
    )


def test_a_year_of_missed_minutes_is_settled_in_slices_that_join_without_a_gap() -> None:
    now = START + timedelta(days=2, seconds=30)
    settled, first, slices = 0, START, 0
    while True:
        judgement = judge(account(EVERY_MINUTE, first, now, limit=1000), now, HOUR)
        slices += 1
        assert judgement.missed is not None
        begin, end, count = judgement.missed
        assert begin == first
        assert count == (end - begin) // timedelta(minutes=1) + 1
        assert judgement.missed_reason == MISSED_COALESCED
        settled += count
        assert judgement.next is not None
        if judgement.run:
            break
        first = judgement.next
        assert first == end + timedelta(minutes=1)
    assert judgement.run == now.replace(second=0)
    assert settled + 1 == 2 * 24 * 60 + 1
    assert slices == 3
    assert judgement.next == judgement.run + timedelta(minutes=1)


def test_a_slice_that_ends_exactly_at_the_last_due_time_still_runs_it() -> None:
    now = START + timedelta(minutes=9)
    found = account(EVERY_MINUTE, START, now, limit=10)
    assert found.count == 10
    assert judge(found, now, None).run == now


def test_a_slice_whose_next_time_is_due_at_this_very_moment_runs_nothing() -> None:
    now = START + timedelta(minutes=10)
    found = account(EVERY_MINUTE, START, now, limit=10)
    assert judge(found, now, None) == Judgement(None, (START, found.last, 10), MISSED_COALESCED, now)


def test_a_fire_time_that_the_trigger_no_longer_knows_is_accounted_for_all_the_same() -> None:
    moved = START + timedelta(minutes=17)
    trigger = Cron(expression="@hourly", timezone="UTC", start=START)
    assert account(trigger, moved, START + 2 * HOUR) == Account(
        moved, START + HOUR, START + 2 * HOUR, START + 3 * HOUR, 3
    )


def test_an_account_without_a_due_fire_time_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="due"):
        account(HOURLY, START, START - HOUR)
    with pytest.raises(ValueError, match="at least one"):
        account(EVERY_MINUTE, START, START, limit=0)


@pytest.mark.parametrize(
    ("grace", "run", "missed", "reason"),
    [
        (None, START + 2 * HOUR, (START, START + HOUR, 2), MISSED_COALESCED),
        (HOUR, START + 2 * HOUR, (START, START + HOUR, 2), MISSED_COALESCED),
        (HOUR / 2, START + 2 * HOUR, (START, START + HOUR, 2), MISSED_COALESCED),  # to the microsecond
        (HOUR / 2 - timedelta(microseconds=1), None, (START, START + 2 * HOUR, 3), MISSED_LATE),
    ],
)
def test_the_last_fire_time_runs_when_it_is_within_grace(
    grace: timedelta | None, run: datetime | None, missed: tuple[datetime, datetime, int], reason: str
) -> None:
    now = START + 2.5 * HOUR
    assert judge(account(HOURLY, START, now), now, grace) == Judgement(run, missed, reason, START + 3 * HOUR)


def test_a_single_fire_time_on_time_runs_and_nothing_is_missed() -> None:
    assert judge(account(HOURLY, START, START), START, HOUR) == Judgement(START, None, None, START + HOUR)


def test_a_late_job_that_runs_once_is_missed_and_has_no_next() -> None:
    found = account(Once(at=START), START, START + 2 * HOUR)
    assert judge(found, START + 2 * HOUR, HOUR) == Judgement(None, (START, START, 1), MISSED_LATE, None)


def test_the_last_fire_time_of_all_has_no_next() -> None:
    found = account(Interval(start=LATEST - HOUR, period=HOUR), LATEST - HOUR, LATEST)
    assert (found.last, found.next, found.count) == (LATEST, None, 2)
    assert judge(found, LATEST, timedelta(days=99_999)).run == LATEST


triggers = st.one_of(
    st.builds(lambda minutes: Interval(start=START, period=timedelta(minutes=minutes)), st.integers(1, 300)),
    st.builds(
        lambda text, zone: Cron(expression=text, timezone=zone, start=START - timedelta(days=400)),
        st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 */5 * * *", "0 9 * * 1-5", "0 0 1 * *"]),
        st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    trigger=triggers,
    begin=st.timedeltas(timedelta(0), timedelta(days=200)),
    lateness=st.timedeltas(timedelta(0), timedelta(days=3)),
    grace=st.none() | st.timedeltas(timedelta(0), timedelta(days=4)),
    limit=st.none() | st.integers(1, 50),
)
def test_each_fire_time_is_one_run_or_in_one_missed_record_whatever_the_slices(
    trigger: Trigger, begin: timedelta, lateness: timedelta, grace: timedelta | None, limit: int | None
) -> None:
    first = next_after(trigger, START + begin)
    assert first is not None
    now = first + lateness
    expected = due(trigger, first, now)
    runs: list[datetime] = []
    missed: list[datetime] = []
    following: datetime | None = first
    while following is not None and following <= now:
        judgement = judge(account(trigger, following, now, limit), now, grace)
        runs += [judgement.run] if judgement.run else []
        if judgement.missed:
            begin_at, end_at, count = judgement.missed
            inside = due(trigger, begin_at, end_at)
            assert (inside[0], inside[-1], len(inside)) == (begin_at, end_at, count)
            assert judgement.missed_reason in (MISSED_COALESCED, MISSED_LATE)
            missed += inside
        following = judgement.next
    in_grace = grace is None or now - expected[-1] <= grace
    assert runs == (expected[-1:] if in_grace else [])
    assert missed + runs == expected
    assert following == next_after(trigger, now)
