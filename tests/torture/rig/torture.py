"""One torture from its beginning to its verdict."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg2

from rig import checker, history, jobs, nemesis
from rig.client import Client
from rig.coverage import Coverage
from rig.fleet import Fleet, Size
from rig.history import History
from rig.nemesis import Nemesis
from rig.plan import BROKER_KINDS, KINDS, POOLER_KINDS, Kind, calm_phases, draw

RECOVERED = 5.0
"""Seconds after which a fault must no longer be noticed."""
SETTLE_WITHIN = 240.0
STAND = "SELECT clock_timestamp()"
UNSETTLED = """
SELECT (SELECT count(*) FROM runs WHERE state IN ('queued', 'running') AND scheduled_for <= %s),
       (SELECT count(*) FROM jobs WHERE state = 'pending' OR state = 'running' AND next_run_at <= %s)
"""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: for so many seconds of faults, between two calm phases of so many seconds. Most jobs come
    when the first of them is over, and so are admitted under faults."""

    seed: int
    seconds: float
    jobs: int
    size: Size
    calm: float = 12.0

    @property
    def soon(self) -> float:
        """When the first jobs are due, in seconds after they were inserted: by then they have been admitted."""
        return self.calm * 0.7


@dataclass(slots=True)
class Outcome:
    """What was seen and found. Monotonic nanoseconds: `calm`, from when to when no fault was under way."""

    order: Order
    history: History
    coverage: Coverage
    calm: list[tuple[int, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    restarts: int = 0
    swallowed: int = 0
    endings: dict[str, list[int]] = field(default_factory=dict)
    """Exit codes of the processes that ended without the nemesis having ended them."""

    @property
    def held(self) -> bool:
        return not self.coverage.violations and not self.errors


def torture(order: Order, place: Path) -> Outcome:
    """Raises RuntimeError if the service does not come up, or does not settle."""
    fleet = Fleet(place, order.size)
    try:
        fleet.start()
        return inflict(fleet, order)
    finally:
        fleet.stop()


def inflict(fleet: Fleet, order: Order) -> Outcome:
    plan, impossible = nemesis.possible(fleet, draw(order.seed, order.seconds, kinds(fleet)))
    evil, client = Nemesis(fleet, plan), Client(fleet, order.seed)
    seen = History(wall_minus_monotonic=time.time_ns() - time.monotonic_ns())
    client.start()
    jobs.insert(fleet.sql, jobs.draw(order.seed, order.jobs, order.soon, order.seconds))
    begun = time.monotonic() + order.soon + order.calm
    time.sleep(order.soon + order.calm)
    jobs.insert(fleet.sql, jobs.bulk(order.seed, order.jobs, order.seconds))
    evil.run(begun)
    client.stop()
    seen.events, seen.calls = sorted(evil.events, key=lambda event: event.begun), client.calls
    errors = [*evil.errors, *settle(fleet, seen, order.calm)]
    seen.seen_until = time.monotonic_ns()
    history.read(fleet.postgres.connect(), seen, fleet.evidence)
    return Outcome(
        order,
        seen,
        checker.check(seen),
        list(phases(order, seen, begun)),
        errors,
        impossible,
        fleet.postgres.restarts,
        sum(replica.proxy.swallowed for replica in fleet.replicas),
        {replica.name: [code for _, code in replica.endings] for replica in fleet.replicas},
    )


def kinds(fleet: Fleet) -> tuple[Kind, ...]:
    return KINDS + (BROKER_KINDS if fleet.broker else ()) + (POOLER_KINDS if fleet.pooler else ())


def phases(order: Order, seen: History, begun: float) -> Iterator[tuple[int, int]]:
    """From when to when all was calm (monotonic nanoseconds): what was planned, and RECOVERED after the last fault had
    in fact ended."""
    yield nanoseconds(begun - order.calm), nanoseconds(begun)
    for first, last in calm_phases(order.seconds):
        until = nanoseconds(begun + last)
        ended = max((event.ended for event in seen.events if event.begun < until), default=0)
        yield max(nanoseconds(begun + first), ended + nanoseconds(RECOVERED)), until
    yield seen.seen_until - nanoseconds(order.calm), seen.seen_until


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def settle(fleet: Fleet, seen: History, calm: float) -> list[str]:
    """After all is healed: wait until everything that was due by then is over and done with, and for a calm phase."""
    ((until,),) = fleet.wait_until(lambda: answer(fleet, STAND), "PostgreSQL answers")
    assert isinstance(until, datetime)
    seen.settled = until
    give_up = time.monotonic() + SETTLE_WITHIN
    while True:
        found = answer(fleet, UNSETTLED, until, until)
        if found == [(0, 0)]:
            time.sleep(calm)
            return []
        if time.monotonic() > give_up:
            return [f"{SETTLE_WITHIN:.0f} s after the last fault there were still (open runs, due jobs): {found}"]
        time.sleep(0.5)


def answer(fleet: Fleet, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Empty while PostgreSQL cannot answer."""
    try:
        return fleet.sql(statement, *values)
    except psycopg2.Error:
        return []
