"""The handlers that the measured workers execute."""

import os
import time
from functools import cache

from bayesian_jobs.handlers.base import BaseHandler

CLOCK_FILE = "BENCH_CLOCK_FILE"


class Nothing(BaseHandler):
    """Does nothing: what is left is the cost of executing."""

    def execute(self) -> None:
        return


class Clock(BaseHandler):
    """Notes when it began, in the file that $BENCH_CLOCK_FILE names, and then works for some seconds."""

    def execute(self, seconds: float = 0.0) -> None:
        line = f"{self.run.run_id} {self.run.attempt} {time.time()}\n"
        os.write(clock_file(), line.encode())
        time.sleep(seconds)


@cache
def clock_file() -> int:
    return os.open(os.environ[CLOCK_FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
