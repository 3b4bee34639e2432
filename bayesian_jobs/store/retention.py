"""Prune: what is older than its retention goes, ended runs by whole partitions, all else in batches."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, text

from bayesian_jobs.store import partitions, processes
from bayesian_jobs.store.audit import delete_old_entries
from bayesian_jobs.store.engine import database_now
from bayesian_jobs.store.flows import delete_hopeless_tasks
from bayesian_jobs.store.idempotency import delete_old_keys
from bayesian_jobs.store.tokens import delete_old_tokens

BATCH = 1000

DELETE_JOBS = text("""
DELETE FROM jobs WHERE job_no IN (
    SELECT job_no FROM jobs
    WHERE updated_at < clock_timestamp() - CAST(:retention AS interval)
      AND (handler = 'ErrorHandler' OR (state = 'finished' AND source IS NULL))
    LIMIT :limit FOR UPDATE SKIP LOCKED)
""")
# Their job_ids begin with the time at which they were made.
DELETE_FAILURES = text("""
DELETE FROM jobs WHERE job_no IN (
    SELECT job_no FROM jobs
    WHERE handler = 'ErrorHandler' AND job_id < (
        SELECT job_id FROM jobs WHERE handler = 'ErrorHandler' ORDER BY job_id DESC OFFSET :keep - 1 LIMIT 1)
    ORDER BY job_id LIMIT :limit FOR UPDATE SKIP LOCKED)
""")
# Outside the weekly partitions, and in those that hold an open run, old runs go one by one.
DELETE_RUNS = text("""
DELETE FROM runs WHERE (run_id, scheduled_for) IN (
    SELECT run_id, scheduled_for FROM runs
    WHERE scheduled_for < :oldest_kept AND finished_at < clock_timestamp() - CAST(:retention AS interval)
    LIMIT :limit FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went: names of partitions, and numbers of runs, jobs, failure entries beyond the number that is kept,
    processes, waiting tasks, idempotency keys, tokens without effect, and entries of the audit log."""

    partitions: list[str]
    runs: int
    jobs: int
    failures: int
    processes: int
    tasks: int
    keys: int
    tokens: int
    entries: int


def prune(engine: Engine, keep: timedelta, keep_failures: int) -> Pruned:
    """Remove ended runs, finished jobs, failure entries, processes, tokens without effect and entries of the audit log
    older than `keep`; runs go by the week, and so stay for up to a week longer. Whatever still waits or runs stays,
    except for tasks of flows of which no run is left. Of the failure entries only the newest `keep_failures`, at least
    one, stay. Idempotency keys go after a time of their own.

    In transactions of at most `BATCH` rows, so that nobody waits for it.
    """
    with engine.begin() as connection:
        oldest_kept = partitions.week_of(database_now(connection) - keep)
        ended = processes.prune(connection, keep)
    with engine.begin() as connection:
        dropped = partitions.drop_behind(connection, oldest_kept)
    runs = in_batches(engine, lambda connection: delete_old_runs(connection, keep, oldest_kept, BATCH))
    jobs = in_batches(engine, lambda connection: delete_old_jobs(connection, keep, BATCH))
    failures = in_batches(engine, lambda connection: delete_excess_failures(connection, keep_failures, BATCH))
    tasks = in_batches(engine, lambda connection: delete_hopeless_tasks(connection, keep, BATCH))
    keys = in_batches(engine, lambda connection: delete_old_keys(connection, BATCH))
    tokens = in_batches(engine, lambda connection: delete_old_tokens(connection, keep, BATCH))
    entries = in_batches(engine, lambda connection: delete_old_entries(connection, keep, BATCH))
    return Pruned(dropped, runs, jobs, failures, ended, tasks, keys, tokens, entries)


def in_batches(engine: Engine, delete: Callable[[Connection], int]) -> int:
    """Call `delete` in a transaction each, until it finds nothing any more. Returns how many rows went."""
    total = 0
    while True:
        with engine.begin() as connection:
            deleted = delete(connection)
        total += deleted
        if deleted == 0:
            return total


def delete_old_jobs(connection: Connection, retention: timedelta, limit: int) -> int:
    """Delete up to `limit` finished jobs and failure entries that have not changed for `retention`."""
    return connection.execute(DELETE_JOBS, {"retention": retention, "limit": limit}).rowcount


def delete_excess_failures(connection: Connection, keep: int, limit: int) -> int:
    """Delete up to `limit` failure entries that are not among the newest `keep`, the oldest first."""
    return connection.execute(DELETE_FAILURES, {"keep": keep, "limit": limit}).rowcount


def delete_old_runs(connection: Connection, retention: timedelta, oldest_kept: datetime, limit: int) -> int:
    """Delete up to `limit` runs that ended longer than `retention` ago, in what is left of old partitions."""
    values = {"retention": retention, "oldest_kept": oldest_kept, "limit": limit}
    return connection.execute(DELETE_RUNS, values).rowcount
