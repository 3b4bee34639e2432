"""`/metrics`: what is measured, for Prometheus."""

import time
from collections.abc import Callable

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api.exposition import MEDIA_TYPE, exposition
from bayesian_jobs.api.fresh import Fresh
from bayesian_jobs.api.operation import PLAIN_TEXT, SERVICE_SETTINGS, operation
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.lifecycle.metrics import measure


class Metrics:
    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._text = Fresh(lambda: exposition(measure(engine)), clock)

    @operation(SERVICE_SETTINGS, scope=Scope.READ, answers={200: PLAIN_TEXT})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Metrics in the text format of Prometheus.

        Measured in the database, so every process of the API tells the same; five seconds old at most.
        """
        resp.content_type = MEDIA_TYPE
        resp.text = self._text.get()
