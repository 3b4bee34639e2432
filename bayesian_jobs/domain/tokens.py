"""API tokens, `prefix.secret`: the prefix finds a token, the secret proves it, and only its SHA-256 is kept."""

import hmac
import re
import unicodedata
from hashlib import sha256
from typing import Final

from bayesian_jobs.domain.described import Described
from bayesian_jobs.errors import InvalidValue

SECRET_BYTES: Final = 32
PREFIX_BYTES: Final = 6
LONGEST_NAME: Final = 100

_TOKEN = re.compile(r"(bj_[0-9a-f]{12})\.([0-9a-f]{64})")
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_NOBODY = bytes(32)
"""The digest that a secret is compared with if no token has its prefix; no secret is known that has it."""


class Scope(Described):
    """What a token entitles to; each includes those before it."""

    READ = "read", "see jobs with their keyword arguments, runs, handlers and the service's state"
    WRITE = "write", "also add, change, run and remove jobs, and pause the service"
    ADMIN = "admin", "also make and revoke tokens, and read the audit log"

    def includes(self, needed: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(needed)


def make_token(random: bytes) -> str:
    """The token that SECRET_BYTES + PREFIX_BYTES of randomness make."""
    assert len(random) == SECRET_BYTES + PREFIX_BYTES
    return f"bj_{random[SECRET_BYTES:].hex()}.{random[:SECRET_BYTES].hex()}"


def prefix_of(token: str) -> str | None:
    """None for what cannot be a token."""
    found = _TOKEN.fullmatch(token)
    return found[1] if found else None


def digest_of(token: str) -> bytes:
    """What is kept of a token. Its secret is random, so a fast hash is enough: there is nothing to guess from."""
    return sha256(token.encode()).digest()


def is_proved(token: str, digest: bytes | None) -> bool:
    """Whether the token has this digest, in a time that does not depend on either; None: no token has its prefix."""
    same = hmac.compare_digest(digest_of(token), _NOBODY if digest is None else digest)
    return same and digest is not None


def parse_token_name(text: str) -> str:
    """What people call a token; it stands in URLs and in the audit log. Raises InvalidValue."""
    if not 1 <= len(text) <= LONGEST_NAME:
        raise InvalidValue(f"must have 1 to {LONGEST_NAME} characters")
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text) or "/" in text:
        raise InvalidValue('has no control characters, line breaks, lone surrogates or "/"')
    if text != text.strip() or text in (".", ".."):
        raise InvalidValue('neither begins nor ends with a space, and is not "." or ".."')
    return text
