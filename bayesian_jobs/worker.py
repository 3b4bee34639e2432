"""The worker process: executes runs.

`run` is what `bayesian-jobs worker` does, in one process. Under Dramatiq's own command line it is
`dramatiq bayesian_jobs.worker:handlers -p 1`, or for actors of your own
`dramatiq bayesian_jobs.worker:actors your.module -p 1`.
"""

import importlib
import importlib.util
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import dramatiq

from bayesian_jobs.bootstrap import actor_broker, assemble, handler_broker
from bayesian_jobs.broker.postgres import PostgresBroker
from bayesian_jobs.errors import SettingsError
from bayesian_jobs.logs import configure_logging
from bayesian_jobs.settings import Settings, load

LISTEN_EVERY = 1.0
"""Seconds. A signal that comes while the process is stopped may be delivered to any of its threads when it goes on, and
then it wakes no other."""

log = logging.getLogger(__name__)


def handlers() -> None:
    """Make the broker of the handlers Dramatiq's global one. For Dramatiq's command line."""
    dramatiq.set_broker(handler_broker(assemble(load(os.environ), "worker")))


def actors() -> None:
    """Make a broker for actors of your own Dramatiq's global one. For Dramatiq's command line."""
    dramatiq.set_broker(actor_broker(assemble(load(os.environ), "actors")))


def run(settings: Settings, *, threads: int, queues: Sequence[str] | None, actors: Sequence[str]) -> int:
    """Execute runs until SIGTERM or SIGINT: of the handlers, or of the Dramatiq actors in the modules or files
    `actors`. With `queues`, of these queues only."""
    configure_logging(settings.log_level)
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    broker = broker_of_modules(settings, actors) if actors else handler_broker(assemble(settings, "worker", threads))
    broker.emit_after("process_boot")  # as Dramatiq's command line does: time limits begin to be watched
    worker = dramatiq.Worker(broker, queues=set(queues) if queues else None, worker_threads=threads)
    worker.start()
    log.info("ready: %d threads for queues %s", threads, ", ".join(sorted(worker.consumers)) or "(none)")
    while not stopped.wait(LISTEN_EVERY):
        pass
    worker.stop(timeout=int(settings.drain.total_seconds() * 1000))
    log.info("stopped")
    return 0


def broker_of_modules(settings: Settings, modules: Sequence[str]) -> PostgresBroker:
    """A broker with the actors that the modules or files declare on Dramatiq's global broker."""
    broker = actor_broker(assemble(settings, "actors"))
    dramatiq.set_broker(broker)
    for name in modules:
        import_module(name)
    return broker


def import_module(name: str) -> None:
    """Import a module by its name, or a file by its path. Raises SettingsError."""
    try:
        if not name.endswith(".py"):
            importlib.import_module(name)
            return
        spec = importlib.util.spec_from_file_location(Path(name).stem, name)
        if spec is None or spec.loader is None:
            raise ImportError(f"{name} is no Python file")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except Exception as error:
        raise SettingsError("JOBS_ACTORS", name, f"cannot be imported: {error}") from error
