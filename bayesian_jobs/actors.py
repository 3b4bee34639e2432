"""A Dramatiq actor for each handler: the shell in which its runs are executed."""

from collections.abc import Callable
from datetime import timedelta

import dramatiq
from dramatiq.broker import Broker

from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.store.claimed import ClaimedRun

MILLISECOND = timedelta(milliseconds=1)


def declare_actors(broker: Broker, registry: Registry, execute: Callable[[ClaimedRun], None]) -> None:
    """Declare an actor for every handler, and the queues that jobs may name besides. Retries are the run's affair, so
    Dramatiq's own are off."""
    for name in registry:
        handler = registry.get(name)
        dramatiq.Actor(
            execute,
            broker=broker,
            actor_name=name,
            queue_name=handler.queue,
            priority=0,
            options={
                "max_retries": 0,
                "time_limit": handler.time_limit // MILLISECOND,
            },
        )
    for queue in registry.queues:
        broker.declare_queue(queue)
