"""When a queued run is to be told of again, where Redis or RabbitMQ carries messages to the workers."""

from alembic import op

revision = "0014"
down_revision = "0013"

MEANS = (
    "of a queued run that a worker has been told of through Redis or RabbitMQ: when it is to be told again;"
    " null: nobody has been told yet"
)


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN resend_at timestamptz")
    op.execute(f"COMMENT ON COLUMN runs.resend_at IS '{MEANS}'")


def downgrade() -> None:
    op.execute("ALTER TABLE runs DROP COLUMN resend_at")
