"""Pauses with a reason and an end; jobs that plain SQL inserts, and why one of them was set aside."""

from alembic import op

revision = "0005"
down_revision = "0004"

JOBS = """
ALTER TABLE jobs ADD COLUMN paused_reason text, ADD COLUMN paused_until timestamptz, ADD COLUMN error text;
ALTER TABLE jobs ADD CONSTRAINT jobs_paused_until_check CHECK (isfinite(paused_until));
CREATE INDEX jobs_pending ON jobs (job_no) WHERE state = 'pending';
CREATE INDEX jobs_paused_until ON jobs (paused_until) WHERE state = 'paused' AND paused_until IS NOT NULL;
COMMENT ON COLUMN jobs.paused_reason IS 'why it was paused, in the words of who did it';
COMMENT ON COLUMN jobs.paused_until IS 'when the scheduler sets it running again; null: nobody but an operator does';
COMMENT ON COLUMN jobs.error IS 'why the scheduler has set it aside (paused it); null: it has not';
"""

SERVICE = """
ALTER TABLE service ADD COLUMN paused_reason text, ADD COLUMN paused_until timestamptz;
ALTER TABLE service ADD CONSTRAINT service_paused_until_check CHECK (isfinite(paused_until));
COMMENT ON COLUMN service.paused_reason IS 'why it was paused, in the words of who did it';
COMMENT ON COLUMN service.paused_until IS 'when a scheduler sets it running again; null: nobody but an operator does';
"""


def upgrade() -> None:
    for statements in (JOBS, SERVICE):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP INDEX jobs_pending")
    op.execute("ALTER TABLE jobs DROP COLUMN paused_reason, DROP COLUMN paused_until, DROP COLUMN error")
    op.execute("ALTER TABLE service DROP COLUMN paused_reason, DROP COLUMN paused_until")
