"""What is measured once in a while, however often and by how many it is asked for."""

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

FRESH_SECONDS: Final = 5.0

Measured = TypeVar("Measured")


class Fresh(Generic[Measured]):
    """Keeps what was measured for FRESH_SECONDS; whoever asks meanwhile, or while it is being measured, gets the same.
    `clock` is in seconds."""

    def __init__(self, measure: Callable[[], Measured], clock: Callable[[], float] = time.monotonic) -> None:
        self._measure = measure
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: Measured
        self._stale_at = float("-inf")
        self._failure: Exception | None = None
        self._failed_at = float("-inf")

    def get(self) -> Measured:
        """Raises what measuring raises, also to those who have waited for it: while the database does not answer, they
        do not wait for it one after the other."""
        asked_at = self._clock()
        with self._lock:
            if self._clock() < self._stale_at:
                return self._kept
            if self._failure is not None and self._failed_at >= asked_at:
                raise self._failure
            try:
                self._kept = self._measure()
            except Exception as failure:
                self._failure, self._failed_at = failure, self._clock()
                raise
            self._stale_at = self._clock() + FRESH_SECONDS
            return self._kept
