"""What a change of a job's definition comes to, as the audit log tells it."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.durations import format_duration
from bayesian_jobs.domain.json_values import same_json

LONGEST = 200
NAMES = {"starts_at": "when", "ends_at": "end", "period": "periodically", "cron": "periodically"}
OF_SCHEDULE = ("state", "next_run_at")
"""Columns that say where a job stands."""


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each option whose column has another value `after`, with both values as short JSON."""
    found: dict[str, dict[str, Any]] = {}
    for column, value in after.items():
        old = before[column]
        if column not in OF_SCHEDULE and not same(old, value):
            change = found.setdefault(NAMES.get(column, column), {"before": None, "after": None})
            change["before"] = change["before"] if old is None else told(old)
            change["after"] = change["after"] if value is None else told(value)
    return found


def same(one: Any, other: Any) -> bool:
    return same_json(one, other) if isinstance(one, dict) and isinstance(other, dict) else bool(one == other)


def told(value: Any) -> Any:
    match value:
        case bool() | int():
            return value
        case datetime():
            return format_datetime(value)
        case timedelta():
            return format_duration(value)
        case str():
            text = value
        case _:
            text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
