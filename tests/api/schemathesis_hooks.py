"""What Schemathesis cannot know of this API: the formats of its texts, and which refusals no schema foretells."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import strategies as st

from bayesian_jobs.api import cursors
from bayesian_jobs.domain.datetimes import format_datetime
from bayesian_jobs.domain.durations import LONGEST, format_duration

# All others are shorter than any period, as jitter has to be.
DURATIONS = st.timedeltas(timedelta(seconds=1), timedelta(minutes=59)).map(format_duration)
PERIODS = st.timedeltas(timedelta(hours=1), LONGEST).map(format_duration)
MOMENTS = st.datetimes(datetime(2100, 1, 1), datetime(2999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=50)
FLOW = "00000000-0000-4000-8000-000000000000"
CRONS = st.sampled_from(["*/5 * * * *", "@daily", "30 3 * * mon-fri", "0 0 29 2 *"])

schemathesis.openapi.format("human-duration", DURATIONS)
schemathesis.openapi.format("human-duration-or-cron", PERIODS | CRONS)
schemathesis.openapi.format("human-date-time", MOMENTS.map(format_datetime))
schemathesis.openapi.format("iana-time-zone", st.just("UTC"))
schemathesis.openapi.format("idempotency-key", st.uuids().map(str))
schemathesis.openapi.format("entity-tags", st.sampled_from(["*", '"1-1"', 'W/"1-1", "2-1"']))
schemathesis.openapi.format("queue", st.just("default"))
schemathesis.openapi.format("words", WORDS)
schemathesis.openapi.format("some-words", WORDS.filter(str.strip))
schemathesis.openapi.format("digits", st.sampled_from(["1", "2"]))
schemathesis.openapi.format("token-name", st.uuids().map(str))
schemathesis.openapi.format("expiry", DURATIONS | MOMENTS.map(format_datetime))
schemathesis.openapi.format("tags", st.sampled_from(["", "one", "one, two"]))
schemathesis.openapi.format("tag", WORDS.filter(lambda text: text == text.strip() != "" and "," not in text))
schemathesis.openapi.format("job-cursor", st.sampled_from(["a", "z", "ě š"]).map(cursors.job_cursor))
schemathesis.openapi.format("entry-cursor", st.integers(0, 10**9).map(cursors.entry_cursor))
schemathesis.openapi.format("run-cursor", st.builds(cursors.run_cursor, MOMENTS, st.uuids().map(str)))


@schemathesis.hook("map_case").apply_to(method="PUT", path="/jobs/{job_id}")
def what_can_be_meant_together(context: Any, case: Any) -> Any:
    """PUT takes state in the query or a body, which may repeat the job_id of the path; and one of two conditions that
    are each other's contrary."""
    if is_valid(case) and isinstance(case.body, dict):
        for name in ("state", "reason", "until"):
            (case.query or {}).pop(name, None)
        if "job_id" in case.body:
            case.body["job_id"] = case.path_parameters["job_id"]
        if "If-None-Match" in (case.headers or {}):
            case.headers.pop("If-Match", None)
    return case


@schemathesis.hook("map_case").apply_to(method="DELETE", path="/tokens/{token_name}")
def its_own_token_stays(context: Any, case: Any) -> Any:
    """The list of tokens has it as well, and what is listed gets removed."""
    if case.path_parameters["token_name"] == "Schemathesis":
        case.path_parameters["token_name"] = str(uuid4())
    return case


@schemathesis.hook("map_case").apply_to(method="GET", path="/flows/{flow_id}")
def a_flow_that_was_started(context: Any, case: Any) -> Any:
    """No request starts a flow, so its id cannot be drawn: half of the ids are that of the flow that there is."""
    flow_id = case.path_parameters["flow_id"]
    if is_valid(case) and int(flow_id[-1], 16) % 2 == 0:
        case.path_parameters["flow_id"] = FLOW
    return case


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Each key is sent once: else most requests would be refused, since drawn keys are mostly the simplest one."""
    if is_valid(case) and "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = str(uuid4())


def is_valid(case: Any) -> bool:
    """Whether the document allows this request."""
    return case.meta is not None and bool(case.meta.generation.mode.is_positive)


UNFORESEEABLE = (
    ("PUT", r"^(reason|until): is for state=paused", "what a pause says is judged together with the state"),
    ("PUT", r"^state: is required beside reason and until", "as it is here"),
    ("PUT", r"^This request takes no body", "PUT takes state in the query or a body"),
    ("PUT", r"^state: is required in the query, or else options", "and it takes one of them"),
    ("PUT|PATCH", r"^job_id: cannot be changed; the path names", "a body may only repeat what the path says"),
    ("PATCH|POST .*/retry", r"^kwargs\.", "keyword arguments are judged by the handler that the stored job has"),
    ("PUT|PATCH", r"^state: .* has no fire time left", "a change is judged by what the job is"),
    ("PUT|PATCH", r"^when: has passed, and a job that is changed does not run at once", "and by the clock"),
    ("POST|PUT|PATCH", r"^end: (is for a periodic job|leaves no fire time)", "options are judged together"),
    ("POST|PUT|PATCH", r"^jitter: must be shorter than the period", "as these are"),
    ("POST|PUT|PATCH", r"^catch_up: needs misfire_grace_time", "and these"),
    ("POST|PUT|PATCH", r"^overlap: runs what has passed, which catch_up", "and these"),
    ("POST|PUT", r"^kwargs\..*: should be a valid integer", "to JSON Schema 5.0 is an integer, to a handler it is not"),
    ("POST|PUT|PATCH", r"more than 64 bits", "JSON Schema knows numbers of any size"),
    ("POST|PUT|PATCH", r"nested deeper|a lone surrogate", "nor how deep a document is, nor what UTF-8 can carry"),
)
"""Operations, what they answer with 400 to a request that their schema allows, and why no schema can foretell it."""


@schemathesis.check
def a_valid_request_is_refused_only_for_what_no_schema_can_say(ctx: Any, response: Any, case: Any) -> None:
    """In place of the same rule of `positive_data_acceptance`, which knows statuses only."""
    if response.status_code != 400 or not is_valid(case):
        return
    problem = response.json()
    errors = [each for each in problem.get("errors", []) if each["option"] != "…"]  # which counts those not told
    told = [f"{each['option']}: {each['reason']}" for each in errors] or [problem["error"]]
    unknown = [text for text in told if not is_unforeseeable(case.operation.label, text)]
    assert not unknown, f"refused although the document allows it: {'; '.join(unknown)}"


def is_unforeseeable(label: str, text: str) -> bool:
    return any(re.match(operations, label) and re.search(known, text) for operations, known, _ in UNFORESEEABLE)


@schemathesis.check
class EveryOperationSucceeds:
    """Otherwise only its refusals would have been looked at."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.done: set[str] = set()

    def after_response(self, ctx: Any, response: Any, case: Any) -> None:
        method, label = case.operation.method.upper(), case.operation.label
        self.tried.add(label)
        if response.request.method == method and response.status_code < 300:
            self.done.add(label)

    def after_run(self, ctx: Any) -> None:
        assert self.tried == self.done, f"never answered with success: {', '.join(sorted(self.tried - self.done))}"
