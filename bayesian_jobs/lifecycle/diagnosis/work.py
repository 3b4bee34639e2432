"""The work: who does it, and what of it is not done."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from bayesian_jobs.errors import shortened
from bayesian_jobs.lifecycle.diagnosis.finding import Check, Facts, Finding, named, notice, number, since, wrong
from bayesian_jobs.lifecycle.explanation.facts import paused
from bayesian_jobs.store import doctor as store

MINUTE = timedelta(minutes=1)


def service(facts: Facts) -> Iterator[Finding]:
    now = facts.service
    if now.state == "paused":
        words = paused(now.paused_since, now.paused_reason, now.paused_until)
        yield notice("service", f"The service is {words}.", "To go on: `bayesian-jobs service resume`.")


def schedulers(facts: Facts) -> Iterator[Finding]:
    if not facts.alive("scheduler"):
        yield wrong("schedulers", "No scheduler is alive: no job gets a run.", "Start one: `bayesian-jobs scheduler`.")


def workers(facts: Facts) -> Iterator[Finding]:
    if not facts.alive("worker"):
        yield wrong("workers", "No worker is alive: no run is executed.", "Start one: `bayesian-jobs worker`.")


def queues(facts: Facts) -> Iterator[Finding]:
    """Without any worker, that is what is wrong."""
    if not facts.alive("worker"):
        return
    for queue in store.queues_with_queued_runs(facts.connection):
        if facts.is_consumed(queue):
            continue
        found = store.waiting(facts.connection, queue)
        if found.count:
            name = shortened(queue)
            yield wrong(
                "queues",
                f"No worker takes from queue {name}: {number(found, 'run waits', 'runs wait')}, {since(found)}.",
                "Start a worker that does (`bayesian-jobs worker --queues …`, or `--actors …` for actors of your own).",
                found.count,
            )


def waiting_runs(facts: Facts) -> Iterator[Finding]:
    if facts.service.state == "paused":
        return
    queues = [queue for queue in store.queues_with_queued_runs(facts.connection) if facts.is_consumed(queue)]
    found = store.find(facts.connection, store.WAITING_RUNS, queues=queues, patience=MINUTE)
    if found.count:
        yield notice(
            "waiting-runs",
            f"{number(found, 'run has', 'runs have')} been waiting for a worker for over a minute, {since(found)}.",
            "If it stays so, start more workers, or let each do more at once (JOBS_WORKER_THREADS).",
            found.count,
        )


def overdue_jobs(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.OVERDUE_JOBS)
    if found.count:
        yield wrong(
            "overdue-jobs",
            f"{number(found, 'job is', 'jobs are')} overdue by more than a minute, {since(found)}: {named(found)}.",
            "See that a scheduler runs and keeps up: its log says what keeps it.",
            found.count,
        )


def pending_jobs(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.PENDING_JOBS)
    if found.count:
        yield wrong(
            "pending-jobs",
            f"{number(found, 'job has', 'jobs have')} been pending for over a minute, {since(found)}: {named(found)}.",
            "See that a scheduler runs: it takes them up, and its log says why it cannot.",
            found.count,
        )


def jobs_set_aside(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.JOBS_SET_ASIDE)
    if found.count:
        yield wrong(
            "jobs-set-aside",
            f"{number(found, 'job was', 'jobs were')} set aside, because of an error: {named(found)}.",
            "Read the error (`bayesian-jobs job show ID`), correct the job (`edit`), and resume it (`resume`).",
            found.count,
        )


def jobs_waiting_for_nothing(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.JOBS_WAITING_FOR_NOTHING)
    if found.count:
        yield wrong(
            "jobs-waiting-for-nothing",
            f"{number(found, 'job waits', 'jobs wait')} for a run to end, but none is open: {named(found)}.",
            "See that a scheduler runs: it lets them go on within seconds.",
            found.count,
        )


def jobs_without_fire_time(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.JOBS_WITHOUT_FIRE_TIME)
    if found.count:
        yield wrong(
            "jobs-without-fire-time",
            f"{number(found, 'job is', 'jobs are')} not finished, but will never run: {named(found)}.",
            "See that a scheduler runs: it ends those that have run. Change the others (`bayesian-jobs job edit`).",
            found.count,
        )


def orphaned_runs(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.ORPHANED_RUNS)
    if found.count:
        yield wrong(
            "orphaned-runs",
            f"{number(found, 'run is', 'runs are')} executing by the ledger, but the worker is dead: {named(found)}.",
            "See that a scheduler runs: it takes them back within seconds of the worker's death.",
            found.count,
        )


def lost_runs(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.LOST_RUNS)
    if found.count:
        yield wrong(
            "lost-runs",
            f"{number(found, 'run is', 'runs are')} executing by the ledger, but no worker knows it: {named(found)}.",
            "Nothing of the service leaves one so: report it. To go on, remove its job and add it again.",
            found.count,
        )


def failures(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.FAILURES)
    if found.count:
        yield notice(
            "failures",
            f"{number(found, 'failure is', 'failures are')} recorded, {since(found)}.",
            "Look at them (`bayesian-jobs job list --job-type failed`); then `DELETE /jobs/clean-failed`.",
            found.count,
        )


def hopeless_tasks(facts: Facts) -> Iterator[Finding]:
    found = store.find(facts.connection, store.HOPELESS_TASKS)
    if found.count:
        yield notice(
            "hopeless-tasks",
            f"{number(found, 'task of a flow waits', 'tasks of flows wait')}, but no run of the flow is left: "
            f"{named(found)}.",
            "Start the flow again, if its work is still wanted; `prune-history` removes what waits in vain.",
            found.count,
        )


CHECKS: Mapping[str, Check] = {
    "service": service,
    "schedulers": schedulers,
    "workers": workers,
    "queues": queues,
    "waiting-runs": waiting_runs,
    "overdue-jobs": overdue_jobs,
    "pending-jobs": pending_jobs,
    "jobs-set-aside": jobs_set_aside,
    "jobs-waiting-for-nothing": jobs_waiting_for_nothing,
    "jobs-without-fire-time": jobs_without_fire_time,
    "orphaned-runs": orphaned_runs,
    "lost-runs": lost_runs,
    "failures": failures,
    "hopeless-tasks": hopeless_tasks,
}
