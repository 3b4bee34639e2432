"""Which processes have a session that holds their advisory lock; behind a pooler they have none."""

from alembic import op

revision = "0015"
down_revision = "0014"

MEANS = "false: a pooler keeps it from having one, and only its lease tells whether it lives"


def upgrade() -> None:
    op.execute("ALTER TABLE processes ADD COLUMN has_session boolean NOT NULL DEFAULT true")
    op.execute(f"COMMENT ON COLUMN processes.has_session IS '{MEANS}'")


def downgrade() -> None:
    op.execute("ALTER TABLE processes DROP COLUMN has_session")
