"""The composition root: the one place where the parts of a process meet."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from dramatiq.middleware import TimeLimit
from sqlalchemy import Engine

from bayesian_jobs.actors import declare_actors
from bayesian_jobs.broker.postgres import PostgresBroker
from bayesian_jobs.broker.transports import Transport, make_transport
from bayesian_jobs.embedded.server import EmbeddedPostgres
from bayesian_jobs.errors import SettingsError
from bayesian_jobs.handlers.registry import Registry, discover
from bayesian_jobs.lifecycle.execute import Workshop, execute
from bayesian_jobs.lifecycle.flows_file import read_flows
from bayesian_jobs.settings import Settings
from bayesian_jobs.store.engine import make_engine


@dataclass(frozen=True, slots=True)
class Services:
    """What a process works with: `engine` for anything, `hot_engine` for dispatch, claims and their reports."""

    settings: Settings
    engine: Engine
    hot_engine: Engine
    registry: Registry


@contextmanager
def database(settings: Settings) -> Iterator[tuple[Settings, EmbeddedPostgres | None]]:
    """The settings with a database that runs: the one that is set, or else the embedded server, which runs at least
    until the block ends. Raises EmbeddedPostgresError."""
    if settings.database_url is not None:
        yield settings, None
    else:
        with EmbeddedPostgres.start(settings.data_dir) as server:
            yield replace(settings, database_url=server.url), server


def assemble(settings: Settings, process: str, pool_size: int = 5) -> Services:
    """The parts of a process, named in the database's list of sessions. Connects to nothing yet.

    Raises SettingsError, HandlerUnusable.
    """
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL", None, "must be known before a process is assembled")
    return Services(
        settings=settings,
        engine=make_engine(settings.database_url, process, pool_size=pool_size, pooled=settings.database_pooled),
        hot_engine=make_engine(settings.database_url, process, hot=True, pooled=settings.database_pooled),
        registry=discover(settings.handlers, settings.queues),
    )


def transport_of(settings: Settings) -> Transport | None:
    """What carries messages to the workers; None: PostgreSQL does. Connects to nothing yet. Raises SettingsError."""
    return make_transport(settings.broker_url) if settings.broker_url else None


def actor_broker(services: Services) -> PostgresBroker:
    """A broker for actors of the user's own."""
    return PostgresBroker(services.hot_engine, transport=transport_of(services.settings))


def handler_broker(services: Services) -> PostgresBroker:
    """A broker with an actor for every handler."""
    # Of Dramatiq's middleware a run of a handler has use for none but this; each costs it some of its time.
    broker = PostgresBroker(services.hot_engine, middleware=[TimeLimit()], transport=transport_of(services.settings))
    workshop = Workshop(
        engine=services.engine,
        registry=services.registry,
        flows=read_flows(services.settings.flows_file),
        retention=services.settings.retention,
        report=lambda run, outcome: broker.handover.report(run, outcome),
        note_progress=lambda run, progress: broker.handover.note_progress(run, progress),
        on_cancel=lambda run, cancel: broker.handover.on_cancel(run, cancel),
    )
    declare_actors(broker, services.registry, lambda run: execute(run, workshop))
    return broker
