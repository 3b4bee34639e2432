"""Saying in the log that something is wrong, once, and not ten times a second."""

import logging
import time

AGAIN_AFTER = 30.0
"""Seconds after which a complaint that still holds is repeated."""


class Complaints:
    """Of one process about one thing. Not thread-safe."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._last = ""
        self._at = 0.0

    def complain(self, what: str) -> None:
        """Warn, unless the same has been said a short while ago."""
        if what != self._last or time.monotonic() - self._at >= AGAIN_AFTER:
            self._log.warning("trying again: %s", what)
            self._last, self._at = what, time.monotonic()

    def withdraw(self) -> None:
        """All is well."""
        if self._last:
            self._log.info("all is well again")
            self._last = ""
