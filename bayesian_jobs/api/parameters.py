"""Query parameters: the ones there are, as read and as documented, and the strict reading of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import falcon

from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.described import Described
from bayesian_jobs.domain.job import (
    FIRST_PRIORITY,
    LAST_PRIORITY,
    LONGEST_JOB_ID,
    MOST_CONCURRENT_RUNS,
    MOST_RETRIES,
    MOST_TAGS,
    PRIORITY,
    RESERVED_JOB_IDS,
    JobState,
    Overlap,
)
from bayesian_jobs.domain.misfire import CatchUp
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.errors import Fault, InvalidOptions

MAX_PARAMETERS = 50
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One query parameter or header; `schema` is the JSON schema of its value. With an `enum`, `chosen` checks it."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    example: str | None = None


def query(req: falcon.Request, parameters: Sequence[Parameter]) -> dict[str, str]:
    """The request's query, by parameter name.

    Raises InvalidOptions, with all that is wrong, for a name that is unknown or repeated, for a value with
    control characters and for a required parameter that is absent.
    """
    pairs = _pairs(req.query_string)
    known = {parameter.name for parameter in parameters}
    found: dict[str, str] = {}
    faults: list[Fault] = []
    for name, value in pairs:
        reason = _why_not(name, value, known, found)
        if reason:
            faults.append(Fault(name, value, reason))
        found[name] = value
    absent = [each.name for each in parameters if each.required and each.name not in found]
    faults += [Fault(name, None, "is required") for name in absent]
    if faults:
        raise InvalidOptions(faults)
    return found


def chosen(values: Mapping[str, str], parameter: Parameter) -> str | None:
    """The parameter's value, one of its `enum`, or its default. Raises InvalidOptions."""
    value = values.get(parameter.name)
    if value is None:
        default: str | None = parameter.schema.get("default")
        return default
    choices = parameter.schema["enum"]
    if value not in choices:
        raise InvalidOptions([Fault(parameter.name, value, f"must be one of {', '.join(choices)}")])
    return value


def state_change(values: Mapping[str, str]) -> dict[str, Any]:
    """The state to change to, with the reason and the end of a pause. Raises InvalidOptions."""
    if "state" not in values:
        raise InvalidOptions([Fault("state", None, "is required beside reason and until")])
    return {"state": values["state"], "reason": values.get("reason"), "until": values.get("until")}


def whole_number(values: Mapping[str, str], parameter: Parameter) -> int:
    """The parameter's value, within the bounds of its schema, or its default. Raises InvalidOptions."""
    text = values.get(parameter.name, str(parameter.schema["default"]))
    lowest, highest = parameter.schema["minimum"], parameter.schema["maximum"]
    if text.isascii() and text.isdigit() and len(text) < 10 and lowest <= int(text) <= highest:
        return int(text)
    raise InvalidOptions([Fault(parameter.name, text, f"must be a whole number from {lowest} to {highest}")])


def flag(values: Mapping[str, str], parameter: Parameter) -> bool:
    """The parameter's value, true or false, or its default. Raises InvalidOptions."""
    text = values.get(parameter.name)
    if text is None:
        return bool(parameter.schema["default"])
    if text not in ("true", "false"):
        raise InvalidOptions([Fault(parameter.name, text, "must be true or false")])
    return text == "true"


def has_control_characters(text: str) -> bool:
    return any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)


def _pairs(query_string: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise falcon.HTTPBadRequest(description="The query is not UTF-8") from error
    except ValueError as error:
        raise falcon.HTTPBadRequest(description=f"The query cannot be read: {error}") from error


def _why_not(name: str, value: str, known: set[str], found: Mapping[str, str]) -> str | None:
    if name not in known:
        return f"is not a parameter of this request (it takes: {', '.join(sorted(known)) or 'none'})"
    if name in found:
        return "is given more than once"
    if has_control_characters(value):
        return "contains a control character"
    return None


def _choice(values: Sequence[str], default: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "enum": list(values)}
    return schema if default is None else schema | {"default": default}


def _whole(lowest: int, highest: int, default: int | None = None) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": lowest, "maximum": highest}
    return schema if default is None else schema | {"default": default}


def told(values: type[Described]) -> str:
    return "; ".join(f"`{value}`: {value.prose}" for value in values)


def _text(format: str) -> dict[str, Any]:
    """Text of which no pattern could say all: the format's name tells it from other text."""
    return {"type": "string", "format": format}


PRINTABLE: Mapping[str, Any] = {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}
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
    schema=_text("human-duration-or-cron"),
    description=(
        "How often: a duration (`1 week`, `5:00:00` for every five hours, `1 day`) or a cron expression "
        "(`*/5 * * * *`, `@daily`). When omitted, the job runs once, at `when`"
    ),
)
WHEN = Parameter(
    name="when",
    schema=_text("human-date-time"),
    description="First execution: `Mon Feb 20, 14:56` or ISO 8601, UTC unless it has an offset; default: now",
)
MISFIRE_GRACE_TIME = Parameter(
    name="misfire_grace_time",
    schema=_text("human-duration"),
    description="How late an execution may still start (`1 hour`); later, it is not run. Default: no limit",
)
TIMEZONE = Parameter(
    name="timezone",
    description="Time zone of a cron expression (`Europe/Prague`); default: UTC",
    schema=_text("iana-time-zone"),
)
STATE = Parameter(
    name="state",
    description="`running`: active, ready for execution; `paused`: postponed",
    schema=_choice([JobState.RUNNING, JobState.PAUSED], JobState.RUNNING),
)
END = Parameter(
    name="end",
    schema=_text("human-date-time"),
    description="Of a periodic job: when it fires last, at the latest. Default: never ends",
)
JITTER = Parameter(
    name="jitter",
    schema=_text("human-duration"),
    description="Runs may be started later than their fire time, by less than this (`30 seconds`, at most `1 day`). "
    "Default: none",
)
CATCH_UP = Parameter(
    name="catch_up",
    description=f"What becomes of several fire times that are due at once. {told(CatchUp)}",
    schema=_choice(list(CatchUp), CatchUp.LATEST),
)
MAX_CONCURRENT_RUNS = Parameter(
    name="max_concurrent_runs",
    description="How many runs of the job may be queued or executing at once",
    schema=_whole(1, MOST_CONCURRENT_RUNS, 1),
)
OVERLAP = Parameter(
    name="overlap",
    description=f"What becomes of a fire time while so many runs are queued or executing. {told(Overlap)}",
    schema=_choice(list(Overlap), Overlap.SKIP),
)
QUEUE = Parameter(
    name="queue", schema=_text("queue"), description="The queue of its runs. Default: that of its handler"
)
PRIORITY_OF_RUNS = Parameter(
    name="priority",
    description="The lower, the earlier its runs start among those of their queue",
    schema=_whole(FIRST_PRIORITY, LAST_PRIORITY, PRIORITY),
)
MAX_RETRIES = Parameter(
    name="max_retries",
    description="How often a failed attempt of a run is tried again. Default: as its handler says",
    schema=_whole(0, MOST_RETRIES),
)
RETRY_DELAY = Parameter(
    name="retry_delay",
    schema=_text("human-duration"),
    description="The wait before the first retry, doubled for each further one. Default: as its handler says",
)
TIME_LIMIT = Parameter(
    name="time_limit",
    schema=_text("human-duration"),
    description="How long one attempt may take. Default: as its handler says",
)
DESCRIPTION = Parameter(name="description", schema=_text("words"), description="Words about the job, for people")
TAGS = Parameter(
    name="tags",
    description="Words to find the job by; in a query separated by commas",
    schema={"type": "array", "items": _text("tag"), "maxItems": MOST_TAGS, "uniqueItems": True},
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
    schema=_choice([JobState.RUNNING, JobState.PAUSED]),
    required=True,
)
CHANGED_STATE = replace(NEW_STATE, description="The state to change to; then there is no body", required=False)
REASON = Parameter(
    name="reason",
    schema=_text("some-words"),
    description="With `state=paused`: why, for those who look at it later",
)
UNTIL = Parameter(
    name="until",
    schema=_text("human-date-time"),
    description="With `state=paused`: when it is set running again by itself (ISO 8601, UTC unless it has an offset)",
)
JOB_TYPE = Parameter(
    name="job_type",
    description="`failed`: only failure entries; `user`: all other jobs; `all`: both",
    schema=_choice(["all", "failed", "user"], "all"),
)
OF_STATE = Parameter(
    name="state", description="Only jobs in this state", schema=_choice([state.value for state in JobState])
)
OF_HANDLER = Parameter(name="handler", description="Only jobs of this handler", schema=PRINTABLE)
TEXT = Parameter(
    name="text", description="Only jobs with this text in id, handler or keyword arguments", schema=PRINTABLE
)
TAG = Parameter(name="tag", description="Only jobs with this tag", schema=PRINTABLE)
RUN_STATE = Parameter(
    name="state", description="Only runs in this state", schema=_choice([state.value for state in RunState])
)
LIMIT = Parameter(
    name="limit",
    description="How many entries an answer holds at most",
    schema=_whole(1, MAX_LIMIT, DEFAULT_LIMIT),
)
AT = Parameter(
    name="at",
    schema=_text("human-date-time"),
    description="The time to explain (ISO 8601, UTC unless it has an offset); whole seconds mean any fire time within "
    "that second. Default: now",
)
OF_JOB = Parameter(name="job_id", description="Only what was done to this job", schema=PRINTABLE)
OF_WHO = Parameter(name="who", description="Only what this author has done, such as `token deploy`", schema=PRINTABLE)
OF_ACTION = Parameter(
    name="action", description=f"Only this. {told(Action)}", schema=_choice([action.value for action in Action])
)
AFTER_JOB, AFTER_RUN, AFTER_ENTRY = (
    Parameter(
        name="after",
        description="`next` of the page before, to get the following one",
        schema=_text(f"{kind}-cursor"),
    )
    for kind in ("job", "run", "entry")
)
COUNT = Parameter(
    name="count",
    description="How many fire times to tell at most",
    schema=_whole(1, 1000, 10),
)
