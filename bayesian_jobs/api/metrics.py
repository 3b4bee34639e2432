"""`/metrics`: what is measured, for Prometheus."""

import threading
import time
from collections.abc import Callable
from typing import Final

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api.exposition import MEDIA_TYPE, exposition
from bayesian_jobs.api.operation import PLAIN_TEXT, SERVICE_SETTINGS, operation
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.lifecycle.metrics import measure

FRESH_SECONDS: Final = 5.0


class Metrics:
    """Measures once in FRESH_SECONDS at most, however often and by how many it is asked; `clock` is in seconds."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._text = ""
        self._stale_at = float("-inf")

    @operation(SERVICE_SETTINGS, scope=Scope.READ, answers={200: PLAIN_TEXT})
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Metrics in the text format of Prometheus.

        Measured in the database, so every process of the API tells the same; five seconds old at most.
        """
        resp.content_type = MEDIA_TYPE
        resp.text = self._measured()

    def _measured(self) -> str:
        with self._lock:
            if self._clock() >= self._stale_at:
                self._text = exposition(measure(self._engine))
                self._stale_at = self._clock() + FRESH_SECONDS
            return self._text
