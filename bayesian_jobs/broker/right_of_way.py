"""Who goes first when the threads of a process and its claimer all have something to do."""

from threading import Event

LONGEST = 0.002
"""Seconds for which anybody gives way. It costs time, and nothing else, if nobody goes."""


class RightOfWay:
    """Lets the claimer prepare its round and send it to the database before the threads go on.

    Python lets a thread that is never idle keep the interpreter for five milliseconds. A claimer that has been woken
    while there is still enough to begin would get its turn when all of that is done, and then all threads would wait
    for the database. What gives way begins a little later, and then goes on while the database works.
    """

    def __init__(self) -> None:
        self._free = Event()
        self._free.set()

    def take(self) -> None:
        self._free.clear()

    def free(self) -> None:
        self._free.set()

    @property
    def is_free(self) -> bool:
        return self._free.is_set()

    def give(self) -> None:
        """Wait until nobody has the right of way."""
        if not self.is_free and not self._free.wait(LONGEST):
            self._free.set()
