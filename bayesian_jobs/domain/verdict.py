"""What there is to say about a job at a time, in one word."""

from bayesian_jobs.domain.described import Described


class Verdict(Described):
    """The answer of an explanation. The first seven are the states of a run."""

    QUEUED = "queued", "its run waits for a worker, or for its next attempt"
    RUNNING = "running", "a worker executes its run"
    SUCCEEDED = "succeeded", "it ran, and its handler returned"
    FAILED = "failed", "it ran, and its handler failed for good"
    MISSED = "missed", "too late, or collapsed into a later run"
    SKIPPED = "skipped", "no run was made for it"
    CANCELLED = "cancelled", "its run was cancelled"
    DUE = "due", "it has passed and awaits its dispatch"
    PUT_OFF = "put_off", "it has passed while the job was paused, and is settled when that is resumed"
    WILL_RUN = "will_run", "it is to come, and the job will run then if nothing changes"
    WILL_NOT_RUN = "will_not_run", "it is to come, and the job will not run then if nothing changes"
    NO_FIRE_TIME = "no_fire_time", "the job does not fire at that time"
    BEFORE_THE_JOB = "before_the_job", "the job did not exist yet"
    NOT_RECORDED = "not_recorded", "it has passed and the ledger holds nothing of it"
