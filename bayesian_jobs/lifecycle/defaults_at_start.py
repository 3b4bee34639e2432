"""Registering the default jobs when a process starts: beside its own work, and as soon as the database allows it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psycopg2
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle.defaults import register, tell
from bayesian_jobs.presence.complaints import Complaints
from bayesian_jobs.presence.membership import POLL_EVERY, trouble
from bayesian_jobs.store import migrations

log = logging.getLogger(__name__)


@contextmanager
def registering(engine: Engine, registry: Registry, directory: Path) -> Iterator[Thread]:
    """A thread that registers the default jobs once, and ends; it is not waited for."""
    stop = Event()
    arguments = (engine, registry, directory, stop)
    thread = Thread(target=register_when_possible, args=arguments, name="default jobs", daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()


def register_when_possible(engine: Engine, registry: Registry, directory: Path, stop: Event) -> None:
    """Try until the database is there and its schema is current, or until it is told to stop."""
    complaints = Complaints(log)
    while not stop.is_set():
        try:
            if is_current(engine):
                tell(register(engine, registry, directory), log)
                return
            complaints.complain("the default jobs are not registered: the schema of the database is not current")
        except (DBAPIError, psycopg2.Error) as error:
            complaints.complain(f"the default jobs are not registered: {trouble(error)}")
        except Exception:
            log.exception("the default jobs cannot be registered")
            return
        finally:
            engine.dispose()
        stop.wait(POLL_EVERY)


def is_current(engine: Engine) -> bool:
    with engine.connect() as connection:
        return migrations.is_current(connection)
