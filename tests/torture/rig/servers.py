"""The Redis or RabbitMQ of a torture, its PgBouncer, and what befalls them."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from brokers import BrokerServer, RabbitmqServer, RedisServer
from poolers import Pgbouncer

from rig.history import Event
from rig.plan import Fault

BROKERS: dict[str, type[RedisServer | RabbitmqServer]] = {"redis": RedisServer, "rabbitmq": RabbitmqServer}


def make_broker(transport: str, place: Path) -> BrokerServer | None:
    """None: PostgreSQL carries the messages. Raises RuntimeError when its program is missing."""
    if transport == "postgres":
        return None
    server = BROKERS[transport]
    if server.program is None:
        raise RuntimeError(f"there is no program {server.name} here (Debian: {server.name})")
    return server(place)


def make_pooler(pooled: bool, place: Path, port: int) -> Pgbouncer | None:
    """In transaction mode, in front of the PostgreSQL on that port. Raises RuntimeError when its program is missing."""
    return Pgbouncer(place, "transaction", port=port, user="rig") if pooled else None


class Server(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class ServerFaults:
    """One at a time; `name` is what the server is called in the plan."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.ways: dict[str, Callable[[Fault, Event], None]] = {
            f"restart {name}": self._stop,
            f"stop {name}": self._stop,
            f"freeze {name}": self._freeze,
        }

    def _stop(self, fault: Fault, event: Event) -> None:
        """Killed, and started with nothing of what it held when the time of the fault is over."""
        with self._lock:
            event.begun, event.detail = time.monotonic_ns(), f"for {fault.lasts} s"
            self._server.stop()
            time.sleep(fault.lasts)
            self._server.start()

    def _freeze(self, fault: Fault, event: Event) -> None:
        with self._lock:
            event.begun, event.detail = time.monotonic_ns(), f"for {fault.lasts} s"
            self._server.freeze()
            time.sleep(fault.lasts)
            self._server.thaw()
