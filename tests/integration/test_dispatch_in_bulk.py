"""Thousands of random jobs are dispatched again and again, and the whole ledger is held against the oracle.

`pytest --cases 100000 tests/integration/test_dispatch_in_bulk.py` is the long form: two whole years of each zone.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import pytest
from cron_oracle import DAY, ZONES
from fire_time_oracle import (
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
    expected,
    known,
    stretches,
)

from bayesian_jobs.domain.misfire import MISSED_COALESCED, MISSED_LATE
from bayesian_jobs.domain.reasons import SKIPPED_OVERLAP

BATCH, ROUNDS, JOBS_AN_EXPRESSION = 1000, 3, 5

INSERT = """
INSERT INTO jobs (job_id, handler, state, period, cron, timezone, starts_at, next_run_at, misfire_grace_time)
SELECT job_id, 'Noop', 'running', period, cron, :timezone, starts_at, next_run_at, grace
FROM unnest(CAST(:job_ids AS text[]), CAST(:periods AS interval[]), CAST(:crons AS text[]),
            CAST(:starts AS timestamptz[]), CAST(:firsts AS timestamptz[]), CAST(:graces AS interval[]))
    AS u(job_id, period, cron, starts_at, next_run_at, grace)
"""
KINDS = [("queued", None), ("missed", MISSED_LATE), ("missed", MISSED_COALESCED), ("skipped", SKIPPED_OVERLAP)]

FINISH = """
UPDATE runs SET state = 'succeeded', claim_at = NULL, finished_at = now()
WHERE state = 'queued' AND job_id = ANY(:job_ids)
"""


@dataclass
class Case:
    """A job, and where the oracle's account of it stands: its fire times from number `begin` on are not due yet."""

    job_id: str
    times: FireTimes
    cron: str | None
    start: datetime
    grace: timedelta | None
    begin: int
    open_run: bool = False
    over: bool = False


@pytest.mark.timeout(0)
def test_every_fire_time_of_any_job_is_accounted_for_exactly_once(service, cases: int, seed: int) -> None:
    random, records = Random(f"ledger {seed}"), Counter()
    whole = cases >= 20_000
    zones = list(ZONES) if whole else random.sample(list(ZONES), 4)
    for zone in zones:
        watched = list(stretches(zone, whole))
        for size in batches(cases // len(zones)):
            records.update(dispatch_and_check(service, random, random.choice(watched), size))
    assert all(records[kind] > cases / 100 for kind in KINDS), records
    print(f"{cases} jobs, {records.total()} records, no difference: {dict(records)}")  # noqa: T201


def batches(number: int) -> Iterator[int]:
    while number > 0:
        yield min(number, BATCH)
        number -= BATCH


def dispatch_and_check(service, random: Random, stretch: Stretch, size: int) -> Iterator[tuple[str, str | None]]:
    """Yields the state and the reason of each record."""
    service.execute_sql("TRUNCATE runs, jobs")
    begin = any_moment(random, stretch.first, stretch.last)
    moments = sorted({any_now(random, begin, stretch.last) for _ in range(ROUNDS)})
    jobs = list(any_jobs(random, stretch, begin, moments, size))
    insert(service, jobs, stretch.zone)
    for now in moments:
        for job in jobs:
            job.open_run = job.open_run and random.random() < 0.5
        service.execute_sql(FINISH, job_ids=[job.job_id for job in jobs if not job.open_run])
        while service.dispatch(now):
            pass
        yield from check(service, jobs, now, f"{stretch.zone}, from {begin} to {now}")


def any_jobs(random: Random, stretch: Stretch, begin: datetime, moments: list[datetime], size: int) -> Iterator[Case]:
    """Jobs that are defined at `begin` and start before or after it: a third each by interval, by cron, once."""
    crons: list[tuple[str, Listed]] = []
    for number in range(size):
        start = any_moment(random, begin - 500 * DAY, begin) if random.random() < 0.5 else begin
        if random.random() < 0.3:
            start = any_moment(random, begin, stretch.last)
        cron = None
        match number % 5:
            case 0:
                times: FireTimes = Listed([max(start, begin)], stretch.last + 10**6 * DAY)
            case 1 | 2:
                times = Every(start, any_period(random))
            case _:
                if not crons or random.random() < 1 / JOBS_AN_EXPRESSION:
                    crons.append((text := any_expression(random), stretch.fire_times(text)))
                cron, listed = random.choice(crons[-3:])
                times = Listed(listed.times[listed.first_from(max(start, begin)) :], listed.end)
        index = times.first_from(begin)
        if times.at(index) is not None:
            yield Case(f"job-{number}", times, cron, start, any_grace(random, times, random.choice(moments)), index)


def insert(service, jobs: list[Case], timezone: str) -> None:
    service.execute_sql(
        INSERT,
        timezone=timezone,
        job_ids=[job.job_id for job in jobs],
        periods=[getattr(job.times, "period", None) for job in jobs],
        crons=[job.cron for job in jobs],
        starts=[job.start for job in jobs],
        firsts=[job.times.at(job.begin) for job in jobs],
        graces=[job.grace for job in jobs],
    )


def check(service, jobs: list[Case], now: datetime, where: str) -> Iterator[tuple[str, str | None]]:
    """What this dispatch has added to the ledger, which is yielded, and what it has left in the jobs."""
    added: dict[str, list] = {job.job_id: [] for job in jobs}
    for row in service.execute_sql(
        "SELECT job_id, scheduled_for, state, missed_until, missed_count, reason FROM runs"
        " WHERE queued_at = :now ORDER BY job_id, scheduled_for",
        now=now,
    ):
        added[row.job_id].append(row)
        yield row.state, row.reason
    stored = {row.job_id: row for row in service.execute_sql("SELECT job_id, state, next_run_at FROM jobs")}
    for job in jobs:
        try:
            check_job(job, now, added[job.job_id], stored[job.job_id])
        except AssertionError as error:
            raise AssertionError(f"{where}: {job} left {added[job.job_id]} and {stored[job.job_id]}") from error


def check_job(job: Case, now: datetime, records: list, stored) -> None:
    due = not job.over and job.times.first_from(now + MICROSECOND) > job.begin
    if not due:
        assert records == []
    else:
        should = expected(job.times, job.begin, now, job.grace, job.open_run)
        run = records.pop() if should.run else None
        assert run is None or (run.state, run.scheduled_for) == ("queued", should.run)
        check_missed(job, should, records)
        job.begin, job.open_run = should.end, job.open_run or run is not None
        job.over = job.cron is None and job.times.at(job.begin) is None
        assert (stored.state == "finished") == (job.over and should.late and not job.open_run)
    assert stored.next_run_at is None if job.over else known(job.times, stored.next_run_at, job.begin)


def check_missed(job: Case, should, records: list) -> None:
    """The records join without a gap, from the first that is due up to the run, or to the last that is due."""
    index = should.begin
    for record in records:
        count = record.missed_count
        assert (record.scheduled_for, record.missed_until) == (job.times.at(index), job.times.at(index + count - 1))
        index += count
        is_last = index == should.end
        if is_last and should.late:
            assert (record.state, record.reason) == ("missed", MISSED_LATE)
        elif is_last:
            assert (record.state, record.reason) == ("skipped", SKIPPED_OVERLAP)
        else:
            assert (record.state, record.reason) == ("missed", MISSED_COALESCED)
    assert index - should.begin == should.missed
