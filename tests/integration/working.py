"""A worker process's insides, in the test's own process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dramatiq

from bayesian_jobs.bootstrap import Services, handler_broker
from bayesian_jobs.handlers.base import BaseHandler
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.settings import load
from bayesian_jobs.store.engine import make_engine

LONG = 20_000


@contextmanager
def worker(
    service, database_url: str, *handlers: type[BaseHandler], queues: Sequence[str] = (), **settings: Any
) -> Iterator[None]:
    """A worker that knows the handlers besides those of the service, which gets `run(handler, options, **kwargs)`: add
    a job, execute it, return its run."""
    known = [service.registry.get(name) for name in service.registry]
    service.registry = Registry([*known, *handlers], queues)
    engines = [make_engine(database_url, "worker"), make_engine(database_url, "worker", hot=True)]
    settings = replace(load({}), database_url=database_url, **settings)
    broker = handler_broker(Services(settings, *engines, service.registry))
    broker.emit_after("process_boot")
    working = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    working.start()

    def run(handler: type[BaseHandler], options: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        service.add(handler=handler.__name__, kwargs=kwargs, **(options or {}))
        service.dispatch()
        broker.join("default", timeout=LONG)
        (row,) = [row for row in service.runs() if row["job_no"] is not None]
        return row

    service.run, service.broker = run, broker
    yield
    working.stop()
    engines[0].dispose()
