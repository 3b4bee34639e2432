"""What a peer's script is asked to measure, in $PEER_ERRAND as JSON, and how it answers: JSON as its last line.

Standard library only, since every peer's environment runs it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

VARIABLE = "PEER_ERRAND"
PATIENCE = 240.0
"""Seconds after which what was asked for is reported as not coming."""
LEAD = 2.0
APART = 0.097
"""Seconds: until the first fire time when lateness is measured, and from each to the next one."""

ENDED: list[Callable[[], str | None]] = []
"""Of each process that runs for the script: what it said last, if it has ended."""


@dataclass(frozen=True, slots=True)
class Errand:
    measure: str
    """dispatch, execute, lateness or drain."""
    database: str
    """libpq's address of an empty PostgreSQL database of the peer's own."""
    service: str
    """The address of the other server that the peer asks for, or nothing."""
    directory: str
    """Where the script may leave files; gone afterwards."""
    number: int
    """Of jobs, runs or messages."""
    threads: int
    processes: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    """What distinguishes two set-ups of one peer."""


@cache
def received() -> Errand:
    return Errand(**json.loads(os.environ[VARIABLE]))


def answer(**measured: Any) -> None:
    print(json.dumps(measured), flush=True)


@contextmanager
def running(*arguments: str) -> Iterator[None]:
    """A process of the peer, `python -m ARGUMENTS` in the peer's environment, until the block ends (or this process
    does). It receives the same errand."""
    log = Path(received().directory) / "peer.log"
    leash = (sys.executable, "-m", "bayesian_jobs.up.leash", str(os.getpid()))
    with log.open("ab") as output:
        started = subprocess.Popen([*leash, sys.executable, "-m", *arguments], stdout=output, stderr=output)

    def ended() -> str | None:
        if started.poll() is None:
            return None
        said = log.read_text(errors="replace").strip().splitlines() or ["without a word"]
        return f"{arguments[0]} has ended by itself: {said[-1]}"

    ENDED.append(ended)
    try:
        yield
        check_running()
    finally:
        ENDED.remove(ended)
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def check_running() -> None:
    for ended in ENDED:
        if said := ended():
            raise RuntimeError(said)


def seconds_between(begun: Callable[[], object], done: Callable[[], object]) -> float:
    """From the first sign of work until the last outcome is kept, as the peer's own store tells."""
    wait_until(begun, every=0.002)
    began = time.perf_counter()
    wait_until(done, every=0.02)
    return time.perf_counter() - began


def wait_until(done: Callable[[], object], every: float) -> None:
    """Raises TimeoutError after PATIENCE, RuntimeError when a process that was to do it has ended."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        check_running()
        if time.monotonic() > deadline:
            raise TimeoutError(f"what was waited for did not come within {PATIENCE:.0f} s")
        time.sleep(every)


def fire_times(number: int) -> list[float]:
    """Seconds since 1970, the first one LEAD from now, the others APART."""
    return [time.time() + LEAD + each * APART for each in range(number)]


def note(due: float) -> None:
    """For the handler of the lateness measurement, as the first thing that it does."""
    os.write(clock(), f"{due!r} {time.time()!r}\n".encode())


def milliseconds_late() -> list[float]:
    """What the handlers have noted, fire time by fire time; one that began twice is there twice."""
    words = (line.split() for line in clock_file().read_text().splitlines())
    return [(float(at) - float(due)) * 1000 for due, at in words]


@cache
def clock() -> int:
    return os.open(clock_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def clock_file() -> Path:
    return Path(received().directory) / "clock"
