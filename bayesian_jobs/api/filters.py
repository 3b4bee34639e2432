"""The query parameters that say what of a list is to be told."""

from bayesian_jobs.api.parameters import PRINTABLE, Parameter, choice, text, told, whole
from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.job import JobState
from bayesian_jobs.domain.run import RunState

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

JOB_TYPE = Parameter(
    name="job_type",
    description="`failed`: only failure entries; `user`: all other jobs; `all`: both",
    schema=choice(["all", "failed", "user"], "all"),
)
OF_STATE = Parameter(
    name="state", description="Only jobs in this state", schema=choice([state.value for state in JobState])
)
OF_HANDLER = Parameter(name="handler", description="Only jobs of this handler", schema=PRINTABLE)
TEXT = Parameter(
    name="text", description="Only jobs with this text in id, handler or keyword arguments", schema=PRINTABLE
)
TAG = Parameter(name="tag", description="Only jobs with this tag", schema=PRINTABLE)
RUN_STATE = Parameter(
    name="state", description="Only runs in this state", schema=choice([state.value for state in RunState])
)
LIMIT = Parameter(
    name="limit",
    description="How many entries an answer holds at most",
    schema=whole(1, MAX_LIMIT, DEFAULT_LIMIT),
)
AT = Parameter(
    name="at",
    schema=text("human-date-time"),
    description="The time to explain (ISO 8601, UTC unless it has an offset); whole seconds mean any fire time within "
    "that second. Default: now",
)
OF_JOB = Parameter(name="job_id", description="Only what was done to this job", schema=PRINTABLE)
OF_WHO = Parameter(name="who", description="Only what this author has done, such as `token deploy`", schema=PRINTABLE)
OF_ACTION = Parameter(
    name="action", description=f"Only this. {told(Action)}", schema=choice([action.value for action in Action])
)
AFTER_JOB, AFTER_RUN, AFTER_ENTRY = (
    Parameter(
        name="after",
        description="`next` of the page before, to get the following one",
        schema=text(f"{kind}-cursor"),
    )
    for kind in ("job", "run", "entry")
)
COUNT = Parameter(
    name="count",
    description="How many fire times to tell at most",
    schema=whole(1, 1000, 10),
)
