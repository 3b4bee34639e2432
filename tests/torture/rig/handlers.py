"""The handlers of the rig: work that leaves evidence outside of the system under test, and all kinds of mischief."""

import ctypes
import os
import resource
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from sqlalchemy import text

from bayesian_jobs.handlers.base import BaseHandler

MEMORY = 2 * 1024**3


class Evident(BaseHandler):
    """Writes down when each attempt begins and ends, on the monotonic clock that all processes share."""

    internal: ClassVar[bool] = True
    time_limit = timedelta(minutes=1)

    def note(self, what: str) -> None:
        run = self.run
        line = f"{what} {run.run_id} {run.attempt} {os.getpid()} {time.monotonic_ns()} {run.job_id}\n"
        evidence = os.open(os.environ["EVIDENCE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(evidence, line.encode())
        finally:
            os.close(evidence)

    def execute(self) -> None:
        self.note("begin")
        try:
            self.misbehave()
        finally:
            self.note("end")

    def misbehave(self) -> None:
        raise NotImplementedError


class Work(Evident):
    """One effect in the run's own transaction."""

    internal = False

    def execute(self, seconds: float = 0) -> None:
        self.note("begin")
        self.run.connection.execute(
            text("INSERT INTO torture.effects VALUES (:run, :attempt)"),
            {"run": self.run.run_id, "attempt": self.run.attempt},
        )
        time.sleep(seconds)
        self.note("end")


class Plain(Evident):
    """No transaction of its own: its end is reported."""

    internal = False

    def execute(self, seconds: float = 0) -> None:
        self.note("begin")
        time.sleep(seconds)
        self.note("end")


class Raises(Evident):
    """Fails twice on each run, after it has written."""

    internal = False
    max_retries = 1
    retry_delay = timedelta(seconds=1)

    def misbehave(self) -> None:
        self.run.connection.execute(
            text("INSERT INTO torture.effects VALUES (:run, :attempt)"),
            {"run": self.run.run_id, "attempt": self.run.attempt},
        )
        raise ValueError("as it is meant to")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Unstorable(Evident):
    """Fails with what a database cannot store, or Python cannot print."""

    internal = False

    def misbehave(self) -> None:
        if self.run.scheduled_for.second % 2:
            raise Unprintable
        raise ValueError("\0\ud800" * 10_000)


class Hangs(Evident):
    """Runs into its time limit."""

    internal = False
    time_limit = timedelta(seconds=2)

    def misbehave(self) -> None:
        while True:
            time.sleep(0.05)


class SystemExits(Evident):
    internal = False

    def misbehave(self) -> None:
        sys.exit(1)


class EatsMemory(Evident):
    """More than the process may have."""

    internal = False

    def misbehave(self) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY // 16, before[1]))
        try:
            bytearray(MEMORY)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


class PrintsALot(Evident):
    internal = False

    def misbehave(self) -> None:
        for _ in range(2000):
            sys.stdout.write("x" * 1000 + "\n")


class BlocksSigterm(Evident):
    """In the thread that executes it; its children inherit that."""

    internal = False

    def misbehave(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        time.sleep(0.2)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ForksAndReturnsTwice(Evident):
    """The child goes on as if it were the worker, for a moment: it inherits all sockets."""

    internal = False

    def execute(self) -> None:
        self.note("begin")
        child = os.fork()
        if child == 0:
            signal.alarm(2)
            return
        os.waitpid(child, 0)
        self.note("end")


class Exits(Evident):
    """Ends its process without a word."""

    internal = False

    def execute(self) -> None:
        self.note("begin")
        os._exit(9)


class Segfaults(Evident):
    internal = False

    def execute(self) -> None:
        self.note("begin")
        ctypes.string_at(0)


class ClosesFiles(Evident):
    """Every file of its process, the sockets to the database among them."""

    internal = False

    def execute(self) -> None:
        self.note("begin")
        os.closerange(3, 4096)
        self.note("end")


MILD = ("Raises", "Unstorable", "Hangs", "SystemExits", "EatsMemory", "PrintsALot", "BlocksSigterm")
"""Their worker goes on."""
DEADLY = ("Exits", "Segfaults", "ClosesFiles", "ForksAndReturnsTwice")
"""Their worker does not, or may not."""
