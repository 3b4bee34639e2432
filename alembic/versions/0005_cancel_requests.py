"""A run that executes can be asked to stop."""

from alembic import op

revision = "0005"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN cancel_requested_at timestamptz")
    op.execute("COMMENT ON COLUMN runs.cancel_requested_at IS 'when somebody asked for it to be cancelled'")


def downgrade() -> None:
    op.execute("ALTER TABLE runs DROP COLUMN cancel_requested_at")
