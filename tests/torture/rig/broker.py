"""The Redis or RabbitMQ of a torture, and what befalls it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from brokers import BrokerServer, RabbitmqServer, RedisServer

from rig.history import Event
from rig.plan import Fault

SERVERS: dict[str, type[RedisServer | RabbitmqServer]] = {"redis": RedisServer, "rabbitmq": RabbitmqServer}


def make_broker(transport: str, place: Path) -> BrokerServer | None:
    """None: PostgreSQL carries the messages. Raises RuntimeError when its program is missing."""
    if transport == "postgres":
        return None
    server = SERVERS[transport]
    if server.program is None:
        raise RuntimeError(f"there is no program {server.name} here (Debian: {server.name})")
    return server(place)


class BrokerFaults:
    """One at a time."""

    def __init__(self, broker: BrokerServer) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self.ways: dict[str, Callable[[Fault, Event], None]] = {
            "restart broker": self._stop,
            "stop broker": self._stop,
            "freeze broker": self._freeze,
        }

    def _stop(self, fault: Fault, event: Event) -> None:
        """Killed, and started empty when the time of the fault is over."""
        with self._lock:
            event.begun, event.detail = time.monotonic_ns(), f"for {fault.lasts} s"
            self._broker.stop()
            time.sleep(fault.lasts)
            self._broker.start()

    def _freeze(self, fault: Fault, event: Event) -> None:
        with self._lock:
            event.begun, event.detail = time.monotonic_ns(), f"for {fault.lasts} s"
            self._broker.freeze()
            time.sleep(fault.lasts)
            self._broker.thaw()
