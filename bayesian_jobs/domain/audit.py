"""What the audit log tells: who has changed what."""

from dataclasses import dataclass

from bayesian_jobs.domain.described import Described


@dataclass(frozen=True, slots=True)
class Author:
    """`who`: `token NAME`, or what kind of somebody it is who needs no token; `origin`: from where, if it is known."""

    who: str
    origin: str | None = None


SCHEDULER = Author("scheduler")
DEFAULT_FILES = Author("default files")


class Action(Described):
    """What was done."""

    JOB_ADDED = "job added", "a job was added; `details` tells its handler"
    JOB_CHANGED = "job changed", "a job got another definition; `details` tells each option before and after"
    JOB_PAUSED = "job paused", "a job was paused, or why and until when was said anew; `details` tells it"
    JOB_RESUMED = "job resumed", "a job was set running again"
    JOB_REMOVED = "job removed", "a job was removed"
    FAILURES_REMOVED = "failures removed", "all failure entries were removed; `details` tells how many"
    RUN_REQUESTED = "run requested", "a run was asked for, or one was to be tried again; `details` tells which"
    RUN_CANCELLED = "run cancelled", "a run was to be cancelled"
    SERVICE_PAUSED = "service paused", "the service was paused; `details` tells why and until when"
    SERVICE_RESUMED = "service resumed", "the service was set running again"
    TOKEN_MADE = "token made", "a token was made; `details` tells its name and scope"
    TOKEN_REVOKED = "token revoked", "a token was revoked; `details` tells its name"
