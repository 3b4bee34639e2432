"""The retries of a run are found at once."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("CREATE INDEX runs_retries ON runs (retry_of) WHERE retry_of IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX runs_retries")
