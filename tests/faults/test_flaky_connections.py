"""Connections fail at random, all the time, and the work is done to the end through them: nothing is lost, nothing is
done twice. After Quartz's FlakyJdbcSchedulerTest."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from random import Random
from threading import Lock

import pytest
from effects import Outside
from faulty import FaultySession, drop, make_faulty
from invariants import check, wait_until_settled
from running import scheduler, services, worker
from sqlalchemy import Engine, text

from bayesian_jobs.store.engine import make_engine

P = 0.2
ADD_JOBS = text("""
INSERT INTO jobs (job_id, handler, state, period, starts_at, ends_at, next_run_at, catch_up, misfire_grace_time)
SELECT 'job-' || n, CASE n % 2 WHEN 0 THEN 'InItsTransaction' ELSE 'Outside' END, 'running', interval '0.5 seconds',
       t.at, t.at + 4 * interval '0.5 seconds', t.at,
       CASE n % 4 WHEN 3 THEN 'all' ELSE 'latest' END, CASE n % 4 WHEN 3 THEN interval '1 hour' END
FROM generate_series(1, 100) AS n, (SELECT date_trunc('milliseconds', clock_timestamp())) AS t (at)
""")


class Chance:
    """Fails each step with the probability that is given for how it begins; counts what it did."""

    def __init__(self, probabilities: Mapping[str, float], seed: int) -> None:
        self._probabilities = probabilities
        self._random = Random(seed)
        self._lock = Lock()
        self.failures: Counter[str] = Counter()

    def __call__(self, step: str, session: FaultySession | None) -> None:
        for kind, probability in self._probabilities.items():
            if step.startswith(kind):
                with self._lock:
                    fails = self._random.random() < probability
                    self.failures[kind] += fails
                if fails:
                    drop(step, session)


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url, "test")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (run_id uuid)"))
    yield engine
    engine.dispose()


CHANCES = {
    "connect": {"connect": P, "fetch": 0.02},  # Who is never cut off never connects again.
    "before COMMIT": {"before COMMIT": P},
    "after COMMIT": {"after COMMIT": P},
    "fetch": {"fetch": P},
    "all of it": {"connect": P, "before COMMIT": P / 2, "after COMMIT": P / 2, "fetch": 0.02},
}


@pytest.mark.parametrize("chances", CHANCES.values(), ids=CHANCES)
def test_a_hundred_jobs_have_each_of_their_fire_times_settled_once(database, database_url, chances, seed):
    Outside.executed.clear()
    chance = Chance(chances, seed)
    with database.begin() as connection:
        connection.execute(ADD_JOBS)
    with ExitStack() as running:
        for run in (scheduler, scheduler, worker):
            parts = running.enter_context(services(database_url, "flaky"))
            for engine in (parts.engine, parts.hot_engine):
                make_faulty(engine, chance)
            running.enter_context(run(parts))
        wait_until_settled(database, 100)
    runs = check(database)
    assert all(chance.failures[kind] > 0 for kind in chances), chance.failures
    for run in runs:
        if run.actor == "Outside" and run.state == "succeeded":
            assert Outside.executed[run.run_id] >= 1
