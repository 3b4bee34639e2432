"""A run that this process has claimed, as all that follows knows it."""

import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple

RunKey = tuple[str, datetime, int]
"""run_id, scheduled_for, attempt."""


class ClaimedRun(NamedTuple):
    """A run that this process has started and must report the end of.

    `attempt` is its fencing token; `message` is what was sent to an actor without a job: args, kwargs, options;
    `flow_id` and `task` are those of a task of a flow; `max_retries`, `retry_delay` and `time_limit` are the job's own,
    None: as the handler says.

    kwargs and message are kept as PostgreSQL wrote them, until somebody reads them: plain SQL may have stored numbers
    and depths at which Python's reader raises, and then only this run must fail.
    """

    run_id: str
    scheduled_for: datetime
    job_no: int | None
    job_id: str | None
    attempt: int
    failures: int
    recoveries: int
    actor: str
    queue: str
    queued_at: datetime
    kwargs_json: str
    message_json: str | None
    flow_id: str | None = None
    task: str | None = None
    max_retries: int | None = None
    retry_delay: timedelta | None = None
    time_limit: timedelta | None = None

    @property
    def kwargs(self) -> dict[str, Any]:
        """Raises ValueError or RecursionError when they cannot be read."""
        kwargs: dict[str, Any] = json.loads(self.kwargs_json)
        return kwargs

    @property
    def message(self) -> dict[str, Any] | None:
        """Raises ValueError or RecursionError when it cannot be read."""
        message: dict[str, Any] | None = json.loads(self.message_json) if self.message_json else None
        return message

    @property
    def key(self) -> RunKey:
        """What tells this attempt from every other."""
        return self.run_id, self.scheduled_for, self.attempt
