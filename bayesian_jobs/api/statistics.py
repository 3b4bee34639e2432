"""How the service is doing, and who works for it."""

from typing import Any

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import observed
from bayesian_jobs.api.fresh import Fresh
from bayesian_jobs.api.operation import SERVICE_SETTINGS, operation
from bayesian_jobs.api.parameters import Parameter, choice, chosen
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.lifecycle.statistics import observe
from bayesian_jobs.store import processes as store
from bayesian_jobs.store.statistics import STRETCHES

LAST = Parameter(
    name="last",
    description="How far back: an hour in minutes, a day in half hours, or a week in steps of three hours",
    schema=choice([*STRETCHES], "hour"),
)


class Statistics:
    """`/statistics`"""

    def __init__(self, engine: Engine) -> None:
        self._observed = {last: self._of(engine, last) for last in STRETCHES}

    @staticmethod
    def _of(engine: Engine, last: str) -> Fresh[dict[str, Any]]:
        return Fresh(lambda: observed.statistics(*observe(engine, last)))

    @operation(SERVICE_SETTINGS, scope=Scope.READ, query=(LAST,), answers={200: "Statistics"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What waits now, and what became of the runs of the last hour, day or week, step by step.

        A run is counted in the step of its fire time. `late` is how many seconds after it first attempts began, `took`
        how long they took that have succeeded or failed: the median, the 95th percentile and the worst. The newest
        100,000 runs are read: if there are more, `whole` is false, and the steps begin later. Five seconds old at most.
        """
        last = chosen(req.context.query, LAST)
        assert last is not None
        resp.media = self._observed[last].get()


class Processes:
    """`/processes`"""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @operation(SERVICE_SETTINGS, scope=Scope.READ, answers={200: "ProcessList"})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The schedulers and workers that have not ended, the oldest first.

        One that is not `alive` has lost its session, or has not been heard of for as long as its lease; it will be
        given up within seconds, or come back.
        """
        with self.engine.connect() as connection:
            found = [observed.process(row) for row in store.list_living(connection)]
        resp.media = {"processes": found, "processes_count": len(found)}
