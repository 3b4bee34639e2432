"""A supervisor over stand-in commands, with a clock that only the test moves."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from bayesian_jobs.up.child import Command
from bayesian_jobs.up.console import Console
from bayesian_jobs.up.supervisor import Supervisor

DEADLINE = 20.0


@dataclass
class Stage:
    """A supervisor with everything around it that a test wants to see or change."""

    log: io.StringIO = field(default_factory=io.StringIO)
    now: float = 1000.0
    ready: bool = False
    kill_after: float = 10.0
    greeted: list[Mapping[str, int]] = field(default_factory=list)
    supervisors: list[Supervisor] = field(default_factory=list)

    def supervise(self, **scripts: str) -> Supervisor:
        """A started supervisor of Python scripts."""
        supervisor = Supervisor(
            [Command(name, (sys.executable, "-c", script)) for name, script in scripts.items()],
            os.environ,
            Console(self.log),
            is_ready=lambda: self.ready,
            on_ready=self.greeted.append,
            kill_after=self.kill_after,
            clock=lambda: self.now,
        )
        self.supervisors.append(supervisor)
        supervisor.start()
        return supervisor

    def running(self, **scripts: str) -> Supervisor:
        """The same, beyond its start-up."""
        self.ready = True
        supervisor = self.supervise(**scripts)
        self.turn_until(lambda: bool(self.greeted))
        return supervisor

    def turn_until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < give_up, f"not within {DEADLINE} s; the log:\n{self.log.getvalue()}"
            for supervisor in self.supervisors:
                supervisor.turn()

    def says(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.log.getvalue()


@pytest.fixture
def stage() -> Iterator[Stage]:
    one = Stage()
    yield one
    for supervisor in one.supervisors:
        supervisor.close()
