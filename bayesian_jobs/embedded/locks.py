"""Two lock files count the server's users. The kernel frees a lock when its process ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesian_jobs.errors import EmbeddedPostgresError


@contextmanager
def gate(path: Path) -> Iterator[int]:
    """Hold the exclusive lock around making, starting and stopping; waits for it. Gives the open file.

    It is closed, not unlocked: a program that inherited it keeps the gate shut until it ends.
    """
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


class Membership:
    """One user of the server: a shared lock, held as long as it is used. Change it only inside the gate."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def is_last(self) -> bool:
        """Whether nobody else uses the server. Asking may lose the shared lock: leave() has to follow."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def leave(self) -> None:
        os.close(self._descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EmbeddedPostgresError(f"{path} cannot be locked: {error.strerror} (see JOBS_DATA_DIR)") from error
