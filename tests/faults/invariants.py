"""Whether all has been settled, and whether what it has come to is exact."""

import time
from collections import Counter
from typing import Any

from sqlalchemy import Engine, text

from bayesian_jobs.domain.run import MAX_RECOVERIES

OPEN = text("""
SELECT 'run', run_id::text, state FROM runs WHERE state IN ('queued', 'running')
UNION ALL
SELECT 'job', job_id, state FROM jobs
WHERE handler <> 'ErrorHandler' AND (state = 'pending' OR state = 'running')
""")
JOBS = text("""
SELECT job_no, job_id, state, period, starts_at, ends_at, next_run_at, error FROM jobs
WHERE handler <> 'ErrorHandler' AND cron IS NULL
""")
RUNS = text("""
SELECT r.run_id::text, r.job_no, r.scheduled_for, r.state, r.missed_count, r.attempt, r.recoveries, r.actor,
       (SELECT count(*) FROM effects WHERE effects.run_id = r.run_id) AS effects
FROM runs AS r
""")
ENTRIES = text("SELECT kwargs ->> 'run_id' FROM jobs WHERE handler = 'ErrorHandler' AND kwargs ? 'run_id'")
LEAVES_EFFECTS = ("InItsTransaction", "FailsOnce", "Fails")


def what_is_open(engine: Engine) -> list[Any]:
    """I5: every run that has not ended, and every job that has a fire time to come; the jobs here have none in the
    end."""
    with engine.connect() as connection:
        return list(connection.execute(OPEN))


def wait_until_settled(engine: Engine, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while open_now := what_is_open(engine):
        assert time.monotonic() < give_up, f"still open after {seconds} seconds: {open_now[:20]}"
        time.sleep(0.05)


def check(engine: Engine) -> list[Any]:
    """I1, I2, I3, I6, I7, I11, of jobs whose fire times are all over, or that were set aside before the first; and
    failure entries. Returns the runs."""
    with engine.connect() as connection:
        jobs = list(connection.execute(JOBS))
        runs = list(connection.execute(RUNS))
        entries = Counter(connection.execute(ENTRIES).scalars())
    for job in jobs:
        of_job = [run for run in runs if run.job_no == job.job_no]
        check_fire_times(job, of_job)
    for run in runs:
        expected = int(run.state == "succeeded" and run.actor in LEAVES_EFFECTS)
        assert run.effects == expected, f"{run.effects} effects of {run}"
        assert entries[run.run_id] == (run.state == "failed"), f"{entries[run.run_id]} failure entries of {run}"
        assert run.recoveries <= MAX_RECOVERIES, run
    assert set(entries) <= {run.run_id for run in runs}
    return runs


def check_fire_times(job: Any, runs: list[Any]) -> None:
    if job.error is not None:
        assert job.state == "paused", job
        assert runs == [], f"{job.job_id} is set aside, and yet has runs: {runs}"
        return
    last = 0 if job.period is None else (job.ends_at - job.starts_at) // job.period
    seen = sorted(
        number + (0 if job.period is None else round((run.scheduled_for - job.starts_at) / job.period))
        for run in runs
        for number in range(run.missed_count or 1)
    )
    assert seen == list(range(last + 1)), f"{job.job_id}: fire times {seen}, expected 0 to {last}"
    assert job.state == "finished", job
    assert all(run.attempt >= 1 for run in runs if run.state in ("succeeded", "failed")), runs
