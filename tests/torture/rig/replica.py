"""One process of the service: behind a proxy of its own, on a clock of its own, and started again when it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rig.clocks import Clock
from rig.proxy import Proxy


class Replica:
    """`arguments` are those of bayesian-jobs. Not for several threads at once."""

    def __init__(
        self,
        name: str,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        place: Path,
        proxy: Proxy,
        clock: Clock,
    ) -> None:
        self.name = name
        self.kind = arguments[0]
        self.proxy = proxy
        self.clock = clock
        self.log = place / f"{name}.log"
        self._arguments = arguments
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.frozen = False
        self.killed = False
        self.endings: list[tuple[int, int]] = []
        """Of each process that ended unasked: when (monotonic), and its exit code."""

    @property
    def port(self) -> int:
        """On which an API listens."""
        return int(self._environment["JOBS_PORT"])

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        self.wanted, self.killed = True, False
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bayesian_jobs", *self._arguments],
                env={**self._environment, **self.clock.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def care(self) -> None:
        """Start it again if it has ended, and should not have."""
        if self.wanted and self.process is not None and not self.is_alive():
            if not self.killed:
                self.endings.append((time.monotonic_ns(), self.process.returncode))
            self.start()

    def kill(self) -> None:
        """SIGKILL to it and what it has started."""
        self.killed = self.is_alive()
        self._signal_group(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        self.frozen = False

    def freeze(self) -> None:
        self._signal_group(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self._signal_group(signal.SIGCONT)
        self.frozen = False

    def terminate(self, within: float) -> bool:
        """SIGTERM, and SIGKILL if it has not ended by then; False: that was needed."""
        self.wanted = False
        if self.frozen:
            self.thaw()
        if self.process is None or not self.is_alive():
            return True
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def stop(self) -> None:
        self.wanted = False
        self.kill()

    def _signal_group(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)
