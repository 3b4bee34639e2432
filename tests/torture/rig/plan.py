"""The plan of the faults: drawn from the seed before anything starts, so that the same seed gives the same plan."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

CALM_EVERY, CALM = 300.0, 30.0
"""Seconds: how long a calm phase lasts, in which no fault begins, and how often there is one."""
LEASE = 10.0
"""Seconds; a worker that is frozen for longer is given up."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: seconds from the beginning; `which`: a number that picks the replica; `lasts`: seconds."""

    at: float
    what: str
    which: int
    lasts: float
    how: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: the mean of the seconds between two of them, the least and the most that one lasts, and in which
    ways it comes."""

    what: str
    every: float
    shortest: float = 0.0
    longest: float = 0.0
    ways: tuple[str, ...] = ("",)


KINDS = (
    Kind("kill", 6, ways=("scheduler", "worker", "scheduler", "worker", "api")),
    Kind("freeze", 25, 1, 8, ways=("scheduler", "worker")),
    Kind("zombie", 60, LEASE + 4, LEASE + 8),
    Kind("restart postgres", 35, 0, 0, ways=("immediate", "immediate", "immediate", "fast")),
    Kind("stop postgres", 120, 2, 8, ways=("immediate", "fast")),
    Kind("end sessions", 25, ways=("all", "listening", "in a transaction")),
    Kind("network", 15, 2, 12, ways=("refuse", "blackhole", "delay", "throttle")),
    Kind("reset", 20, ways=("scheduler", "worker", "api")),
    Kind("swallow", 12, 4, 8, ways=("scheduler", "worker", "api")),
    Kind("clock of a replica", 30, 5, 20, ways=("-3600", "-3", "3", "300")),
    Kind("clock of postgres", 100, 1, 4, ways=("-20", "-2", "2", "20")),
    Kind("read only", 90, 1, 3),
    Kind("lock table", 60, 1, 3, ways=("jobs", "runs", "processes")),
    Kind("full disk", 200, 2, 4),
    Kind("no scheduler", 150, 3, 8),
    Kind("rolling restart", 150),
)
BROKER_KINDS = (
    Kind("restart broker", 30),
    Kind("stop broker", 120, 5, 60),
    Kind("freeze broker", 30, 1, 8),
)
"""Where one carries doorbells. It comes back empty."""
POOLER_KINDS = (
    Kind("restart pooler", 30),
    Kind("stop pooler", 120, 2, 12),
    Kind("freeze pooler", 30, 1, 8),
)
"""Where one is in front of PostgreSQL."""


def draw(seed: int, seconds: float, kinds: tuple[Kind, ...] = KINDS) -> list[Fault]:
    """Every kind at least once, and each as often as its mean has it, in the phases that are not calm."""
    random = Random(seed)
    faults = [fault for kind in kinds for fault in of_kind(random, kind, seconds)]
    return sorted(faults, key=lambda fault: fault.at)


def of_kind(random: Random, kind: Kind, seconds: float) -> Iterator[Fault]:
    once = random.uniform(0, max(seconds - kind.longest, 1))
    times, at = [once], random.expovariate(1 / kind.every)
    while at < seconds:
        times.append(at)
        at += random.expovariate(1 / kind.every)
    for at in times:
        lasts = random.uniform(kind.shortest, kind.longest)
        how, which = random.choice(kind.ways), random.randrange(1000)
        if not calm(at, seconds) and at + lasts <= seconds:
            yield Fault(round(at, 2), kind.what, which, round(lasts, 2), how)


def calm(at: float, seconds: float) -> bool:
    return seconds > CALM_EVERY and at % CALM_EVERY > CALM_EVERY - CALM


def calm_phases(seconds: float) -> list[tuple[float, float]]:
    """From when to when, in seconds from the beginning."""
    if seconds <= CALM_EVERY:
        return []
    ends = [CALM_EVERY * number for number in range(1, int(seconds // CALM_EVERY) + 1)]
    return [(end - CALM, end) for end in ends]
