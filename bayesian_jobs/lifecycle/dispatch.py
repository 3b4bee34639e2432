"""Dispatch: due jobs become runs. One batch is one transaction: claim, judge, record, advance, wake the workers."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.misfire import Account, account
from bayesian_jobs.domain.trigger import Cron
from bayesian_jobs.store.dispatch import DueJob, Settled, claim_due, open_service, set_aside, settle

log = logging.getLogger(__name__)

BATCH = 500
"""Measured: more is not faster, and a batch of 500 takes about 10 ms, which is the lateness it can cause."""


def dispatch_batch(connection: Connection, limit: int = BATCH, now: datetime | None = None) -> Settled | None:
    """Account for the due fire times of up to `limit` jobs. None if no job was due, or the service is paused.

    Any number of schedulers may do so at once: each job is locked by one of them, and the others pass it by. `now`
    is the database's clock, except in tests.
    """
    with connection.begin():
        state, clock = open_service(connection)
        if state != JobState.RUNNING:
            return None
        now = now or clock
        jobs = claim_due(connection, now, limit)
        if not jobs:
            return None
        accounts, unusable = cron_accounts(jobs, now)
        for job, reason in unusable:
            set_aside(connection, job.job_no, reason)
        set_asides = {job.job_no for job, _ in unusable}
        return settle(connection, now, [job for job in jobs if job.job_no not in set_asides], accounts)


def cron_accounts(
    jobs: Sequence[DueJob], now: datetime
) -> tuple[list[tuple[DueJob, Account]], list[tuple[DueJob, str]]]:
    """The accounts of the cron jobs, made once for all that share expression, zone, first due fire time, end and how
    far back they catch up; and the jobs for which there is none, with the reason (a zone that this host does not know).

    Intervals and one-off jobs are accounted for in SQL.
    """
    sharing: dict[tuple[Any, ...], list[DueJob]] = {}
    for job in jobs:
        if job.cron is not None:
            sharing.setdefault((job.cron, job.timezone, job.next_run_at, job.ends_at, job.reach), []).append(job)
    accounts, unusable = [], []
    for (expression, timezone, first, end, reach), same in sharing.items():
        try:
            trigger = Cron(expression=expression, timezone=timezone, start=first, end=end)
            since = None if reach is None else now - reach
            accounts.append((same[0], account(trigger, first, now, since=since)))
        except (ValueError, OverflowError) as error:
            log.exception("%d jobs with cron %r in %s are set aside", len(same), expression, timezone)
            reason = f"The fire times of {expression!r} in {timezone} cannot be computed: {error}"
            unusable += [(job, reason) for job in same]
    return accounts, unusable
