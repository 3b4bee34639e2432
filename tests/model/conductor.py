"""Two who work on the database at once, one step at a time and in an order that is given: all orders can be tried."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import combinations
from threading import Condition
from typing import Any

from faulty import FaultySession, make_faulty
from sqlalchemy import Connection, Engine, text

Work = Callable[[Engine], Any]
WAITS = text("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = :pid")
PATIENCE = 20


class Player:
    """Stops before each of its statements and COMMITs, until it is told to go on."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.steps = 0
        self._arrived = self._free = False
        self._pid: int | None = None
        self._changed = Condition()
        self._work: Future[Any] | None = None
        make_faulty(engine, self._at)

    def _at(self, step: str, session: FaultySession | None) -> None:
        if session is None or not step.startswith("before") or "PREPARE" in step:
            return
        with self._changed:
            self.steps += 1
            self._pid = session.info.backend_pid
            self._arrived = True
            self._changed.notify_all()
            while self._arrived and not self._free:
                self._changed.wait(PATIENCE)

    def begin(self, pool: ThreadPoolExecutor, work: Work) -> None:
        self._arrived, self._free, self.steps = False, False, 0
        self._work = pool.submit(work, self.engine)

    def step(self, looking: Connection) -> None:
        """One step on, as far as that goes: until it is about to make the next one, has ended, or waits for a lock that
        the other one holds; then it is on its way already, and goes on when it can."""
        if self._settle(looking):
            with self._changed:
                self._arrived = False
                self._changed.notify_all()
            self._settle(looking)

    def _settle(self, looking: Connection) -> bool:
        """True: it is about to make a step."""
        assert self._work is not None
        while not self._work.done():
            with self._changed:
                if self._arrived or self._changed.wait_for(lambda: self._arrived, 0.002):
                    return True
            if self._pid is not None and looking.execute(WAITS, {"pid": self._pid}).scalar():
                return False
        return False

    def finish(self) -> Any:
        """The rest of its steps. What it returns, or the error that it raises."""
        assert self._work is not None
        with self._changed:
            self._free = True
            self._changed.notify_all()
        return self._work.exception(PATIENCE) or self._work.result(PATIENCE)


def orders(first: int, second: int) -> Iterator[Sequence[int]]:
    """All orders of the steps of two: of each step, whose it is."""
    for places in combinations(range(first + second), first):
        yield [0 if place in places else 1 for place in range(first + second)]


def play(players: Sequence[Player], works: Sequence[Work], order: Sequence[int], looking: Connection) -> list[Any]:
    with ThreadPoolExecutor(2) as pool:
        for player, work in zip(players, works, strict=True):
            player.begin(pool, work)
        for who in order:
            players[who].step(looking)
        first, second = pool.submit(players[0].finish), pool.submit(players[1].finish)
        return [first.result(), second.result()]


def count_steps(player: Player, work: Work) -> int:
    """How many steps the work takes when nobody disturbs it."""
    with ThreadPoolExecutor(1) as pool:
        player.begin(pool, work)
        player.finish()
    return player.steps
