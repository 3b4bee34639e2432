"""The jobs: reading them, and changing one of them at a time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, String, and_, case, cast, delete, func, insert, or_, select, update
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from bayesian_jobs.domain.run import RunState
from bayesian_jobs.store.tables import jobs, runs

FAILURE_HANDLER = "ErrorHandler"

FIRST_OPEN = """(
    SELECT min(known.at) FROM jobs CROSS JOIN unnest(open_runs || last_scheduled_for) AS known(at)
    WHERE job_no = :open_job_no)
"""

Definition = Mapping[str, Any]
"""Columns of `jobs`, by name."""


def insert_job(connection: Connection, definition: Definition) -> int | None:
    """Returns the new job's job_no, or None when its job_id is taken."""
    statement = postgresql_insert(jobs).values(**definition).on_conflict_do_nothing(index_elements=["job_id"])
    return connection.execute(statement.returning(jobs.c.job_no)).scalar()


def lock_job(connection: Connection, job_id: str) -> Mapping[str, Any] | None:
    """The job, locked until the transaction ends: neither dispatched nor changed by anybody else meanwhile."""
    row = connection.execute(select(jobs).where(jobs.c.job_id == job_id).with_for_update()).first()
    return row._asdict() if row else None


def change_job(connection: Connection, job_no: int, changes: Definition) -> int:
    """Change a locked job; a due fire time that waits for a run to end is judged anew. Returns its new version."""
    version: int = connection.execute(
        update(jobs)
        .where(jobs.c.job_no == job_no)
        .values(**changes, waiting=False, version=jobs.c.version + 1, updated_at=func.clock_timestamp())
        .returning(jobs.c.version)
    ).scalar_one()
    return version


def change_origin(connection: Connection, job_no: int, origin: Definition) -> None:
    """Note which file a locked job comes from; that changes nothing of the job itself."""
    connection.execute(update(jobs).where(jobs.c.job_no == job_no).values(**origin))


def jobs_from_files(connection: Connection) -> list[tuple[str, str]]:
    """The job_id of each job that comes from a default-job file, and the file's name."""
    query = select(jobs.c.job_id, jobs.c.source).where(jobs.c.source.is_not(None)).order_by(jobs.c.job_id)
    return [(job_id, source) for job_id, source in connection.execute(query)]


def delete_job(connection: Connection, job_no: int) -> None:
    connection.execute(delete(jobs).where(jobs.c.job_no == job_no))


def delete_failures(connection: Connection) -> list[str]:
    """Remove all failure entries. Returns their job_ids."""
    statement = delete(jobs).where(jobs.c.handler == FAILURE_HANDLER).returning(jobs.c.job_id)
    return sorted(connection.execute(statement).scalars())


def cancel_queued_runs(connection: Connection, job_no: int, reason: str) -> int:
    """Cancel the queued runs of a locked job. Waits for claims of them that are under way: those have started.
    Returns how many were cancelled."""
    statement = (
        update(runs)
        .where(runs.c.job_no == job_no, runs.c.state == RunState.QUEUED, recent(job_no))
        .values(state=RunState.CANCELLED, claim_at=None, finished_at=func.clock_timestamp(), reason=reason)
    )
    return connection.execute(statement).rowcount


def take_queued_runs_along(
    connection: Connection, job_no: int, *, version: int, actor: str, queue: str, priority: int
) -> None:
    """Bring the queued runs of a locked job under its new definition; kwargs of their own were for their handler only.
    Waits for claims of them that are under way; claims that still see the old definition do not take them any more."""
    connection.execute(
        update(runs)
        .where(runs.c.job_no == job_no, runs.c.state == RunState.QUEUED, recent(job_no))
        .values(
            job_version=version,
            actor=actor,
            queue=queue,
            priority=priority,
            resend_at=None,
            kwargs=case((runs.c.actor == actor, runs.c.kwargs)),
        )
    )


def queued_runs(connection: Connection, job_no: int) -> list[Mapping[str, Any]]:
    """run_id, scheduled_for and job_version of each queued run of a locked job, the earliest first."""
    statement = (
        select(runs.c.run_id, runs.c.scheduled_for, runs.c.job_version)
        .where(runs.c.job_no == job_no, runs.c.state == RunState.QUEUED, recent(job_no))
        .order_by(runs.c.scheduled_for)
    )
    return [row._asdict() for row in connection.execute(statement)]


def recent(job_no: int) -> Any:
    """Runs of the job from the first on that can be open, and so no history is walked."""
    return runs.c.scheduled_for >= sql(FIRST_OPEN).bindparams(open_job_no=job_no)


def last_accounted(connection: Connection, job_no: int) -> datetime | None:
    """The latest fire time of a locked job that a run, a missed or a skipped record accounts for."""
    at: datetime | None = connection.scalar(
        select(func.coalesce(runs.c.missed_until, runs.c.scheduled_for))
        .where(runs.c.job_no == job_no, ~runs.c.requested)
        .order_by(runs.c.scheduled_for.desc())
        .limit(1)
    )
    return at


def record_skipped(
    connection: Connection, job: Mapping[str, Any], first: datetime, last: datetime, count: int, reason: str
) -> None:
    """Record that the fire times first..last of a locked job, `count` of them, will have no run."""
    connection.execute(
        insert(runs).values(
            run_id=func.bayesian_jobs_uuid7(),
            job_no=job["job_no"],
            job_id=job["job_id"],
            job_version=job["version"],
            actor=job["handler"],
            queue=job["queue"],
            scheduled_for=first,
            state=RunState.SKIPPED,
            finished_at=func.clock_timestamp(),
            missed_until=last,
            missed_count=count,
            reason=reason,
        )
    )


def get_job(connection: Connection, job_id: str) -> Mapping[str, Any] | None:
    row = connection.execute(with_last_run().where(jobs.c.job_id == job_id)).first()
    return row._asdict() if row else None


def list_jobs(
    connection: Connection,
    *,
    job_type: str = "all",
    state: str | None = None,
    handler: str | None = None,
    text: str | None = None,
    tag: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[Mapping[str, Any]]:
    """Jobs in the order of their job_id; `job_type`: all, failed (failure entries) or user (all others); `text`: a
    part of the job_id, the handler or the kwargs, in any case; `after`: the last job_id already seen."""
    query = with_last_run().order_by(jobs.c.job_id).limit(limit)
    if job_type == "failed":
        query = query.where(jobs.c.handler == FAILURE_HANDLER)
    elif job_type == "user":
        query = query.where(jobs.c.handler != FAILURE_HANDLER)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if handler is not None:
        query = query.where(jobs.c.handler == handler)
    if text is not None:
        searched = (jobs.c.job_id, jobs.c.handler, cast(jobs.c.kwargs, String))
        query = query.where(or_(*(column.icontains(text, autoescape=True) for column in searched)))
    if tag is not None:
        query = query.where(jobs.c.tags != [], jobs.c.tags.contains([tag]))
    if after is not None:
        query = query.where(jobs.c.job_id > after)
    return [row._asdict() for row in connection.execute(query)]


def with_last_run() -> Select[Any]:
    """Jobs, each with the state and times of its last run."""
    last = and_(runs.c.run_id == jobs.c.last_run_id, runs.c.scheduled_for == jobs.c.last_scheduled_for)
    return select(
        jobs,
        runs.c.state.label("last_state"),
        runs.c.started_at.label("last_started_at"),
        runs.c.finished_at.label("last_finished_at"),
    ).select_from(jobs.outerjoin(runs, last))


def queues_with_queued_runs(connection: Connection) -> list[str]:
    statement = select(runs.c.queue).where(runs.c.claim_at.is_not(None)).distinct()
    return list(connection.execute(statement).scalars())
