"""Dramatiq's own ceiling: messages per second through its Worker on a broker in memory, with its own middleware.

python -m benchmarks.stub THREADS MESSAGES
"""

import sys
import time

import dramatiq
from dramatiq.brokers.stub import StubBroker


def main(threads: int, messages: int) -> None:
    broker = StubBroker()
    dramatiq.set_broker(broker)
    actor = dramatiq.actor(nothing)
    for _ in range(messages):
        actor.send()
    worker = dramatiq.Worker(broker, worker_threads=threads)
    began = time.perf_counter()
    worker.start()
    broker.join("default", timeout=600_000)
    print(messages / (time.perf_counter() - began))
    worker.stop()


def nothing() -> None:
    return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
