"""A handler that leaves evidence outside of the system under test, and inside the run's own transaction."""

import os
import time
from datetime import timedelta

from sqlalchemy import text

from bayesian_jobs.handlers.base import BaseHandler


class Mark(BaseHandler):
    """Write down when each attempt begins, is at work and ends, and one effect that commits with the run."""

    time_limit = timedelta(minutes=1)

    def execute(self, seconds: float = 0) -> None:
        self.note("begin")
        self.take_effect()
        self.note("working")
        time.sleep(seconds)
        self.note("end")

    def take_effect(self) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})

    def note(self, what: str) -> None:
        line = f"{self.run.run_id} {self.run.attempt} {os.getpid()} {what} {time.monotonic_ns()}\n"
        evidence = os.open(os.environ["EVIDENCE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(evidence, line.encode())
        finally:
            os.close(evidence)


class KillItself(BaseHandler):
    """End the worker process without a word."""

    def execute(self) -> None:
        os._exit(9)


class CloseFiles(BaseHandler):
    """Closes every file of its process, the sockets to the database among them."""

    def execute(self) -> None:
        os.closerange(3, 4096)


class ReturnsTwice(Mark):
    """Forks, and returns in both processes."""

    def execute(self) -> None:
        self.note("begin")
        if child := os.fork():
            os.waitpid(child, 0)
            self.take_effect()
            self.note("end")
