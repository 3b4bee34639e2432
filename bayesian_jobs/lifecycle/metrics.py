"""What is measured of the service: by the database alone, so that every process of the API tells the same."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Engine

from bayesian_jobs import __version__
from bayesian_jobs.domain.metrics import Gauge, gauge, gauges
from bayesian_jobs.lifecycle import doctor
from bayesian_jobs.lifecycle.diagnosis.finding import Facts
from bayesian_jobs.store import doctor as store

PREFIX: Final = "bayesian_jobs_"
KINDS: Final = ("scheduler", "worker")
CAPPED: Final = f"; {store.MOST_COUNTED + 1} stands for more"


def measure(engine: Engine) -> list[Gauge]:
    """All metrics, of one snapshot of the database. Reads neither all jobs nor all runs, and gives up after seconds.

    Raises DBAPIError.
    """
    with store.snapshot(engine) as connection:
        store.be_brief(connection)
        facts = doctor.facts_of(connection)
        return [*of_service(facts), *of_jobs(facts), *of_runs(facts), of_doctor(facts)]


def of_service(facts: Facts) -> list[Gauge]:
    alive = {kind: facts.alive(kind) for kind in KINDS}
    return [
        gauge(f"{PREFIX}info", "The version of this process of the API", 1, version=__version__),
        gauge(
            f"{PREFIX}measured_timestamp_seconds",
            "When this was measured, by the database's clock",
            facts.now.timestamp(),
        ),
        gauge(f"{PREFIX}service_paused", "1 if the whole service is paused", facts.service.state == "paused"),
        gauges(f"{PREFIX}processes", "Schedulers and workers that are alive", "kind", alive),
    ]


def of_jobs(facts: Facts) -> list[Gauge]:
    due = store.find(facts.connection, store.DUE_JOBS)
    return [
        gauge(f"{PREFIX}due_jobs", f"Jobs whose fire time has come and that have no run for it yet{CAPPED}", due.count),
        gauge(
            f"{PREFIX}due_jobs_oldest_seconds",
            "For how long the one that is due longest has been so: how late the schedulers are",
            age(due.oldest, facts.now),
        ),
    ]


def of_runs(facts: Facts) -> list[Gauge]:
    waiting = {queue: store.waiting(facts.connection, queue) for queue in queues_of(facts)}
    oldest = {queue: age(found.oldest, facts.now) for queue, found in waiting.items()}
    consumers = {queue: float(facts.consumers(queue)) for queue in waiting}
    queued = {queue: float(found.count) for queue, found in waiting.items()}
    return [
        gauges(f"{PREFIX}queued_runs", f"Runs that a worker may start{CAPPED}", "queue", queued),
        gauges(
            f"{PREFIX}queued_runs_oldest_seconds",
            "For how long the one that could have been started longest has been waiting for a worker",
            "queue",
            oldest,
        ),
        gauges(f"{PREFIX}queue_workers", "Workers that take runs from the queue", "queue", consumers),
        gauge(f"{PREFIX}executing_runs", "Runs in the hands of live workers", sum(each.runs for each in facts.living)),
    ]


def of_doctor(facts: Facts) -> Gauge:
    meaning = f"Jobs or runs that a check of `bayesian-jobs doctor` finds{CAPPED}"
    found: Mapping[str, float] = doctor.counts(facts)
    return gauges(f"{PREFIX}doctor_found", meaning, "check", found)


def queues_of(facts: Facts) -> list[str]:
    """In which runs wait, or from which somebody takes them."""
    consumed = {queue for process in facts.living for queue in process.queues or ()}
    return sorted(consumed | set(store.queues_with_queued_runs(facts.connection)))


def age(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())
