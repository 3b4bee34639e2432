"""When a process that ended is started again: after 1 s, then 2 s, 4 s … 30 s, or a broken one would spin."""

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
STEADY_AFTER = 60.0
NEVER = float("inf")


class Restarts:
    """The planned restarts by process name. Times and durations are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._delays: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def plan(self, name: str, *, ran_for: float, now: float) -> float:
        """The delay after which it is due. One that ran for a minute is forgiven its earlier ends."""
        delay = FIRST_DELAY if ran_for >= STEADY_AFTER else self._delays.get(name, FIRST_DELAY)
        self._delays[name] = min(delay * 2, LONGEST_DELAY)
        self._due[name] = now + delay
        return delay

    def take_due(self, now: float) -> list[str]:
        """The names whose time has come; they are no longer planned."""
        names = [name for name, due in self._due.items() if due <= now]
        for name in names:
            del self._due[name]
        return names

    def next_due(self) -> float:
        return min(self._due.values(), default=NEVER)

    def cancel(self) -> None:
        self._due.clear()
