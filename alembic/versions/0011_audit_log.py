"""Who has changed what, entered by the transaction that makes the change."""

from alembic import op

revision = "0011"
down_revision = "0010"

AUDIT_LOG = """
CREATE TABLE audit_log (
    entry_no bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    origin text,
    action text NOT NULL,
    job_id text,
    run_id uuid,
    details jsonb NOT NULL,
    CONSTRAINT audit_log_pkey PRIMARY KEY (entry_no)
);
CREATE INDEX audit_log_at_idx ON audit_log (at);
CREATE INDEX audit_log_job ON audit_log (job_id, entry_no) WHERE job_id IS NOT NULL;
COMMENT ON TABLE audit_log IS 'who has changed what, entered by the transaction that makes the change';
COMMENT ON COLUMN audit_log.who IS 'token NAME, local, command line, default files or scheduler';
COMMENT ON COLUMN audit_log.origin IS 'the address of the client, or user@host of the command line';
"""


def upgrade() -> None:
    op.execute(AUDIT_LOG)


def downgrade() -> None:
    op.drop_table("audit_log")
