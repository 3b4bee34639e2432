"""How many runs a process may claim ahead of its threads: those that they will have begun within a moment."""

HORIZON = 0.03
"""Seconds within which the threads are expected to begin all that is claimed ahead of them."""
MOST_AHEAD = 100
"""More make batches no cheaper, and the list of the runs that a process holds would outgrow its place in the row."""
UNKNOWN = 1.0
WEIGHT = 0.05
SHORTEST = 1e-6


class Pace:
    """How long runs have taken of late, and how soon one has begun after the other, in seconds. Not thread-safe.

    Both are moving averages in which the long ones weigh the most: one run of a second outweighs a hundred that take
    none, so that nothing is claimed ahead where any run may be long.
    """

    def __init__(self) -> None:
        self._duration = UNKNOWN
        self._interval = 0.0
        self._begun_at: float | None = None

    def note_begin(self, now: float, *, queueing: bool) -> None:
        """A thread begins a run; `queueing`: others wait for a thread meanwhile. What lies between two such begins is
        what the process itself spends on a run, its waiting for the processor included."""
        if self._begun_at is not None:
            self._interval += (now - self._begun_at - self._interval) * WEIGHT
        self._begun_at = now if queueing else None

    def note_end(self, seconds: float) -> None:
        """A run has taken so long."""
        self._duration += (seconds - self._duration) * WEIGHT

    def stumble(self) -> None:
        """What was claimed ahead was not begun in time: begin anew."""
        self._duration = UNKNOWN

    def ahead(self, threads: int) -> int:
        """How many runs so many threads will begin within the horizon; none if each would begin less than two."""
        if self._duration > HORIZON / 2:
            return 0
        by_duration = threads * HORIZON / max(self._duration, SHORTEST)
        by_interval = HORIZON / max(self._interval, SHORTEST)
        return int(min(by_duration, by_interval, MOST_AHEAD))
