"""How many requests each caller may send: a token bucket for each, in the memory of this process."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import falcon

MOST_CALLERS: Final = 10_000
"""Whoever has been quiet longest is forgotten first, which gives them a full bucket."""


class Rate:
    """A caller may send `per_minute` requests at once, and so many each minute from then on. Each process counts for
    itself; `clock` is in seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, caller: str) -> None:
        """Count one request. Raises falcon.HTTPTooManyRequests."""
        wait = self._wait(caller)
        if wait > 0:
            text = f"{caller} has sent more than {self._size:.0f} requests in a minute (JOBS_RATE_LIMIT)"
            raise falcon.HTTPTooManyRequests(description=text, retry_after=math.ceil(wait))

    def _wait(self, caller: str) -> float:
        """Seconds until the caller has a request left; 0: it had one, which is spent now."""
        with self._lock:
            now = self._clock()
            left, at = self._left.pop(caller, (self._size, now))
            left = min(self._size, left + (now - at) * self._per_second)
            wait = 0.0 if left >= 1 else (1 - left) / self._per_second
            self._left[caller] = (left if wait else left - 1, now)
            if len(self._left) > MOST_CALLERS:
                self._left.popitem(last=False)
            return wait
