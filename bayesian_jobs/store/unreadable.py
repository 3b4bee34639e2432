"""What plain SQL can store in a pending job and Python cannot read: told as well as can be, so that one such row hides
no others. The scheduler, which judges the row, reads the text of its times and intervals and has no need of this.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg2.extensions import INTERVAL, PYDATETIMETZ, new_array_type, new_type, register_type

from bayesian_jobs.domain.durations import LONGEST
from bayesian_jobs.domain.trigger import LATEST

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
OID = {"timestamptz": 1184, "timestamptz[]": 1185, "interval": 1186}


class Unreadable(dict[str, str]):
    """Stands for a JSON document at whose numbers or depth Python's reader raises."""


def read_json(text: str) -> Any:
    """What a column of JSON holds, or an Unreadable."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return Unreadable({"…": f"cannot be read: {error}"})


def read_time(text: Any, cursor: Any) -> datetime | None:
    """The time that PostgreSQL has written, None for null, or the nearest one that a job can have."""
    try:
        at: datetime | None = PYDATETIMETZ(text, cursor)
    except (ValueError, OverflowError):
        return EARLIEST if text is not None and text.endswith("BC") else LATEST
    return None if at is None else min(max(at, EARLIEST), LATEST)


def read_interval(text: Any, cursor: Any) -> timedelta | None:
    """The interval, or the longest one that there is."""
    try:
        length: timedelta | None = INTERVAL(text, cursor)
    except (ValueError, OverflowError):
        return LONGEST
    return None if length is None else min(max(length, -LONGEST), LONGEST)


TIME = new_type((OID["timestamptz"],), "NEAREST TIME", read_time)
TYPES: Final = (
    TIME,
    new_array_type((OID["timestamptz[]"],), "NEAREST TIMES", TIME),
    new_type((OID["interval"],), "NEAREST INTERVAL", read_interval),
)


def read_as_near_as_can_be(connection: Any, *_: Any) -> None:
    """Let a connection of psycopg2 read every time and interval."""
    for each in TYPES:
        register_type(each, connection)
