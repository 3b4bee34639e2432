"""`Idempotency-Key`: a request that is sent again, because its answer was lost, has its effect once.

After draft-ietf-httpapi-idempotency-key-header. Only what was carried out is remembered: a request that was refused is
judged anew.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import falcon
from sqlalchemy import Engine

from bayesian_jobs.api import media
from bayesian_jobs.api.audit import signed
from bayesian_jobs.api.parameters import Parameter
from bayesian_jobs.api.places import LOCATION
from bayesian_jobs.errors import Fault, InvalidOptions, KeyReused
from bayesian_jobs.store import idempotency as store
from bayesian_jobs.store.engine import Transactions, Within

LONGEST: Final = 255
KEPT_HEADERS = ("ETag", LOCATION)
REPLAYED = "Idempotent-Replayed"
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    description=(
        "Anything unique, such as a UUID: the same request again under the same key has no second effect, and the same "
        "answer, for at least 24 hours"
    ),
    schema={"type": "string", "minLength": 1, "maxLength": LONGEST, "format": "idempotency-key"},
)


def once(
    engine: Engine,
    req: falcon.Request,
    resp: falcon.Response,
    content: Mapping[str, Any],
    carry_out: Callable[[Transactions], None],
) -> None:
    """Let `carry_out` do what the request asks for and answer it, or answer what was answered under its key.

    `content`: all that the request says besides its path. The effect and the answer are stored in one transaction.
    Raises InvalidOptions for a key that cannot be one, KeyReused, and what `carry_out` raises.
    """
    key = read_key(req)
    if key is None:
        carry_out(signed(engine, req))
        return
    route = f"{req.method} {req.path}"
    fingerprint = sha256(json.dumps([route, content], sort_keys=True).encode()).hexdigest()
    with signed(engine, req).begin() as connection:
        known = store.claim(connection, key, route, fingerprint)
        if known is None:
            carry_out(Within(connection))
            store.keep(connection, key, answer_of(resp, fingerprint))
        elif known.fingerprint == fingerprint:
            replay(resp, known)
        else:
            raise KeyReused(key)


def read_key(req: falcon.Request) -> str | None:
    """Raises InvalidOptions."""
    key = req.get_header(IDEMPOTENCY_KEY.name)
    if key is None or (1 <= len(key) <= LONGEST and all(" " <= each <= "~" for each in key)):
        return key
    reason = f"must be 1 to {LONGEST} printable characters of ASCII"
    raise InvalidOptions([Fault(IDEMPOTENCY_KEY.name, key, reason)])


def answer_of(resp: falcon.Response, fingerprint: str) -> store.Answer:
    headers = {name: value for name in KEPT_HEADERS if (value := resp.get_header(name)) is not None}
    return store.Answer(fingerprint, resp.status_code, headers, media.encode(resp.media).decode())


def replay(resp: falcon.Response, answer: store.Answer) -> None:
    resp.status = answer.status
    resp.data = answer.body.encode()
    resp.content_type = falcon.MEDIA_JSON
    resp.set_headers(dict(answer.headers))
    resp.set_header(REPLAYED, "true")
