"""The doctor: what is wrong with a deployment, as its database and the files here show it, and what to do.

It looks at one snapshot of the database, in which nothing can be changed.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from bayesian_jobs.errors import BayesianJobsError
from bayesian_jobs.handlers.registry import discover
from bayesian_jobs.lifecycle.default_files import Directory
from bayesian_jobs.lifecycle.defaults import read
from bayesian_jobs.lifecycle.diagnosis import foundation, work
from bayesian_jobs.lifecycle.diagnosis.finding import Check, Facts, Finding, Severity, wrong
from bayesian_jobs.lifecycle.explanation.facts import sentence
from bayesian_jobs.presence.membership import one_line
from bayesian_jobs.settings import Settings
from bayesian_jobs.store import doctor as store
from bayesian_jobs.store import service
from bayesian_jobs.store.migrations import is_current

CHECKS: Mapping[str, Check] = {
    **work.CHECKS,
    "partitions": foundation.partitions_ahead,
    "runs-past": foundation.runs_in_the_past,
}
"""What is looked for in the database, by the name that its findings carry."""


def examine(engine: Engine, settings: Settings) -> list[Finding]:
    """What there is to say, the worst first; nothing: all is well. No answer from the database is a finding, too."""
    try:
        return sorted(findings(engine, settings), key=lambda finding: finding.severity is not Severity.WRONG)
    except DBAPIError as error:
        return [unexaminable(error)]


def findings(engine: Engine, settings: Settings) -> Iterator[Finding]:
    try:
        registry = discover(settings.handlers, settings.queues)
    except BayesianJobsError as error:
        yield wrong("handlers", sentence(str(error)), "Correct it: until then no process of the service starts.")
        files = None
    else:
        files = read(engine, registry, settings.default_jobs_dir)
    if settings.broker_url is not None:
        yield from foundation.broker(settings.broker_url)
    with store.snapshot(engine) as connection:
        yield from of_snapshot(connection, files)


def of_snapshot(connection: Connection, files: Directory | None) -> Iterator[Finding]:
    server = store.server(connection)
    yield from foundation.version(server)
    yield from foundation.durability(server)
    if not is_current(connection):
        yield wrong("schema", "The schema of the database is not current.", "Migrate it: `bayesian-jobs migrate`.")
        return
    facts = facts_of(connection)
    for check in CHECKS.values():
        yield from check(facts)
    if files is not None:
        yield from foundation.default_jobs(connection, files)


def facts_of(connection: Connection) -> Facts:
    return Facts(connection, store.moment(connection), service.read(connection), store.living(connection))


def counts(facts: Facts) -> dict[str, int]:
    """How many jobs or runs each check finds."""
    return {name: sum(finding.concerns for finding in check(facts)) for name, check in CHECKS.items()}


def unexaminable(error: BaseException) -> Finding:
    return wrong(
        "database",
        sentence(f"The database cannot be examined: {one_line(error)}"),
        "See that the server runs, and that DATABASE_URL is right (`bayesian-jobs settings`).",
    )
