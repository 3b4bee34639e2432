"""./dev torture --recovery N: how soon all is well again after one fault on a service at work, N times each."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from uuid import uuid4

from rig import jobs
from rig.fleet import Fleet, Size
from rig.history import Mark, read_marks
from rig.replica import Replica
from rig.servers import Server

ON_TIME = 1.0
"""Seconds; a start that is later than that is not on time."""
WATCHED_AFTER_A_KILL, WATCHED_AFTER_A_RESTART = 3.0, 10.0
"""Seconds for which each start is looked at."""
NOW = "SELECT clock_timestamp()"
STARTS = """
SELECT extract(epoch FROM s.at - %s)::float8, extract(epoch FROM s.at - s.scheduled_for)::float8
FROM torture.steps s JOIN public.jobs j USING (job_no)
WHERE s.after = 'running' AND s.attempt = 1 AND s.scheduled_for BETWEEN %s AND %s AND j.job_id LIKE 'steady-%%'
ORDER BY s.at
"""
UNSTARTED = """
SELECT (SELECT count(*) FROM jobs WHERE state = 'running' AND next_run_at <= %s),
       (SELECT count(*) FROM runs WHERE state = 'queued' AND scheduled_for <= %s)
"""
OUTCOME = """
SELECT r.state, r.attempt, (SELECT count(*) FROM torture.effects e WHERE e.run_id = r.run_id)
FROM runs r WHERE r.run_id = %s
"""

Scene = Callable[[Fleet, Random], float]
"""Inflicts its fault on a fleet whose processes are all ready, and says how many seconds passed."""
Row = tuple[str, str, float | None, Scene]
"""The fault, until when is measured, how many seconds are promised, and how it is done."""


@dataclass(frozen=True, slots=True)
class Measured:
    fault: str
    what: str
    promised: float | None
    seconds: list[float]


def measure(place: Path, size: Size, times: int, seed: int) -> Iterator[Measured]:
    """Raises RuntimeError if the service does not recover at all, or a late report has changed anything."""
    fleet = Fleet(place, size)
    random = Random(seed)
    try:
        fleet.start()
        jobs.insert(fleet.sql, list(steady()))
        fleet.wait_until(lambda: len(marks(fleet, "steady-")) > 100, "the work has begun")
        for fault, what, promised, scene in scenes(fleet):
            yield Measured(fault, what, promised, [repetition(scene, fleet, random) for _ in range(times)])
    finally:
        fleet.stop()


def repetition(scene: Scene, fleet: Fleet, random: Random) -> float:
    fleet.wait_until(fleet.all_ready, "all processes are ready")
    return scene(fleet, random)


def steady() -> Iterator[jobs.Row]:
    """A run is due every 25 ms."""
    for n in range(40):
        yield f"steady-{n}", "Plain", '{"seconds": 0.01}', "1 second", None, 1 + n / 40, None


def killed_worker(fleet: Fleet, random: Random) -> float:
    job, worker = at_work(fleet)
    with fleet.lock:
        worker.kill()
        since = time.monotonic_ns()
    return seconds_between(since, begin_of(fleet, job, 2))


def frozen_worker(fleet: Fleet, random: Random) -> float:
    job, worker = at_work(fleet)
    with fleet.lock:
        worker.freeze()
    since = time.monotonic_ns()
    again = begin_of(fleet, job, 2)
    fleet.wait_until(lambda: ends_of(fleet, job, 2), f"attempt 2 of {job} has ended")
    with fleet.lock:
        worker.thaw()
    fleet.wait_until(lambda: ends_of(fleet, job, 1), f"attempt 1 of {job} has ended after all")
    fleet.wait_until(fleet.all_ready, "the frozen worker has joined anew")
    (outcome,) = fleet.sql(OUTCOME, again.run_id)
    if outcome != ("succeeded", 2, 1):
        raise RuntimeError(f"a frozen worker has changed run {again.run_id}: (state, attempt, effects) are {outcome}")
    return seconds_between(since, again)


def killed_scheduler(fleet: Fleet, random: Random) -> float:
    """The lateness of the latest start after it."""
    since = now(fleet)
    with fleet.lock:
        random.choice(fleet.of("scheduler")).kill()
    return max(late for _, late in starts_after(fleet, since, WATCHED_AFTER_A_KILL))


def restarted_postgres(fleet: Fleet, random: Random) -> float:
    before = now(fleet)
    fleet.postgres.restart("immediate")
    return until_on_time(fleet, before)


def restarted_broker(fleet: Fleet, random: Random) -> float:
    assert fleet.broker is not None
    return restarted(fleet.broker, fleet)


def restarted_pooler(fleet: Fleet, random: Random) -> float:
    assert fleet.pooler is not None
    return restarted(fleet.pooler, fleet)


def restarted(server: Server, fleet: Fleet) -> float:
    before = now(fleet)
    server.stop()
    server.start()
    return until_on_time(fleet, before)


def until_on_time(fleet: Fleet, before: datetime) -> float:
    """From now, when what was restarted answers, until the last start that was not on time, or the first one if all
    were. What was due in the second before the fault counts as well."""
    since = now(fleet)
    starts = starts_after(fleet, since, WATCHED_AFTER_A_RESTART, due_since=before - timedelta(seconds=1))
    first = min(after for after, _ in starts if after > 0)
    return max([first, *(after for after, late in starts if late > ON_TIME)])


KILLED_WORKER = "worker, SIGKILL", "its run begins again"
BACK = "all starts are on time, from its first answer"
KILLED_SCENE: Row = (*KILLED_WORKER, 2.0, killed_worker)
POOLED_SCENE: Row = (*KILLED_WORKER, 11.0, killed_worker)
SCENES: tuple[Row, ...] = (
    ("worker, SIGSTOP", "its run begins again; its late report is refused", 11.0, frozen_worker),
    ("scheduler, SIGKILL", "lateness of the latest start", 1.0, killed_scheduler),
    ("PostgreSQL, immediate restart", BACK, 5.0, restarted_postgres),
)
BROKER_SCENE: Row = ("broker, restarted empty", BACK, 5.0, restarted_broker)
POOLER_SCENE: Row = ("PgBouncer, killed and started", BACK, 5.0, restarted_pooler)


def scenes(fleet: Fleet) -> Iterator[Row]:
    """No session tells that a worker behind a pooler has died: its lease does."""
    yield KILLED_SCENE if fleet.pooler is None else POOLED_SCENE
    yield from SCENES
    if fleet.broker is not None:
        yield BROKER_SCENE
    if fleet.pooler is not None:
        yield POOLER_SCENE


def at_work(fleet: Fleet) -> tuple[str, Replica]:
    """A new job whose run has begun, and the worker that executes it."""
    job = f"probe-{uuid4()}"
    jobs.insert(fleet.sql, [(job, "Work", '{"seconds": 2}', None, None, 0.0, None)])
    pid = begin_of(fleet, job, 1).pid
    return job, next(each for each in fleet.of("worker") if each.pid == pid)


def begin_of(fleet: Fleet, job: str, attempt: int) -> Mark:
    found = partial(marks_of, fleet, job, "begin", attempt)
    mark: Mark = fleet.wait_until(found, f"attempt {attempt} of {job} has begun")[0]
    return mark


def ends_of(fleet: Fleet, job: str, attempt: int) -> list[Mark]:
    return marks_of(fleet, job, "end", attempt)


def marks_of(fleet: Fleet, job: str, what: str, attempt: int) -> list[Mark]:
    return [mark for mark in marks(fleet, job) if (mark.what, mark.attempt) == (what, attempt)]


def marks(fleet: Fleet, job: str) -> list[Mark]:
    """Of the jobs whose id begins like that."""
    lines = fleet.evidence.read_text().splitlines() if fleet.evidence.exists() else []
    return read_marks(line for line in lines if line.split(" ", 5)[-1].startswith(job))


def starts_after(
    fleet: Fleet, since: datetime, seconds: float, due_since: datetime | None = None
) -> list[tuple[float, float]]:
    """Of each start for the fire times of so many seconds from now: how many seconds after `since`, and how late."""
    time.sleep(seconds)
    until = now(fleet)
    fleet.wait_until(lambda: fleet.sql(UNSTARTED, until, until) == [(0, 0)], "all that was due has started")
    return [(after, late) for after, late in fleet.sql(STARTS, since, due_since or since, until)]


def now(fleet: Fleet) -> datetime:
    ((moment,),) = fleet.sql(NOW)
    assert isinstance(moment, datetime)
    return moment


def seconds_between(since: int, mark: Mark) -> float:
    return (mark.at - since) / 1e9


def table(measured: list[Measured]) -> Iterator[str]:
    times = len(measured[0].seconds)
    yield f"{times} repetitions each, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
    yield f"{'fault':30} {'until':50} {'promised':>9} {'median':>8} {'worst':>8}"
    for each in measured:
        figures = f"{median(each.seconds):6.2f} s {max(each.seconds):6.2f} s"
        yield f"{each.fault:30} {each.what:50} {each.promised or 0:7.0f} s {figures}"
