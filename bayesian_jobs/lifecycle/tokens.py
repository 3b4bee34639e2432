"""API tokens: made, listed, revoked, and recognised when they come with a request."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from bayesian_jobs.domain.audit import Action
from bayesian_jobs.domain.caller import Caller
from bayesian_jobs.domain.datetimes import parse_datetime
from bayesian_jobs.domain.durations import parse_duration
from bayesian_jobs.domain.tokens import (
    PREFIX_BYTES,
    SECRET_BYTES,
    Scope,
    digest_of,
    is_proved,
    make_token,
    parse_token_name,
    prefix_of,
)
from bayesian_jobs.errors import InvalidToken, InvalidValue, TokenExists, TokenNotFound
from bayesian_jobs.lifecycle.reader import Reader, member_of
from bayesian_jobs.store import audit
from bayesian_jobs.store import tokens as store
from bayesian_jobs.store.engine import Transactions, database_now

OPTIONS = ("name", "scope", "expires")

Token = Mapping[str, Any]
"""A row of `api_tokens`, without the digest."""


def create(transactions: Transactions, options: Mapping[str, Any]) -> tuple[Token, str]:
    """Make a token. Returns it and its text, which is kept nowhere and so is told only now.

    Raises InvalidOptions, TokenExists.
    """
    with transactions.begin() as connection:
        now = database_now(connection)
        reader = Reader(options, OPTIONS)
        name = reader.required("name", parse_token_name)
        scope = reader.required("scope", lambda text: member_of(Scope, text))
        expires_at = reader.text("expires", lambda text: parse_expiry(text, now))
        reader.refuse()
        text = make_token(secrets.token_bytes(SECRET_BYTES + PREFIX_BYTES))
        prefix = prefix_of(text)
        assert name is not None
        assert scope is not None
        assert prefix is not None
        token = store.insert_token(
            connection, name=name, prefix=prefix, digest=digest_of(text), scope=scope, expires_at=expires_at
        )
        if token is None:
            raise TokenExists(name)
        audit.enter(connection, Action.TOKEN_MADE, details={"name": name, "scope": scope})
        return token, text


def parse_expiry(text: str, now: datetime) -> datetime:
    """A time to come, or how long the token is good for. Raises InvalidValue."""
    try:
        expires_at = now + parse_duration(text)
    except InvalidValue:
        expires_at = parse_datetime(text, now)
    if expires_at <= now:
        raise InvalidValue("has passed")
    return expires_at


def list_all(engine: Engine) -> Sequence[Token]:
    with engine.connect() as connection:
        return store.list_tokens(connection)


def revoke(transactions: Transactions, name: str) -> Token:
    """From the answer on, the token entitles to nothing. Raises TokenNotFound."""
    with transactions.begin() as connection:
        token = store.revoke_token(connection, name)
        if token is None:
            raise TokenNotFound(name)
        audit.enter(connection, Action.TOKEN_REVOKED, details={"name": name})
        return token


def recognise(connection: Connection, text: str, origin: str | None) -> Caller:
    """Whose token this is. Raises InvalidToken."""
    prefix = prefix_of(text)
    token = None if prefix is None else store.find_token(connection, prefix)
    if not is_proved(text, token["digest"] if token else None) or token is None:
        raise InvalidToken("The token is none of this service's")
    if token["revoked_at"] is not None:
        raise InvalidToken("The token has been revoked")
    if token["is_expired"]:
        raise InvalidToken("The token has expired")
    if token["use_is_old"]:
        store.note_use(connection, token["prefix"])
    return Caller(f"token {token['name']}", member_of(Scope, token["scope"]), origin)
