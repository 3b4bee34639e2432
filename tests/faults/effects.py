"""Handlers whose work can be counted."""

from datetime import timedelta
from threading import Lock
from typing import ClassVar

from sqlalchemy import text

from bayesian_jobs.handlers.base import BaseHandler

OFTEN = 1000
SOON = timedelta(milliseconds=20)


class InItsTransaction(BaseHandler):
    """One effect, which commits with the run."""

    max_retries = OFTEN
    retry_delay = SOON

    def execute(self) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})


class Outside(BaseHandler):
    """Counts how often each run is executed, in this process."""

    max_retries = OFTEN
    retry_delay = SOON
    lock = Lock()
    executed: ClassVar[dict[str, int]] = {}

    def execute(self) -> None:
        with self.lock:
            self.executed[self.run.run_id] = self.executed.get(self.run.run_id, 0) + 1


class FailsOnce(BaseHandler):
    """Its first attempt fails after it has left an effect."""

    max_retries = OFTEN
    retry_delay = SOON

    def execute(self) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        if self.run.attempt == 1:
            raise RuntimeError("the first attempt fails")


class Fails(BaseHandler):
    """Fails for good after it has left an effect."""

    def execute(self) -> None:
        self.run.connection.execute(text("INSERT INTO effects VALUES (:run)"), {"run": self.run.run_id})
        raise RuntimeError("it always fails")


class Quiet(BaseHandler):
    """Tells how far it has come, and does nothing in its transaction."""

    max_retries = OFTEN
    retry_delay = SOON

    def execute(self) -> None:
        self.run.report_progress(1, 2, "half done")
