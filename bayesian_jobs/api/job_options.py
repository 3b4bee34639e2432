"""The options of a job as query parameters, and what changes its state."""

import re
from dataclasses import replace
from typing import Any

from bayesian_jobs.api.parameters import Parameter, choice, text, told, whole
from bayesian_jobs.domain.job import (
    ALLOW,
    FIRST_PRIORITY,
    LAST_PRIORITY,
    LONGEST_JOB_ID,
    MOST_CONCURRENT_RUNS,
    MOST_RETRIES,
    MOST_TAGS,
    OVERLAPS,
    PRIORITY,
    RESERVED_JOB_IDS,
    JobState,
    Overlap,
)
from bayesian_jobs.domain.misfire import CatchUp

ANY_JOB_ID: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_JOB_ID,
    "pattern": r"^[^\s/\u0000-\u001f\u007f-\u009f]([^/\u0000-\u001f\u007f-\u009f\u2028\u2029]*"
    r"[^\s/\u0000-\u001f\u007f-\u009f])?$",
}
# Within the pattern, since Swagger UI takes a schema with a "not" for one that nothing fits.
RESERVED = "|".join(re.escape(each) for each in sorted(RESERVED_JOB_IDS))
JOB_ID = Parameter(
    name="job_id",
    description="Unique string that identifies the job; generated when omitted",
    schema=ANY_JOB_ID | {"pattern": f"^(?!({RESERVED})$){ANY_JOB_ID['pattern'][1:]}"},
)
PERIODICALLY = Parameter(
    name="periodically",
    schema=text("human-duration-or-cron"),
    description=(
        "How often: a duration (`1 week`, `5:00:00` for every five hours, `1 day`) or a cron expression "
        "(`*/5 * * * *`, `@daily`). When omitted, the job runs once, at `when`"
    ),
)
WHEN = Parameter(
    name="when",
    schema=text("human-date-time"),
    description="First execution: `Mon Feb 20, 14:56` or ISO 8601, UTC unless it has an offset; default: now",
)
MISFIRE_GRACE_TIME = Parameter(
    name="misfire_grace_time",
    schema=text("human-duration"),
    description="How late an execution may still start (`1 hour`); later, it is not run. Default: no limit",
)
TIMEZONE = Parameter(
    name="timezone",
    description="Time zone of a cron expression (`Europe/Prague`); default: UTC",
    schema=text("iana-time-zone"),
)
STATE = Parameter(
    name="state",
    description="`running`: active, ready for execution; `paused`: postponed",
    schema=choice([JobState.RUNNING, JobState.PAUSED], JobState.RUNNING),
)
END = Parameter(
    name="end",
    schema=text("human-date-time"),
    description="Of a periodic job: when it fires last, at the latest. Default: never ends",
)
JITTER = Parameter(
    name="jitter",
    schema=text("human-duration"),
    description="Runs may be started later than their fire time, by less than this (`30 seconds`, at most `1 day`). "
    "Default: none",
)
CATCH_UP = Parameter(
    name="catch_up",
    description=f"What becomes of several fire times that are due at once. {told(CatchUp)}",
    schema=choice(list(CatchUp), CatchUp.LATEST),
)
MAX_CONCURRENT_RUNS = Parameter(
    name="max_concurrent_runs",
    description="How many runs of the job may be queued or executing at once",
    schema=whole(1, MOST_CONCURRENT_RUNS, 1),
)
OVERLAP = Parameter(
    name="overlap",
    description=f"What becomes of a fire time while so many runs are queued or executing. {told(Overlap)}. `{ALLOW}` "
    f"is short for a max_concurrent_runs of {MOST_CONCURRENT_RUNS}",
    schema=choice(list(OVERLAPS), Overlap.SKIP),
)
QUEUE = Parameter(name="queue", schema=text("queue"), description="The queue of its runs. Default: that of its handler")
PRIORITY_OF_RUNS = Parameter(
    name="priority",
    description="The lower, the earlier its runs start among those of their queue",
    schema=whole(FIRST_PRIORITY, LAST_PRIORITY, PRIORITY),
)
MAX_RETRIES = Parameter(
    name="max_retries",
    description="How often a failed attempt of a run is tried again. Default: as its handler says",
    schema=whole(0, MOST_RETRIES),
)
RETRY_DELAY = Parameter(
    name="retry_delay",
    schema=text("human-duration"),
    description="The wait before the first retry, doubled for each further one. Default: as its handler says",
)
TIME_LIMIT = Parameter(
    name="time_limit",
    schema=text("human-duration"),
    description="How long one attempt may take. Default: as its handler says",
)
DESCRIPTION = Parameter(name="description", schema=text("words"), description="Words about the job, for people")
TAGS = Parameter(
    name="tags",
    description="Words to find the job by; in a query separated by commas",
    schema={"type": "array", "items": text("tag"), "maxItems": MOST_TAGS, "uniqueItems": True},
)
JOB_OPTIONS = (
    JOB_ID,
    PERIODICALLY,
    WHEN,
    END,
    TIMEZONE,
    JITTER,
    MISFIRE_GRACE_TIME,
    CATCH_UP,
    MAX_CONCURRENT_RUNS,
    OVERLAP,
    QUEUE,
    PRIORITY_OF_RUNS,
    MAX_RETRIES,
    RETRY_DELAY,
    TIME_LIMIT,
    DESCRIPTION,
    TAGS,
    STATE,
)

NEW_STATE = Parameter(
    name="state",
    description="The state to change to",
    schema=choice([JobState.RUNNING, JobState.PAUSED]),
    required=True,
)
CHANGED_STATE = replace(NEW_STATE, description="The state to change to; then there is no body", required=False)
REASON = Parameter(
    name="reason",
    schema=text("some-words"),
    description="With `state=paused`: why, for those who look at it later",
)
UNTIL = Parameter(
    name="until",
    schema=text("human-date-time"),
    description="With `state=paused`: when it is set running again by itself (ISO 8601, UTC unless it has an offset)",
)
