"""Fire times, and what becomes of those that have passed, held against an oracle that shares no code with them.

`pytest --cases 100000 tests/unit/domain/test_fire_times.py` is the long form: two whole years of each zone.
"""

from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

import pytest
from cron_oracle import ZONES, Oracle
from fire_time_oracle import (
    DAY,
    MICROSECOND,
    Every,
    FireTimes,
    Listed,
    Stretch,
    any_expression,
    any_grace,
    any_moment,
    any_now,
    any_period,
    any_span,
    expected,
    known,
    stretches,
)

from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE, account, judge
from bayesian_jobs.domain.trigger import Cron, Interval, Once, Trigger, fire_times, next_after, parse_cron
from bayesian_jobs.errors import InvalidValue

CASES_AN_EXPRESSION = 10
LONGEST_DOWNTIME = 200 * 366 * DAY
BEGIN, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)


def check(trigger: Trigger, times: FireTimes, first: datetime, now: datetime, random: Random) -> None:
    """Settle what is due from `first` to `now`, in slices of any size: as the oracle says, to the last fire time."""
    grace, limit = any_grace(random, times, now), random.choice([None, 1, 2, 7, 1000])
    if limit is not None and isinstance(times, Listed):
        limit = max(limit, times.first_from(now) // 50)  # or the slices of two years of minutes would never end
    begin = times.first_from(first)
    should = expected(times, begin, now, grace)
    run, following, index = None, times.at(begin), begin
    while following is not None and following <= now:
        judgement = judge(account(trigger, following, now, limit), now, grace)
        if judgement.missed:
            since, until, count = judgement.missed
            assert (since, until) == (times.at(index), times.at(index + count - 1))
            is_last = index + count == should.end
            assert judgement.missed_reason == (MISSED_LATE if should.late and is_last else MISSED_COALESCED)
            index += count
        if judgement.run:
            assert run is None
            run = judgement.run
            assert run == times.at(index)
            index += 1
        following = judgement.next
    assert index == should.end
    assert run == should.run
    assert known(times, following, index)


def check_forward(trigger: Trigger, times: FireTimes, after: datetime) -> None:
    """The next fire times after, and not before, a moment."""
    for inclusive in (False, True):
        index = times.first_from(after if inclusive else after + MICROSECOND)
        for offset, time in enumerate(islice(fire_times(trigger, after, inclusive=inclusive), 5)):
            assert known(times, time, index + offset)
        assert known(times, next_after(trigger, after, inclusive=inclusive), index)


def test_intervals_fire_as_integer_arithmetic_says(cases: int, seed: int) -> None:
    random = Random(f"intervals {seed}")
    for _ in range(cases):
        start, created = any_moment(random, BEGIN, END), any_moment(random, BEGIN, END)
        trigger = Interval(start=start, period=any_period(random))
        times = Every(start, trigger.period)
        first = times.at(times.first_from(created))
        now = first + any_span(random, LONGEST_DOWNTIME // MICROSECOND)
        where = f"{trigger}, created {created}, now {now}"
        assert next_after(trigger, created, inclusive=True) == first, where
        check(trigger, times, first, now, random)
        check_forward(trigger, times, now)


def test_one_off_jobs_fire_once(cases: int, seed: int) -> None:
    random = Random(f"one-off {seed}")
    for _ in range(cases // 10):
        at = any_moment(random, BEGIN, END)
        times = Listed([at], END + LONGEST_DOWNTIME)
        check(Once(at=at), times, at, at + any_span(random, LONGEST_DOWNTIME // MICROSECOND), random)
        check_forward(Once(at=at), times, any_moment(random, BEGIN, END))


@pytest.mark.timeout(0)
@pytest.mark.parametrize("zone", ZONES)
def test_crons_fire_as_the_watched_clock_says(zone: str, cases: int, seed: int) -> None:
    random = Random(f"{zone} {seed}")
    watched = list(stretches(zone, whole=cases >= 20_000))
    for _ in range(max(1, cases // len(ZONES) // CASES_AN_EXPRESSION)):
        check_expression(any_expression(random), random.choice(watched), random)


def check_expression(expression: str, stretch: Stretch, random: Random) -> None:
    times = stretch.fire_times(expression)
    if Oracle(expression).never_fires():
        with pytest.raises(InvalidValue, match="it never fires"):
            parse_cron(expression, stretch.zone)
        return
    text = parse_cron(expression, stretch.zone)
    for _ in range(CASES_AN_EXPRESSION):
        start = any_moment(random, stretch.first, stretch.last)
        trigger = Cron(expression=text, timezone=stretch.zone, start=start)
        since_start = Listed(times.times[times.first_from(start) :], times.end)
        where = f"{expression!r} in {stretch.zone} from {start}"
        first = next_after(trigger, stretch.first, inclusive=True)
        assert known(since_start, first, 0), where
        check_forward(trigger, since_start, any_moment(random, stretch.first - DAY, stretch.last))
        if first is not None and first <= stretch.last:
            check(trigger, since_start, first, any_now(random, first, stretch.last), random)


def test_the_oracle_tells_a_wrong_fire_time() -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)
    times, trigger = Every(start, timedelta(hours=1)), Interval(start=start, period=timedelta(minutes=61))
    with pytest.raises(AssertionError):
        check(trigger, times, start, start + DAY, Random(0))
    with pytest.raises(AssertionError):
        check_forward(trigger, times, start)
