"""The embedded PostgreSQL while `up` runs: looked after, because nobody else would start it again."""

import time
from collections.abc import Callable

from bayesian_jobs.embedded.server import EmbeddedPostgres
from bayesian_jobs.errors import EmbeddedPostgresError
from bayesian_jobs.up.console import Console

LOOK_EVERY = 5.0


class Care:
    """Starts the server again when it was killed; `look()` may be called as often as one likes."""

    def __init__(
        self, server: EmbeddedPostgres | None, console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._server, self._console, self._clock = server, console, clock
        self._look_at = clock() + LOOK_EVERY

    def look(self) -> None:
        """At most every 5 s; nothing to do for a server that is not ours. A failure is said, then retried."""
        if self._server is None or self._clock() < self._look_at:
            return
        try:
            self._server.ensure_running()
        except EmbeddedPostgresError as error:
            self._console.say(str(error))
        self._look_at = self._clock() + LOOK_EVERY
