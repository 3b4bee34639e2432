"""Sleeping on a database session until somebody rings, inside or outside of this process."""

import os
import select
from contextlib import suppress

from psycopg2.extensions import connection as Session


class Bell:
    """Wakes the one thread that sleeps on it. Ringing never blocks, and what rings while it is awake is not lost."""

    def __init__(self) -> None:
        self._ear, self._clapper = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._clapper, False)
        self._rung = False

    def ring(self) -> None:
        if not self._rung:
            self._rung = True
            with suppress(BlockingIOError):  # It is ringing loudly enough already.
                os.write(self._clapper, b"!")

    def sleep(self, seconds: float, session: Session | None = None) -> None:
        """Return when somebody has rung, when the session has something to say, or after `seconds`.

        Raises psycopg2.OperationalError when the session is gone.
        """
        ears = select.poll()
        ears.register(self._ear, select.POLLIN)
        if session is not None:
            session.poll()
            if session.notifies:
                return
            ears.register(session.fileno(), select.POLLIN)
        heard = ears.poll(max(seconds, 0) * 1000)
        if any(ear == self._ear for ear, _ in heard):
            self._hush()
        if session is not None:
            session.poll()

    def _hush(self) -> None:
        # In this order. Who rings in between writes nothing, but is awaited by nobody either: this thread is awake and
        # looks at everything before it sleeps again. Who rings afterwards writes, and is heard at the next sleep.
        with suppress(BlockingIOError):
            os.read(self._ear, 4096)
        self._rung = False

    def close(self) -> None:
        os.close(self._ear)
        os.close(self._clapper)


def heard_payloads(session: Session) -> set[str]:
    """The payloads of the notifications that have come since the last call."""
    payloads = {notification.payload for notification in session.notifies}
    session.notifies.clear()
    return payloads
