"""Tokens that entitle to use the API, each kept as a digest only."""

from alembic import op

revision = "0010"
down_revision = "0009"

API_TOKENS = """
CREATE TABLE api_tokens (
    prefix text NOT NULL,
    name text NOT NULL,
    digest bytea NOT NULL,
    scope text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_tokens_pkey PRIMARY KEY (prefix),
    CONSTRAINT api_tokens_name_key UNIQUE (name),
    CONSTRAINT api_tokens_name_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT api_tokens_digest_check CHECK (octet_length(digest) = 32),
    CONSTRAINT api_tokens_scope_check CHECK (scope IN ('read', 'write', 'admin'))
);
COMMENT ON TABLE api_tokens IS 'who may use the API';
COMMENT ON COLUMN api_tokens.prefix IS 'the first part of the token, by which it is found';
COMMENT ON COLUMN api_tokens.digest IS 'SHA-256 of the whole token, which is kept nowhere';
COMMENT ON COLUMN api_tokens.expires_at IS 'null: it does not expire';
COMMENT ON COLUMN api_tokens.last_used_at IS 'to some minutes';
"""


def upgrade() -> None:
    op.execute(API_TOKENS)


def downgrade() -> None:
    op.drop_table("api_tokens")
