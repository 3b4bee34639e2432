"""A scheduler and a worker in the test's own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread

import dramatiq

from bayesian_jobs.bootstrap import Services, handler_broker
from bayesian_jobs.handlers.registry import discover
from bayesian_jobs.scheduler import Scheduler
from bayesian_jobs.settings import load
from bayesian_jobs.store.engine import make_engine


@contextmanager
def services(url: str, name: str) -> Iterator[Services]:
    engines = [make_engine(url, name, pool_size=10), make_engine(url, name, hot=True)]
    try:
        yield Services(replace(load({}), database_url=url), *engines, discover(("effects",)))
    finally:
        for engine in engines:
            engine.dispose()


@contextmanager
def scheduler(service: Services) -> Iterator[None]:
    ticking = Scheduler(service.hot_engine, service.registry)
    thread = Thread(target=ticking.run_forever)
    thread.start()
    try:
        yield
    finally:
        ticking.stop()
        thread.join()


@contextmanager
def worker(service: Services, threads: int = 4) -> Iterator[None]:
    working = dramatiq.Worker(handler_broker(service), worker_threads=threads, worker_timeout=50)
    working.start()
    try:
        yield
    finally:
        working.stop()
