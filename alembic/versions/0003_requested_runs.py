"""Runs that somebody asks for, outside the schedule: at once, or because an earlier one is to be tried again."""

from alembic import op

revision = "0003"
down_revision = "0002"

JOBS = """
ALTER TABLE jobs ADD COLUMN paused_at timestamptz;
COMMENT ON COLUMN jobs.paused_at IS 'when it was paused last';
"""

RUNS = """
ALTER TABLE runs ADD COLUMN requested boolean NOT NULL DEFAULT false, ADD COLUMN kwargs jsonb, ADD COLUMN retry_of uuid;
COMMENT ON COLUMN runs.requested IS
    'somebody asked for it: it is of no fire time, and starts whatever state its job is in, unless that was paused later';
COMMENT ON COLUMN runs.kwargs IS 'instead of those of the job';
COMMENT ON COLUMN runs.retry_of IS 'the run that this one tries again';
"""

# The schema before knows neither their kwargs nor that they may start.
CANCEL_QUEUED = """
UPDATE runs SET state = 'cancelled', claim_at = NULL, finished_at = clock_timestamp(),
    reason = 'The schema was taken back to one that knows no runs on request.'
WHERE requested AND state = 'queued'
"""


def upgrade() -> None:
    for statements in (JOBS, RUNS):
        op.execute(statements)


def downgrade() -> None:
    op.execute(CANCEL_QUEUED)
    op.execute("ALTER TABLE runs DROP COLUMN requested, DROP COLUMN kwargs, DROP COLUMN retry_of")
    op.execute("ALTER TABLE jobs DROP COLUMN paused_at")
