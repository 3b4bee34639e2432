"""The JSON schemas of what the API takes and gives, as components of the OpenAPI document."""

from collections.abc import Mapping

from bayesian_jobs.api import bodies, observed
from bayesian_jobs.api.json_schema import (
    ANY_OBJECT,
    FLAG,
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    array,
    maybe,
    page,
    record,
    ref,
)
from bayesian_jobs.api.parameters import told
from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.job import JobState, Overlap
from bayesian_jobs.domain.misfire import CatchUp
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.domain.tokens import LONGEST_NAME, Scope
from bayesian_jobs.domain.verdict import Verdict
from bayesian_jobs.lifecycle.rehearse import Effect

JOB_STATE: Schema = {"type": "string", "enum": [state.value for state in JobState]}
RUN_STATE: Schema = {"type": "string", "enum": [state.value for state in RunState]}
SERVICE_STATE: Schema = {"type": "string", "enum": ["running", "paused"]}


def service_state() -> Schema:
    """Of a pause also why and until when, if somebody has said so."""
    return record(state=SERVICE_STATE, reason=TEXT, until=TIME) | {"required": ["state"]}


JOB = record(
    job_id=TEXT,
    handler=TEXT,
    kwargs=ANY_OBJECT,
    state=JOB_STATE,
    when=TIME,
    periodically=maybe(TEXT),
    end=maybe(TIME),
    timezone=TEXT,
    jitter=maybe(TEXT),
    misfire_grace_time=maybe(TEXT),
    catch_up=TEXT | {"enum": list(CatchUp)},
    max_concurrent_runs=WHOLE,
    overlap=TEXT | {"enum": list(Overlap)},
    queue=TEXT,
    priority=WHOLE,
    max_retries=maybe(WHOLE),
    retry_delay=maybe(TEXT),
    time_limit=maybe(TEXT),
    description=maybe(TEXT),
    tags=array(TEXT),
    next_run_at=maybe(TIME),
    last_run=maybe(ref("LastRun")),
    paused=maybe(ref("Pause")),
    error=maybe(TEXT),
    created_at=TIME,
    updated_at=TIME,
    version=WHOLE,
)
LAST_RUN = record(
    run_id=TEXT,
    scheduled_for=maybe(TIME),
    state=maybe(RUN_STATE),
    started_at=maybe(TIME),
    finished_at=maybe(TIME),
)
RUN = record(
    run_id=TEXT,
    job_id=maybe(TEXT),
    job_version=maybe(WHOLE),
    actor=TEXT,
    queue=TEXT,
    priority=WHOLE,
    scheduled_for=TIME,
    state=RUN_STATE,
    attempt=WHOLE,
    failures=WHOLE,
    recoveries=WHOLE,
    worker=maybe(WHOLE),
    queued_at=maybe(TIME),
    started_at=maybe(TIME),
    finished_at=maybe(TIME),
    reason=maybe(TEXT),
    error=maybe(TEXT),
    traceback=maybe(TEXT),
    missed=maybe(ref("Missed")),
    requested=FLAG,
    retry_of=maybe(TEXT),
    cancel_requested_at=maybe(TIME),
    progress=maybe(ref("Progress")),
    kwargs=maybe(ANY_OBJECT),
    flow_id=maybe(TEXT),
    task=maybe(TEXT),
)
EXPLANATION = record(
    job_id=TEXT,
    at=TIME,
    now=TIME,
    verdict={"type": "string", "enum": [verdict.value for verdict in Verdict]},
    explanation=TEXT,
    fire_time=maybe(TIME),
    previous=maybe(TIME),
    next=maybe(TIME),
    run=maybe(ref("Run")),
)
WAITING = {"type": "string", "enum": ["waiting", *RUN_STATE["enum"]]}
FLOW_TASK = record(
    task=TEXT,
    state=WAITING | {"description": "`waiting`: for the tasks of `waits_for` to succeed; else that of its latest run"},
    waits_for=array(TEXT),
    actor=TEXT,
    queue=TEXT,
    run_id=maybe(TEXT),
    scheduled_for=maybe(TIME),
)
FAILURE = record(
    handler=maybe(TEXT),
    error=maybe(TEXT),
    count=WHOLE,
    first_at=TIME,
    last_at=TIME,
    job_ids=array(TEXT),
    run_ids=array(TEXT),
)
HANDLER = record(
    name=TEXT,
    endpoint=TEXT,
    summary=TEXT,
    description=TEXT,
    arguments=ANY_OBJECT,
    example=ANY_OBJECT,
    queue=TEXT,
    time_limit=TEXT,
    max_retries=WHOLE,
)
PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457); `error` is its one line of text",
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": WHOLE,
        "detail": TEXT,
        "error": TEXT,
        "errors": array(record(option=TEXT, value={}, reason=TEXT)),
    },
    "required": ["type", "title", "status", "detail", "error"],
}
DRY_RUN = record(
    dry_run={"type": "boolean", "const": True},
    changes={
        "type": "object",
        "description": "Each field of the job that would change; of a new job, each that it would have",
        "additionalProperties": record(before={}, after={}),
    },
    upcoming=record(before=array(TIME), after=array(TIME)),
    queued_runs=array(
        record(run_id=TEXT, scheduled_for=TIME, becomes=TEXT | {"enum": list(Effect), "description": told(Effect)})
    ),
)
CHECKS = record(database=FLAG, schema=FLAG, schedulers=WHOLE, workers=WHOLE)


SCOPE: Schema = {
    "type": "string",
    "enum": [scope.value for scope in Scope],
    "description": "; ".join(f"`{scope}`: {scope.prose}" for scope in Scope),
}
TOKEN_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "pattern": r"^[^/\s\x00-\x1f\x7f-\x9f]+$",
    "format": "token-name",
}
NEW_TOKEN: Schema = {
    "type": "object",
    "properties": {
        "name": TOKEN_NAME | {"description": "What people call it; it stands in the audit log"},
        "scope": SCOPE,
        "expires": maybe(TEXT | {"format": "expiry"})
        | {"description": "How long it is good for (`90 days`), or until when; omitted: for ever"},
    },
    "required": ["name", "scope"],
    "additionalProperties": False,
    "examples": [{"name": "deploy", "scope": "write", "expires": "90 days"}],
}
TOKEN = record(
    name=TEXT,
    prefix=TEXT,
    scope=SCOPE,
    created_at=TIME,
    expires_at=maybe(TIME),
    revoked_at=maybe(TIME),
    last_used_at=maybe(TIME),
)

ENTRY = record(
    at=TIME,
    who=TEXT | {"description": "`token NAME`, `local`, `command line`, `SQL`, `default files` or `scheduler`"},
    origin=maybe(TEXT)
    | {"description": "The address of the client, `user@host` of the command line, or the role of SQL"},
    action={"type": "string", "enum": [action.value for action in Action]},
    job_id=maybe(TEXT),
    run_id=maybe(TEXT),
    details=ANY_OBJECT,
)


def components(handlers: Mapping[str, Schema]) -> dict[str, Schema]:
    """All schemas by name, given those of the handlers' arguments, which are not among them."""
    return {
        "NewJob": bodies.new_job(handlers),
        "Job": JOB,
        "JobAdded": record(job=ref("Job")),
        "JobList": page("jobs", "Job"),
        "JobPut": {"anyOf": [ref("JobAdded"), ref("JobState"), ref("DryRun")]},
        "JobPatched": {"anyOf": [ref("JobAdded"), ref("DryRun")]},
        "JobChanges": bodies.job_changes(handlers),
        "JobDefinition": bodies.job_definition(handlers),
        "JobState": record(job_id=TEXT, state=JOB_STATE),
        "LastRun": LAST_RUN,
        "Pause": record(since=maybe(TIME), reason=maybe(TEXT), until=maybe(TIME)),
        "Explanation": EXPLANATION,
        "DryRun": DRY_RUN,
        "Upcoming": record(upcoming=array(TIME)),
        "Removed": record(removed=array(TEXT)),
        "Run": RUN,
        "RunRequested": record(run=ref("Run")),
        "Retry": {"type": "object", "properties": {"kwargs": ANY_OBJECT}, "additionalProperties": False},
        "Progress": record(done=NUMBER, total=maybe(NUMBER), text=maybe(TEXT)),
        "Missed": record(until=TIME, count=WHOLE),
        "RunList": page("runs", "Run"),
        "Failures": record(failures=array(FAILURE), failures_count=WHOLE),
        **observed.SCHEMAS,
        "Flow": record(flow_id=TEXT, job_id=maybe(TEXT), tasks=array(ref("FlowTask")), tasks_count=WHOLE),
        "FlowTask": FLOW_TASK,
        "Handler": HANDLER,
        "HandlerList": record(handlers=array(ref("Handler")), handlers_count=WHOLE),
        "ServiceState": service_state(),
        "Readiness": record(ready=FLAG, checks=CHECKS),
        "Liveness": record(alive=FLAG),
        "Entry": ENTRY,
        "AuditLog": page("entries", "Entry"),
        "NewToken": NEW_TOKEN,
        "Token": TOKEN,
        "TokenMade": record(token=ref("Token"), secret=TEXT),
        "TokenRevoked": record(token=ref("Token")),
        "TokenList": record(tokens=array(ref("Token")), tokens_count=WHOLE),
        "OpenAPI": ANY_OBJECT,
        "Problem": PROBLEM,
    }
