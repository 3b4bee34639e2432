"""Runs as Dramatiq's messages, and what is kept of messages in runs."""

import json
from datetime import timedelta
from typing import Any

from dramatiq.broker import MessageProxy
from dramatiq.message import Message

from bayesian_jobs.domain.json_values import why_not_storable
from bayesian_jobs.domain.run import RetryAt
from bayesian_jobs.domain.storable import LONGEST_LINE, LONGEST_TRACEBACK, storable_text
from bayesian_jobs.errors import InvalidMessage
from bayesian_jobs.store.claimed import ClaimedRun


class RunProxy(MessageProxy):
    """A claimed run as a message: of a job, the actor's argument is the run itself."""

    def __init__(self, run: ClaimedRun) -> None:
        body = run.message or {"args": [run], "kwargs": {}, "options": options_of(run)}
        super().__init__(
            Message(
                queue_name=run.queue,
                actor_name=run.actor,
                args=tuple(body["args"]),
                kwargs=body["kwargs"],
                options=body["options"],
                message_id=run.run_id,
                message_timestamp=int(run.queued_at.timestamp() * 1000),
            )
        )
        self.run = run


def options_of(run: ClaimedRun) -> dict[str, Any]:
    """What Dramatiq is to do differently from what the actor says."""
    return {} if run.time_limit is None else {"time_limit": max(run.time_limit // timedelta(milliseconds=1), 1)}


def body_of(message: Message[Any]) -> dict[str, Any]:
    """What a run keeps of a message. Raises InvalidMessage if JSON, or JSONB, cannot."""
    body = {"args": message.args, "kwargs": message.kwargs, "options": message.options}
    try:
        kept: dict[str, Any] = json.loads(json.dumps(body, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMessage(message.actor_name, str(error)) from error
    if reason := why_not_storable(kept):
        raise InvalidMessage(message.actor_name, f"it {reason}")
    return kept


def another_attempt(message: Message[Any], delay: timedelta) -> tuple[RetryAt, dict[str, Any]]:
    """What came of the attempt whose message Dramatiq sends again, and what the next one is to find in it."""
    traceback = storable_text(str(message.options.get("traceback") or "sent again"), LONGEST_TRACEBACK)
    if "traceback" in message.options:
        message.options["traceback"] = traceback
    last_line = storable_text(traceback.rstrip().rpartition("\n")[2], LONGEST_LINE)
    return RetryAt(delay, last_line, traceback), body_of(message)


def claimed(message: MessageProxy) -> ClaimedRun:
    if not isinstance(message, RunProxy):
        raise TypeError(f"{message!r} did not come from this broker")
    return message.run
