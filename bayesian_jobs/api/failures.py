"""What has failed, by what went wrong."""

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import codec
from bayesian_jobs.api.operation import RUNS, operation
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.store import failures as store


class Failures:
    """`/failures`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(RUNS, scope=Scope.READ, answers={200: "Failures"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The newest thousand failure entries, grouped by handler and error, the latest first.

        `error` is the first line of what was raised, each number in it a `#`; `run_ids` are the newest hundred runs
        that failed so, and `job_ids` up to five of their jobs.
        """
        with self.engine.connect() as connection:
            found = [codec.failures(row) for row in store.groups(connection)]
        resp.media = {"failures": found, "failures_count": len(found)}
