"""The runs of all jobs in the order of their fire times, for the list of them and for statistics."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("CREATE INDEX runs_fire_times ON runs (scheduled_for, run_id)")


def downgrade() -> None:
    op.execute("DROP INDEX runs_fire_times")
