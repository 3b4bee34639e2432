"""Which queues a worker takes runs from, so that it can be told why a queued run does not start."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE processes ADD COLUMN queues text[]")
    op.execute(
        "COMMENT ON COLUMN processes.queues IS 'from which it takes runs; null: it takes none, or has not said yet'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE processes DROP COLUMN queues")
