"""What is observed of the service, as JSON, and the schemas of that."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bayesian_jobs.api.json_schema import FLAG, NUMBER, TEXT, TIME, WHOLE, Schema, array, maybe, record, ref
from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.lifecycle.statistics import Backlog
from bayesian_jobs.store.statistics import OUTCOMES, Statistics

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Statistics": record(
        due_jobs=WHOLE,
        waiting_runs=WHOLE,
        waiting_since=maybe(TIME),
        since=TIME,
        until=TIME,
        step_seconds=WHOLE,
        whole=FLAG,
        steps=array(ref("Step")),
    ),
    "Step": record(at=TIME, **dict.fromkeys(OUTCOMES, WHOLE), late=maybe(ref("Spread")), took=maybe(ref("Spread"))),
    "Spread": record(median=NUMBER, p95=NUMBER, worst=NUMBER),
    "ProcessList": record(processes=array(ref("Process")), processes_count=WHOLE),
    "Process": record(
        process_no=WHOLE,
        kind=TEXT | {"enum": ["scheduler", "worker"]},
        hostname=TEXT,
        pid=WHOLE,
        version=TEXT,
        started_at=TIME,
        alive=FLAG,
        lease_until=TIME,
        missing_since=maybe(TIME),
        has_session=FLAG,
        queues=maybe(array(TEXT)),
        executing=WHOLE,
    ),
}


def statistics(backlog: Backlog, found: Statistics) -> dict[str, Any]:
    return {
        "due_jobs": backlog.due_jobs,
        "waiting_runs": backlog.waiting_runs,
        "waiting_since": None if backlog.since is None else format_datetime(backlog.since),
        "since": format_datetime(found.since),
        "until": format_datetime(found.until),
        "step_seconds": int(found.step.total_seconds()),
        "whole": found.whole,
        "steps": [
            {
                "at": format_datetime(found.since + number * found.step),
                **{outcome: step[outcome] for outcome in OUTCOMES},
                "late": spread(step["late"]),
                "took": spread(step["took"]),
            }
            for number, step in enumerate(found.steps)
        ],
    }


def spread(seconds: Sequence[float] | None) -> dict[str, float] | None:
    """PostgreSQL's percentiles of nothing are None each."""
    if seconds is None or seconds[0] is None:
        return None
    return dict(zip(("median", "p95", "worst"), seconds, strict=True))


def process(row: Mapping[str, Any]) -> dict[str, Any]:
    """One scheduler or worker, from its row."""
    times = ("started_at", "lease_until", "missing_since")
    return dict(row) | {name: row[name] and format_datetime(row[name]) for name in times}
