"""Keeps the processes of the service running: one loop reads their output, restarts, drains, kills."""

import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto

from bayesian_jobs.up.child import Child, Command
from bayesian_jobs.up.console import Console
from bayesian_jobs.up.restarts import NEVER, Restarts

PROBE_EVERY = 0.2
SLOW_POLL = 1.0


class Phase(Enum):
    """STARTING → RUNNING → STOPPING; a process that ends while STARTING leads straight to STOPPING."""

    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()


class Supervisor:
    """Call `start()`, then `turn()` until `done`; `failure` says why it stopped by itself, if it did.

    While starting, `is_ready` is asked every 0.2 s; `on_ready` gets the process ids by name, once.
    What has not ended `kill_after` seconds after `stop()` is killed. Times are seconds of `clock`, which is monotonic.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        environ: Mapping[str, str],
        console: Console,
        *,
        is_ready: Callable[[], bool],
        on_ready: Callable[[Mapping[str, int]], None],
        kill_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = {command.name: command for command in commands}
        self._environ, self._console = environ, console
        self._is_ready, self._on_ready, self._clock = is_ready, on_ready, clock
        self._kill_after = kill_after
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, Child] = {}
        self._restarts = Restarts()
        self._phase = Phase.STARTING
        self._probe_at = self._clock()
        self._kill_at = NEVER
        self.failure: str | None = None

    @property
    def done(self) -> bool:
        return self._phase is Phase.STOPPING and not self._children

    @property
    def pids(self) -> Mapping[str, int]:
        return {name: child.pid for name, child in self._children.items()}

    def start(self) -> None:
        for name in self._commands:
            self._start(name)

    def wake_on(self, readable: socket.socket) -> None:
        """End the waiting of `turn()` also when this file becomes readable; its owner reads it."""
        self._selector.register(readable, selectors.EVENT_READ)

    def turn(self) -> None:
        """Wait for output, a wake-up or the next time that matters, and do what is due by then."""
        for key, _ in self._selector.select(self._patience()):
            if isinstance(key.data, Child):
                self._forward(key.data)
        for child in list(self._children.values()):
            if how := child.ended():
                self._bury(child, how)
        match self._phase:
            case Phase.STARTING:
                self._probe()
            case Phase.RUNNING:
                self._restart_due()
            case Phase.STOPPING:
                self._kill_late()

    def stop(self) -> None:
        """Ask all processes to finish what they do; those that have not in time are killed."""
        if self._phase is Phase.STOPPING:
            return
        self._phase = Phase.STOPPING
        self._restarts.cancel()
        self._kill_at = self._clock() + self._kill_after
        for child in self._children.values():
            child.terminate()

    def kill(self) -> None:
        """End all processes now."""
        self._phase = Phase.STOPPING
        self._restarts.cancel()
        self._kill_at = NEVER
        for child in self._children.values():
            child.kill()

    def close(self) -> None:
        """Whatever happened before, no process is left after this."""
        self.kill()
        while not self.done:
            self.turn()
        self._selector.close()

    def _start(self, name: str) -> None:
        child = Child(self._commands[name], self._environ, now=self._clock())
        self._children[name] = child
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def _forward(self, child: Child) -> None:
        for line in child.lines():
            self._console.line(child.name, line)
        if child.silent:
            self._selector.unregister(child.output)

    def _bury(self, child: Child, how: str) -> None:
        if not child.silent:
            self._selector.unregister(child.output)
        for line in child.last_words():
            self._console.line(child.name, line)
        del self._children[child.name]
        if self._phase is Phase.STARTING:
            self.failure = f"the {child.name} process ended during start-up ({how}); the log above says why"
            self.stop()
        elif self._phase is Phase.RUNNING:
            now = self._clock()
            delay = self._restarts.plan(child.name, ran_for=now - child.started_at, now=now)
            self._console.say(f"{child.name} ended ({how}) and is started again in {delay:g} s")

    def _restart_due(self) -> None:
        for name in self._restarts.take_due(self._clock()):
            self._start(name)
            self._console.say(f"{name} started again (pid {self._children[name].pid})")

    def _probe(self) -> None:
        if self._clock() < self._probe_at:
            return
        if self._is_ready():
            self._phase = Phase.RUNNING
            self._on_ready(self.pids)
        self._probe_at = self._clock() + PROBE_EVERY

    def _kill_late(self) -> None:
        if self._children and self._clock() >= self._kill_at:
            self._console.say(f"not finished after {self._kill_after:g} s, so killed: {', '.join(self._children)}")
            self.kill()

    def _patience(self) -> float:
        """Seconds until the next time that matters; at most 1, which is what a lost wake-up costs."""
        probe_at = self._probe_at if self._phase is Phase.STARTING else NEVER
        nearest = min(probe_at, self._kill_at, self._restarts.next_due())
        return min(SLOW_POLL, max(0.0, nearest - self._clock()))
