"""The answers to requests that carried an Idempotency-Key, so that the same request again has the same answer."""

from alembic import op

revision = "0009"
down_revision = "0008"

IDEMPOTENCY_KEYS = """
CREATE TABLE idempotency_keys (
    key text NOT NULL,
    route text NOT NULL,
    fingerprint text NOT NULL,
    status smallint,
    headers jsonb,
    body text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key),
    CONSTRAINT idempotency_keys_key_check CHECK (length(key) BETWEEN 1 AND 255)
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'requests that were carried out under an Idempotency-Key, with what was answered';
COMMENT ON COLUMN idempotency_keys.route IS 'method and path of the request';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the whole request';
COMMENT ON COLUMN idempotency_keys.status IS 'null only until the transaction that carries the request out ends';
"""


def upgrade() -> None:
    op.execute(IDEMPOTENCY_KEYS)


def downgrade() -> None:
    op.drop_table("idempotency_keys")
