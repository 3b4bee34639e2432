"""Sleeping on a database session until somebody rings, inside or outside of this process."""

import logging
import os
import select
from contextlib import suppress

from psycopg2.extensions import connection as Session

log = logging.getLogger(__name__)


class Bell:
    """Wakes the one thread that sleeps on it. Ringing never blocks, and what rings while it is awake is not lost.

    A process whose bell has been taken away ends at once, with EX_SOFTWARE: whoever closed its files (a handler can)
    closed its sockets as well, and their numbers may by now be those of others. To ring or listen there would write
    into a stranger's session, or read what is meant for one that then waits for ever.
    """

    def __init__(self) -> None:
        self._ear, self._clapper = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._clapper, False)
        self._made_as = identity(self._ear)
        self._rung = False
        self.is_heard = False
        """Whether somebody sleeps on it now."""

    def ring(self) -> None:
        if not self._rung:
            self._check(self._clapper)
            self._rung = True
            with suppress(BlockingIOError):  # It is ringing loudly enough already.
                os.write(self._clapper, b"!")

    def sleep(self, seconds: float, session: Session | None = None) -> None:
        """Return when somebody has rung, when the session has something to say, or after `seconds`.

        Raises psycopg2.OperationalError when the session is gone.
        """
        self._check(self._ear)
        ears = select.poll()
        ears.register(self._ear, select.POLLIN)
        if session is not None:
            session.poll()
            if session.notifies:
                return
            ears.register(session.fileno(), select.POLLIN)
        self.is_heard = True
        heard = ears.poll(max(seconds, 0) * 1000)
        self.is_heard = False
        if any(ear == self._ear for ear, _ in heard):
            self._hush()
        if session is not None:
            session.poll()

    def _hush(self) -> None:
        # In this order. Who rings in between writes nothing, but is awaited by nobody either: this thread is awake and
        # looks at everything before it sleeps again. Who rings afterwards writes, and is heard at the next sleep.
        self._check(self._ear)
        with suppress(BlockingIOError):
            os.read(self._ear, 4096)
        self._rung = False

    def _check(self, end: int) -> None:
        if identity(end) != self._made_as:
            log.critical("somebody has closed the files of this process, and so it ends")
            os._exit(os.EX_SOFTWARE)

    def close(self) -> None:
        os.close(self._ear)
        os.close(self._clapper)


def identity(descriptor: int) -> tuple[int, int] | None:
    """What tells an open file, such as both ends of a pipe, from every other one. None: it is closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def heard_payloads(session: Session) -> set[str]:
    """The payloads of the notifications that have come since the last call."""
    payloads = {notification.payload for notification in session.notifies}
    session.notifies.clear()
    return payloads
