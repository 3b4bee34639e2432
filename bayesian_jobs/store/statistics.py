"""What became of the runs of the last hour, day or week, step by step.

Runs are counted where their fire time lies. They are read by the index of the fire times, the newest first, and never
more than MOST_READ of them: where there are more, the statistics begin later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from bayesian_jobs.store.engine import database_now

MOST_READ: Final = 100_000
EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

# Only a first attempt tells how late a run was: the start of a later one is that of the retry.
STATISTICS = text("""
WITH newest AS MATERIALIZED (
    SELECT scheduled_for, state, attempt, started_at, finished_at, coalesce(missed_count, 1) AS fire_times
    FROM runs WHERE scheduled_for >= :since AND scheduled_for < :until
    ORDER BY scheduled_for DESC, run_id DESC LIMIT :most
),
told AS (
    SELECT floor(extract(epoch FROM scheduled_for - :since) / :step)::int AS number, state, fire_times,
           CASE WHEN attempt = 1 THEN greatest(extract(epoch FROM started_at - scheduled_for), 0)::float8 END AS late,
           CASE WHEN state IN ('succeeded', 'failed')
                THEN greatest(extract(epoch FROM finished_at - started_at), 0)::float8 END AS took
    FROM newest
)
SELECT number,
       coalesce(sum(fire_times) FILTER (WHERE state = 'succeeded'), 0)::bigint AS succeeded,
       coalesce(sum(fire_times) FILTER (WHERE state = 'failed'), 0)::bigint AS failed,
       coalesce(sum(fire_times) FILTER (WHERE state = 'missed'), 0)::bigint AS missed,
       coalesce(sum(fire_times) FILTER (WHERE state = 'skipped'), 0)::bigint AS skipped,
       coalesce(sum(fire_times) FILTER (WHERE state = 'cancelled'), 0)::bigint AS cancelled,
       coalesce(sum(fire_times) FILTER (WHERE state IN ('queued', 'running')), 0)::bigint AS open,
       percentile_disc(ARRAY[0.5, 0.95, 1.0]) WITHIN GROUP (ORDER BY late) AS late,
       percentile_disc(ARRAY[0.5, 0.95, 1.0]) WITHIN GROUP (ORDER BY took) AS took,
       count(*) AS read
FROM told GROUP BY number ORDER BY number
""")


@dataclass(frozen=True, slots=True)
class Stretch:
    """How far back to look, and in steps of which length."""

    length: timedelta
    step: timedelta


STRETCHES: Final[Mapping[str, Stretch]] = {
    "hour": Stretch(timedelta(hours=1), timedelta(minutes=1)),
    "day": Stretch(timedelta(days=1), timedelta(minutes=30)),
    "week": Stretch(timedelta(weeks=1), timedelta(hours=3)),
}


@dataclass(frozen=True, slots=True)
class Statistics:
    """`steps` follow each other from `since` to `until`, one for each `step`. `whole`: false if there were too many
    runs to read all, and so `since` is later than was asked for."""

    since: datetime
    until: datetime
    step: timedelta
    whole: bool
    steps: Sequence[Mapping[str, Any]]


OUTCOMES: Final = ("succeeded", "failed", "missed", "skipped", "cancelled", "open")
NOTHING: Final[Mapping[str, Any]] = {
    **dict.fromkeys(OUTCOMES, 0),
    "late": None,
    "took": None,
}


def statistics(connection: Connection, stretch: Stretch) -> Statistics:
    """Of the steps up to the one that is under way. `late` (how long after its fire time a first attempt began) and
    `took` are seconds: median, 95th percentile, worst; of no run they are None each.

    For a transaction that plans look-ups only.
    """
    until = following(database_now(connection), stretch.step)
    since = until - stretch.length
    values = {"since": since, "until": until, "step": stretch.step.total_seconds(), "most": MOST_READ}
    found = {row.number: row._asdict() for row in connection.execute(STATISTICS, values)}
    whole, last = sum(row["read"] for row in found.values()) < MOST_READ, stretch.length // stretch.step - 1
    # Of the step in which the reading ended there are more.
    first = 0 if whole else min(min(found) + 1, last)
    steps = [{**NOTHING, **found.get(number, {})} for number in range(first, last + 1)]
    return Statistics(since + first * stretch.step, until, stretch.step, whole, steps)


def following(moment: datetime, step: timedelta) -> datetime:
    """The end of the step that the moment lies in; steps are counted from 1970 on."""
    return moment - (moment - EPOCH) % step + step
