"""When a worker's claimer looks for runs in its queues."""

import time
from collections.abc import Collection
from datetime import timedelta

SOONEST, LATEST = 0.05, 1.0
"""Seconds to wait before looking again for runs that are due and yet cannot be claimed: doubled each time."""
POLL_EVERY = 10.0
"""Seconds between looks for queued runs of which nobody has notified."""


class Lookout:
    """Knows when to look next, from what the last looks have found and what has been notified."""

    def __init__(self, poll_every: float = POLL_EVERY) -> None:
        self._poll_every = poll_every
        self._consumed: set[str] = set()
        self.begin_anew()

    def begin_anew(self) -> None:
        """On a new connection: nobody knows what has been notified meanwhile."""
        self.at = 0.0
        """When to look, by the monotonic clock."""
        self.maybe_more = True
        """There may be more than was found, or something was notified: look at once."""
        self.expecting = True
        """A run is known to come at that time. Else it is a poll, which first asks whether there is anything."""
        self._wait = SOONEST

    def consumes(self, queues: Collection[str]) -> bool:
        """Whether all of these queues have been looked into."""
        return self._consumed.issuperset(queues)

    def look_into(self, queues: Collection[str]) -> None:
        if not self.consumes(queues):
            self._consumed.update(queues)
            self.at, self.expecting = 0.0, True

    def has_found(self) -> None:
        self.maybe_more, self._wait = True, SOONEST

    notified = has_found

    def has_failed(self) -> None:
        """To look has failed; what is due is still to be found."""
        self.maybe_more, self.at = False, time.monotonic() + self._until_next(timedelta(0))

    def wait_for(self, wait: timedelta | None) -> None:
        """Nothing was found, and the next run comes after `wait`; None: none is known."""
        self.maybe_more = False
        self.at = time.monotonic() + self._until_next(wait)
        self.expecting = wait is not None and wait.total_seconds() < self._poll_every

    def _until_next(self, wait: timedelta | None) -> float:
        """Seconds until it is worth looking again. What is due already and yet was not claimed (the service is
        paused, others hold it) is looked at more and more rarely; a resumed service notifies."""
        if wait is None:
            return self._poll_every
        if wait > timedelta(0):
            return min(wait.total_seconds(), self._poll_every)
        self._wait = min(self._wait * 2, LATEST)
        return self._wait
