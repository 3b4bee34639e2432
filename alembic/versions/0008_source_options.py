"""A default job remembers the options that its file held, not only their digest: so that a changed file changes what
changed in it, and leaves alone what an operator did."""

from alembic import op

revision = "0008"
down_revision = "0007"

# The digest stays: by it an unchanged file is told from a changed one at the first start after this, and processes of the
# version before, which may still run, read it.
OPTIONS = """
ALTER TABLE jobs ADD COLUMN source_options jsonb;
COMMENT ON COLUMN jobs.source_digest IS
    'SHA-256 of the options that the file held when a version before 0.1.0 applied it';
COMMENT ON COLUMN jobs.source_options IS 'the options that the file held when it was last applied';
"""

DIGEST = """
ALTER TABLE jobs DROP COLUMN source_options;
COMMENT ON COLUMN jobs.source_digest IS 'SHA-256 of the options that the file held when it was last applied';
"""


def upgrade() -> None:
    op.execute(OPTIONS)


def downgrade() -> None:
    op.execute(DIGEST)
