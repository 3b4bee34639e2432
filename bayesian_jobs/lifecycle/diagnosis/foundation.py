"""What the service stands on: the server, its partitions, the files of the default jobs, the broker."""

from collections.abc import Iterator
from dataclasses import fields

from sqlalchemy import Connection

from bayesian_jobs.broker.transports import make_transport
from bayesian_jobs.embedded.binaries import OLDEST_MAJOR
from bayesian_jobs.errors import BrokerLost, SettingsError
from bayesian_jobs.lifecycle.default_files import Directory
from bayesian_jobs.lifecycle.defaults import orphans
from bayesian_jobs.lifecycle.diagnosis.finding import Facts, Finding, notice, number, wrong
from bayesian_jobs.lifecycle.explanation.facts import sentence
from bayesian_jobs.lifecycle.yaml_files import shown
from bayesian_jobs.store import doctor as store
from bayesian_jobs.store import partitions
from bayesian_jobs.urls import without_password

DURABILITY = [field.name for field in fields(store.Server) if field.name != "version"]


def version(server: store.Server) -> Iterator[Finding]:
    if server.version < OLDEST_MAJOR:
        yield wrong(
            "version",
            f"PostgreSQL {server.version} is too old.",
            f"Upgrade the server to {OLDEST_MAJOR} or later.",
        )


def durability(server: store.Server) -> Iterator[Finding]:
    for setting in DURABILITY:
        if not getattr(server, setting):
            yield notice(
                "durability",
                f"{setting} is off: a crash of the server may lose jobs and runs that were acknowledged.",
                f"Set {setting} = on.",
            )


def partitions_ahead(facts: Facts) -> Iterator[Finding]:
    """Those of the week after next and later may still come."""
    next_week = partitions.week_of(facts.now) + partitions.WEEK
    missing = partitions.missing_ahead(facts.connection, facts.now)
    names = [name for name, first in missing.items() if first <= next_week]
    if names:
        yield wrong(
            "partitions",
            f"The table runs lacks {' and '.join(names)}, for this week or the next.",
            "See that a scheduler runs: it makes them, and its log says why it cannot.",
        )


def runs_in_the_past(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.RUNS_IN_THE_PAST)
    if found.count:
        yield notice(
            "runs-past",
            f"{number(found, 'run', 'runs')} of the last two weeks in runs_past: outside of the weekly partitions.",
            "Nothing, if the service is younger or the jobs were given such times; else see that a scheduler runs.",
            found.count,
        )


def default_jobs(connection: Connection, found: Directory) -> Iterator[Finding]:
    if not found.readable:
        (flaw,) = found.flaws
        yield wrong("default-jobs", f"{shown(flaw.file)} {flaw.reason}.", "Set JOBS_DEFAULT_JOBS_DIR to the directory.")
        return
    for flaw in found.flaws:
        yield notice(
            "default-jobs",
            f"{shown(flaw.file)}: {flaw}.",
            "Correct the file; `bayesian-jobs defaults check` tells whether it can be used.",
        )
    for orphan in orphans(connection, found, found.flaws):
        yield notice(
            "default-jobs",
            f"{shown(orphan.job_id)}: {shown(orphan.file)} defines this job no more.",
            "Put the file back, or remove the job: `bayesian-jobs defaults register --prune`.",
        )


def broker(broker_url: str) -> Iterator[Finding]:
    """Whether Redis or RabbitMQ answers to this process."""
    try:
        transport = make_transport(broker_url)
        try:
            transport.ping()
        finally:
            transport.close()
    except SettingsError as error:
        yield wrong("broker", sentence(str(error)), "Correct it: until then no scheduler and no worker starts.")
    except BrokerLost as error:
        yield wrong(
            "broker",
            sentence(f"The broker {without_password(broker_url)} cannot be reached: {error}"),
            "See that it runs, and that BROKER_URL is right: until then no run starts.",
        )
