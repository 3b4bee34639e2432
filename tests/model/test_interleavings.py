"""Pairs that race for the same rows, in each order that their statements and COMMITs can take."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from conductor import Player, Work, count_steps, orders, play
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.dispatch import dispatch_batch
from bayesian_jobs.lifecycle.recover import recover_from
from bayesian_jobs.store import begins, migrations, processes
from bayesian_jobs.store.claimed import ClaimedRun
from bayesian_jobs.store.claims import claim_runs
from bayesian_jobs.store.endings import Ending, finish_runs
from bayesian_jobs.store.engine import make_engine

LEASE = timedelta(minutes=1)


class Noop(BaseHandler):
    """Does nothing."""

    def execute(self, number: int = 0) -> None: ...


REGISTRY = Registry([Noop])


class Ground:
    """One job with one queued run, two workers; made anew for each order."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.held: ClaimedRun | None = None

    def clean(self) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM runs; DELETE FROM jobs; DELETE FROM processes")
            self.workers = [processes.register(connection, "worker", LEASE) for _ in range(2)]
        options = {"handler": "Noop", "periodically": "1 hour", "job_id": "job"}
        define.create(self.engine, REGISTRY, options)
        with self.engine.connect() as connection:
            dispatch_batch(connection)

    def start(self) -> None:
        """The run executes on the first worker, whose lease is over."""
        (self.held,) = self.claim(0)(self.engine)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE processes SET lease_until = now() - interval '1 second'")

    def claim(self, number: int) -> Work:
        def work(engine: Engine) -> list[ClaimedRun]:
            with engine.begin() as connection:
                worker = self.workers[number]
                return claim_runs(connection, worker, ["default"], 5, holding=[], lease=LEASE).started

        return work

    def edit(self, engine: Engine) -> None:
        edit.patch(engine, REGISTRY, "job", {"kwargs": {"number": 7}})

    def delete(self, engine: Engine) -> None:
        define.delete(engine, "job")

    def finish(self, engine: Engine) -> bool:
        assert self.held is not None
        with engine.begin() as connection:
            return bool(finish_runs(connection, [Ending(self.held, "succeeded")]))

    def recover(self, engine: Engine) -> int:
        with engine.connect() as connection:
            return recover_from(connection, self.workers[0], 0, timedelta(0))

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)))

    @property
    def runs(self) -> list[tuple[str, int, int]]:
        return [tuple(row) for row in self.rows("SELECT state, attempt, job_version FROM runs")]


@pytest.fixture
def ground(database_url, monkeypatch) -> Iterator[Ground]:
    monkeypatch.setattr(begins, "BEGIN_WITHIN", timedelta(0))  # Nobody here claims ahead of its threads.
    engine = make_engine(database_url, "ground", hot=True)
    yield Ground(engine)
    engine.dispose()


@pytest.fixture
def players(database_url) -> Iterator[list[Player]]:
    engines = [make_engine(database_url, "player", hot=True) for _ in range(2)]
    yield [Player(engine) for engine in engines]
    for engine in engines:
        engine.dispose()


@dataclass(frozen=True)
class Pair:
    works: Callable[[Ground], tuple[Work, Work]]
    check: Callable[[Ground, Any, Any], None]
    prepare: Callable[[Ground], None] = lambda ground: None


def one_of_two_claims_starts_it(ground: Ground, first: Any, second: Any) -> None:
    assert len(first) + len(second) == 1
    assert ground.runs == [("running", 1, 1)]


def a_claim_starts_what_the_job_is_or_nothing(ground: Ground, started: Any, edited: Any) -> None:
    assert edited is None
    if started:
        version = 2 if started[0].kwargs else 1
        assert ground.runs == [("running", 1, version)], started
    else:
        assert ground.runs == [("queued", 0, 2)]


def a_deleted_job_has_no_queued_run(ground: Ground, started: Any, deleted: Any) -> None:
    assert deleted is None
    assert ground.runs == ([("running", 1, 1)] if started else [("cancelled", 0, 1)])


def it_is_finished_or_taken_back(ground: Ground, finished: Any, taken_back: Any) -> None:
    assert (finished is True) + (taken_back == 1) == 1, (finished, taken_back)
    assert ground.runs == [("succeeded", 1, 1) if finished else ("queued", 1, 1)]
    assert ground.rows("SELECT FROM processes WHERE ended_at IS NOT NULL") != []


PAIRS = {
    "claim and claim": Pair(lambda ground: (ground.claim(0), ground.claim(1)), one_of_two_claims_starts_it),
    "claim and edit": Pair(lambda ground: (ground.claim(0), ground.edit), a_claim_starts_what_the_job_is_or_nothing),
    "claim and delete": Pair(lambda ground: (ground.claim(0), ground.delete), a_deleted_job_has_no_queued_run),
    "finish and recover": Pair(
        lambda ground: (ground.finish, ground.recover), it_is_finished_or_taken_back, Ground.start
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_that_race_come_to_the_same_in_each_order_of_their_steps(name, ground, players, capsys):
    pair = PAIRS[name]
    lengths = []
    for player, number in zip(players, (0, 1), strict=True):
        ground.clean()
        pair.prepare(ground)
        lengths.append(count_steps(player, pair.works(ground)[number]))
    tried = 0
    with ground.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
        for order in orders(*lengths):
            ground.clean()
            pair.prepare(ground)
            pair.check(ground, *play(players, pair.works(ground), order, looking))
            tried += 1
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {tried} orders of {lengths[0]} and {lengths[1]} steps\n")


MIGRATING_WAITS = """
SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%migrate' AND
    wait_event_type = 'Lock'
"""


@pytest.mark.parametrize("steps", range(3))
def test_a_claim_during_a_migration_starts_the_run_once(ground, players, steps):
    """The claim has made so many of its steps when the migration begins, and goes on when that is over or waits."""
    url = ground.engine.url.render_as_string(hide_password=False)
    ground.clean()
    migrations.downgrade(url, "-1")
    ground.engine.dispose()
    claim = players[0]
    with ThreadPoolExecutor(2) as pool, ground.engine.connect() as looking:
        looking = looking.execution_options(isolation_level="AUTOCOMMIT")
        claim.begin(pool, ground.claim(0))
        for _ in range(steps):
            claim.step(looking)
        migrating = pool.submit(migrations.upgrade, url)
        while not migrating.done() and looking.execute(text(MIGRATING_WAITS)).first() is None:
            pass
        started = claim.finish()
        migrating.result(60)
    if isinstance(started, DBAPIError):  # The schema that it was prepared for is gone; it has started nothing.
        started = ground.claim(1)(ground.engine)
    assert len(started) == 1
    assert ground.runs == [("running", 1, 1)]
