"""The tables. Alembic owns the schema (`alembic/versions`); `alembic check` holds the two against each other."""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID

from bayesian_jobs.domain.job import FIRST_PRIORITY, LAST_PRIORITY, MOST_CONCURRENT_RUNS, PRIORITY, JobState, Overlap
from bayesian_jobs.domain.misfire import CatchUp
from bayesian_jobs.domain.run import RunState
from bayesian_jobs.domain.tokens import LONGEST_NAME, Scope

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "pk": "%(table_name)s_pkey",
    }
)

Moment = TIMESTAMP(timezone=True)
NOW = text("now()")
ZERO = text("0")

# These tables are rewritten at the rate of the work. Room in each page keeps the new version of a row on the page of
# the old one, and vacuum that starts early and does not sleep keeps them from growing: measured, 1.7 times the speed
# after a minute of full load.
BUSY_TABLE = {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_cost_delay": 0}


# What Python cannot read back would stop whoever reads it, and a month has no fixed length. Of a pending job the
# scheduler sees to that.
READABLE_TIMES = " AND ".join(
    f"{column} BETWEEN '1970-01-01 00:00Z' AND '9000-12-31 23:59:59.999999Z'"
    for column in ("starts_at", "ends_at", "next_run_at")
)
FIXED_PERIOD = "extract(year FROM period) = 0 AND extract(month FROM period) = 0"
READABLE_INTERVALS = " AND ".join(
    f"{column} <= interval '99999 days'" for column in ("jitter", "misfire_grace_time", "retry_delay", "time_limit")
)


def one_of(column: str, values: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


jobs = Table(
    "jobs",
    metadata,
    Column("job_no", BigInteger, Identity(always=True), primary_key=True, comment="a job that is deleted and created again under its old job_id is another job"),
    Column("job_id", Text, nullable=False, unique=True),
    Column("handler", Text, nullable=False),
    Column("queue", Text, nullable=False, server_default="default"),
    Column("kwargs", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("period", Interval, comment="of a job that runs at fixed intervals, counted from starts_at"),
    Column("cron", Text, comment="of a job that runs by a cron expression; neither period nor cron: runs once, at starts_at"),
    Column("timezone", Text, nullable=False, server_default="UTC", comment="in which the cron expression is read"),
    Column("starts_at", Moment, nullable=False, server_default=NOW),
    Column("ends_at", Moment, comment="of a periodic job: when it fires last, at the latest"),
    Column("jitter", Interval, comment="a run may be started later than its fire time, by less than this"),
    Column("misfire_grace_time", Interval, comment="how late a run may start; null: no limit"),
    Column("catch_up", Text, nullable=False, server_default=str(CatchUp.LATEST), comment="what becomes of several fire times that are due at once"),
    Column("max_concurrent_runs", SmallInteger, nullable=False, server_default=text("1")),
    Column("overlap", Text, nullable=False, server_default=str(Overlap.SKIP), comment="what becomes of a fire time while so many runs are open"),
    Column("priority", SmallInteger, nullable=False, server_default=text(str(PRIORITY)), comment="of its runs: the lower, the earlier they are claimed"),
    Column("max_retries", Integer, comment="null: as its handler says"),
    Column("retry_delay", Interval, comment="null: as its handler says"),
    Column("time_limit", Interval, comment="null: as its handler says"),
    Column("description", Text),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("state", Text, nullable=False, server_default=str(JobState.PENDING)),
    Column("paused_at", Moment, comment="when it was paused last"),
    Column("paused_reason", Text, comment="why it was paused, in the words of who did it"),
    Column("paused_until", Moment, comment="when the scheduler sets it running again; null: nobody but an operator does"),
    Column("error", Text, comment="why the scheduler has set it aside (paused it); null: it has not"),
    Column("next_run_at", Moment, comment="the first fire time that no run, missed or skipped record accounts for yet"),
    Column("last_run_id", UUID(as_uuid=False), comment="the run of the latest fire time that had one"),
    Column("last_scheduled_for", Moment),
    Column("open_runs", ARRAY(Moment), comment="the fire times of the runs that were open when the last one was made, if it may have several"),
    Column("waiting", Boolean, nullable=False, server_default=text("false"), comment="its due fire time waits for an open run to end"),
    Column("version", Integer, nullable=False, server_default=text("1"), comment="counts the changes of the definition and of the state"),
    Column("source", Text, comment="the default-job file that owns this job"),
    Column("source_digest", Text, comment="SHA-256 of the options that the file held when a version before 0.1.0 applied it"),
    Column("source_options", JSONB, comment="the options that the file held when it was last applied"),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("updated_at", Moment, nullable=False, server_default=NOW),
    CheckConstraint(one_of("state", JobState), name="state"),
    CheckConstraint("num_nonnulls(period, cron) <= 1", name="one_trigger"),
    CheckConstraint("period > interval '0' AND period <= interval '99999 days'", name="period"),
    CheckConstraint("misfire_grace_time > interval '0'", name="misfire_grace_time"),
    CheckConstraint("jitter > interval '0'", name="jitter"),
    CheckConstraint(one_of("catch_up", CatchUp), name="catch_up"),
    CheckConstraint("catch_up <> 'all' OR misfire_grace_time IS NOT NULL", name="reach"),
    CheckConstraint(f"max_concurrent_runs BETWEEN 1 AND {MOST_CONCURRENT_RUNS}", name="max_concurrent_runs"),
    CheckConstraint(one_of("overlap", Overlap), name="overlap"),
    CheckConstraint(f"priority BETWEEN {FIRST_PRIORITY} AND {LAST_PRIORITY}", name="priority"),
    CheckConstraint("max_retries >= 0", name="max_retries"),
    CheckConstraint("retry_delay > interval '0' AND time_limit > interval '0'", name="attempts"),
    CheckConstraint("length(job_id) BETWEEN 1 AND 200", name="job_id"),
    CheckConstraint(f"state = '{JobState.PENDING}' OR ({READABLE_TIMES} AND {READABLE_INTERVALS})", name="limits"),
    CheckConstraint(f"state <> '{JobState.RUNNING}' OR ({FIXED_PERIOD})", name="fixed_period"),
    CheckConstraint("isfinite(starts_at) AND isfinite(next_run_at) AND isfinite(ends_at)", name="times"),
    CheckConstraint("isfinite(paused_until)", name="paused_until"),
    postgresql_with=BUSY_TABLE,
)  # fmt: skip
Index("jobs_due", jobs.c.next_run_at, postgresql_where=text(f"state = '{JobState.RUNNING}' AND NOT waiting"))
Index("jobs_over", jobs.c.job_no, postgresql_where=text("next_run_at IS NULL AND state IN ('running', 'paused')"))
Index("jobs_waiting", jobs.c.job_no, postgresql_where=text("waiting"))
Index("jobs_tags", jobs.c.tags, postgresql_using="gin", postgresql_where=text("tags <> '{}'"))
Index("jobs_pending", jobs.c.job_no, postgresql_where=text(f"state = '{JobState.PENDING}'"))
Index("jobs_paused_until", jobs.c.paused_until, postgresql_where=text("state = 'paused' AND paused_until IS NOT NULL"))
Index("jobs_failures", jobs.c.job_id, postgresql_where=text("handler = 'ErrorHandler'"))
Index("jobs_source", jobs.c.source, postgresql_where=text("source IS NOT NULL"))

runs = Table(
    "runs",
    metadata,
    Column("run_id", UUID(as_uuid=False), nullable=False, comment="also the id of the Dramatiq message"),
    Column("job_no", BigInteger, comment="null: a message that was sent to an actor without a job"),
    Column("job_id", Text),
    Column("job_version", Integer, comment="of the definition that the run was queued under"),
    Column("actor", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default=text(str(PRIORITY)), comment="the lower, the earlier it is claimed"),
    Column("scheduled_for", Moment, nullable=False, comment="the fire time; of a message, when it was sent"),
    Column("state", Text, nullable=False),
    Column("claim_at", Moment, comment="when a worker may claim it; null: it does not wait for one"),
    Column("resend_at", Moment, comment="of a queued run that a worker has been told of through Redis or RabbitMQ: when it is to be told again; null: nobody has been told yet"),
    Column("attempt", Integer, nullable=False, server_default=ZERO, comment="counts the starts: the fencing token"),
    Column("failures", Integer, nullable=False, server_default=ZERO, comment="attempts that raised"),
    Column("recoveries", Integer, nullable=False, server_default=ZERO, comment="attempts taken back from a dead worker"),
    Column("worker", BigInteger, comment="the process that claimed it last"),
    Column("begun", Boolean, nullable=False, server_default=text("false"), comment="an attempt went back to the queue after its handler had begun"),
    Column("queued_at", Moment, nullable=False, server_default=NOW),
    Column("started_at", Moment, comment="of the latest attempt"),
    Column("finished_at", Moment),
    Column("missed_until", Moment, comment="of a missed or skipped record: its last fire time"),
    Column("missed_count", BigInteger, comment="how many fire times such a record stands for"),
    Column("reason", Text, comment="why it ended as it did"),
    Column("traceback", Text),
    Column("message", JSONB, comment="args, kwargs and options of a message without a job"),
    Column("flow_id", UUID(as_uuid=False), comment="of a task of a flow: which start of the flow it belongs to"),
    Column("task", Text, comment="the name of the task in its flow"),
    Column("requested", Boolean, nullable=False, server_default=text("false"), comment="somebody asked for it: it is of no fire time, and starts whatever state its job is in, unless that was paused later"),
    Column("kwargs", JSONB, comment="instead of those of the job"),
    Column("retry_of", UUID(as_uuid=False), comment="the run that this one tries again"),
    Column("cancel_requested_at", Moment, comment="when somebody asked for it to be cancelled"),
    Column("progress", JSONB, comment="of the latest attempt: done, total, text"),
    PrimaryKeyConstraint("run_id", "scheduled_for"),
    UniqueConstraint("job_no", "scheduled_for"),
    CheckConstraint(one_of("state", RunState), name="state"),
    CheckConstraint("claim_at IS NULL OR state = 'queued'", name="only_queued_runs_wait"),
    CheckConstraint("num_nonnulls(missed_until, missed_count) IN (0, 2)", name="missed_range"),
    postgresql_partition_by="RANGE (scheduled_for)",
)  # fmt: skip
# Its key is not the primary key's, and it hangs on a column that only queueing and claiming touch: finishing a run
# is then a HOT update, and no plan can walk the finished runs instead.
Index("runs_claim", runs.c.queue, runs.c.priority, runs.c.claim_at, postgresql_where=text("claim_at IS NOT NULL"))
Index("runs_fire_times", runs.c.scheduled_for, runs.c.run_id)
Index("runs_retries", runs.c.retry_of, postgresql_where=text("retry_of IS NOT NULL"))
Index("runs_flow", runs.c.flow_id, postgresql_where=text("flow_id IS NOT NULL"))

flow_tasks = Table(
    "flow_tasks",
    metadata,
    Column("flow_id", UUID(as_uuid=False), nullable=False, comment="one start of a flow"),
    Column("task", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("message", JSONB, nullable=False, comment="args, kwargs and options of the message that its run will be"),
    Column("waits_for", ARRAY(Text), nullable=False, comment="the tasks of the flow that have not succeeded yet and must"),
    Column("job_id", Text, comment="the job whose run has started the flow"),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    PrimaryKeyConstraint("flow_id", "task"),
    CheckConstraint("cardinality(waits_for) > 0", name="waits"),
    comment="tasks of flows that wait for others; one that starts becomes a run and leaves",
    postgresql_with=BUSY_TABLE,
)  # fmt: skip

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("route", Text, nullable=False, comment="method and path of the request"),
    Column("fingerprint", Text, nullable=False, comment="SHA-256 of the whole request"),
    Column("status", SmallInteger, comment="null only until the transaction that carries the request out ends"),
    Column("headers", JSONB),
    Column("body", Text),
    Column("created_at", Moment, nullable=False, server_default=NOW, index=True),
    CheckConstraint("length(key) BETWEEN 1 AND 255", name="key"),
    comment="requests that were carried out under an Idempotency-Key, with what was answered",
)  # fmt: skip

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("prefix", Text, primary_key=True, comment="the first part of the token, by which it is found"),
    Column("name", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the whole token, which is kept nowhere"),
    Column("scope", Text, nullable=False),
    Column("created_at", Moment, nullable=False, server_default=NOW),
    Column("expires_at", Moment, comment="null: it does not expire"),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment, comment="to some minutes"),
    CheckConstraint(f"length(name) BETWEEN 1 AND {LONGEST_NAME}", name="name"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    CheckConstraint(one_of("scope", Scope), name="scope"),
    comment="who may use the API",
)  # fmt: skip

audit_log = Table(
    "audit_log",
    metadata,
    Column("entry_no", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Moment, nullable=False, server_default=text("clock_timestamp()"), index=True),
    Column("who", Text, nullable=False, comment="token NAME, local, command line, SQL, default files or scheduler"),
    Column("origin", Text, comment="the address of the client, user@host of the command line, or the role of the database"),
    Column("action", Text, nullable=False),
    Column("job_id", Text),
    Column("run_id", UUID(as_uuid=False)),
    Column("details", JSONB, nullable=False),
    comment="who has changed what, entered by the transaction that makes the change",
)  # fmt: skip
Index("audit_log_job", audit_log.c.job_id, audit_log.c.entry_no, postgresql_where=text("job_id IS NOT NULL"))

processes = Table(
    "processes",
    metadata,
    Column("process_no", BigInteger, Identity(always=True), primary_key=True, comment="also the key of the advisory lock that its session holds"),
    Column("kind", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", Moment, nullable=False, server_default=NOW),
    Column("lease_until", Moment, nullable=False, comment="it is alive until then, unless its session ends before"),
    Column("has_session", Boolean, nullable=False, server_default=text("true"), comment="false: a pooler keeps it from having one, and only its lease tells whether it lives"),
    Column("missing_since", Moment, comment="when its session was first seen to be gone"),
    Column("ended_at", Moment, comment="when it ended, or was given up"),
    Column("holding", ARRAY(UUID(as_uuid=False)), nullable=False, server_default=text("'{}'"), comment="the runs it may be executing"),
    Column("queues", ARRAY(Text), comment="from which it takes runs; null: it takes none, or has not said yet"),
    CheckConstraint("kind IN ('api', 'scheduler', 'worker')", name="kind"),
    postgresql_with={"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 500},
)  # fmt: skip
Index("processes_alive", processes.c.kind, postgresql_where=text("ended_at IS NULL"))

service = Table(
    "service",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default=text("1"), autoincrement=False),
    Column("state", Text, nullable=False, server_default="running"),
    Column("changed_at", Moment, nullable=False, server_default=NOW),
    Column("paused_reason", Text, comment="why it was paused, in the words of who did it"),
    Column("paused_until", Moment, comment="when a scheduler sets it running again; null: nobody but an operator does"),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("state IN ('running', 'paused')", name="state"),
    CheckConstraint("isfinite(paused_until)", name="paused_until"),
)  # fmt: skip
