"""Runs that somebody asks for, outside the schedule: at once, or because an earlier one is to be tried again."""

from alembic import op

revision = "0003"
down_revision = "0002"

RUNS = """
ALTER TABLE runs ADD COLUMN requested boolean NOT NULL DEFAULT false, ADD COLUMN kwargs jsonb, ADD COLUMN retry_of uuid;
COMMENT ON COLUMN runs.requested IS 'somebody asked for it: it is of no fire time, and starts whatever state its job is in';
COMMENT ON COLUMN runs.kwargs IS 'instead of those of the job';
COMMENT ON COLUMN runs.retry_of IS 'the run that this one tries again';
"""


def upgrade() -> None:
    op.execute(RUNS)


def downgrade() -> None:
    op.execute("DELETE FROM runs WHERE requested AND state IN ('queued', 'running')")
    op.execute("ALTER TABLE runs DROP COLUMN requested, DROP COLUMN kwargs, DROP COLUMN retry_of")
