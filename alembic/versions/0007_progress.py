"""A run that executes can be asked to stop, and tells how far it has come."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN cancel_requested_at timestamptz, ADD COLUMN progress jsonb")
    op.execute("COMMENT ON COLUMN runs.cancel_requested_at IS 'when somebody asked for it to be cancelled'")
    op.execute("COMMENT ON COLUMN runs.progress IS 'of the latest attempt: done, total, text'")


def downgrade() -> None:
    op.execute("ALTER TABLE runs DROP COLUMN cancel_requested_at, DROP COLUMN progress")
