"""Sends calls to an API over HTTP, again if need be, and reads what comes back."""

import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from random import random
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from bayesian_jobs.errors import RequestRefused
from bayesian_jobs.remote.call import BASE, Call

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds before a call is sent again; they double, and a random part of each is left out."""
TRANSIENT: Final = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


class Unanswered(RequestRefused):
    """The API was not reached, or said that it cannot answer now; `wait` is for how many seconds, if it said so."""

    def __init__(self, text: str, status: int | None = None, wait: float = 0.0) -> None:
        super().__init__(text, status)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API is, and the token to send, which never goes along to another address to which the answer might lead.
    `timeout`: seconds that one answer may take."""

    base: str
    token: str | None
    timeout: float

    @classmethod
    def parse(cls, url: str, token: str | None, timeout: float, *, url_name: str, token_name: str) -> "Address":
        """`url` may leave out the base path; the names are those that an error gives them. Raises RequestRefused."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise RequestRefused(f"{url_name}: {url!r}: must be an address like http://localhost:34000")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise RequestRefused(f"{token_name}: holds characters that no token has")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or BASE}", token or None, timeout)

    def request(self, call: Call, key: str | None) -> urllib.request.Request:
        query = f"?{urlencode(call.query)}" if call.query else ""
        body = None if call.body is None else json.dumps(call.body).encode()
        request = urllib.request.Request(self.base + call.path + query, body, method=call.method)  # noqa: S310
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if key is not None:
            request.add_header("Idempotency-Key", key)
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        return request


def send(address: Address, call: Call, *, patience: float) -> dict[str, Any]:
    """The document of the answer. While there is none, or the API cannot answer now, the call is sent again for
    `patience` seconds, under one Idempotency-Key if it makes something: it has its effect once.

    Raises RequestRefused.
    """
    key = str(uuid.uuid4()) if call.once and patience > 0 else None
    until, wait = time.monotonic() + patience, FIRST_WAIT
    while True:
        try:
            return send_once(address, call, key)
        except Unanswered as error:
            pause = max(error.wait, wait * (0.5 + random() / 2))  # noqa: S311
            if time.monotonic() + pause > until:
                raise
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)


def send_once(address: Address, call: Call, key: str | None) -> dict[str, Any]:
    """Raises RequestRefused; Unanswered, if it may be answered later."""
    try:
        with urllib.request.urlopen(address.request(call, key), timeout=address.timeout) as answer:  # noqa: S310
            return read(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return read(error.code, error.read(), error.headers.get("Retry-After"))
    except (OSError, HTTPException) as error:
        raise Unanswered(f"the API at {address.base} does not answer: {error or repr(error)}") from error


def read(status: int, content: bytes, retry_after: str | None = None) -> dict[str, Any]:
    """The document of an answer. Raises RequestRefused with the line of an error, Unanswered if it may pass."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if status in TRANSIENT:
        text = document.get("error") if isinstance(document, dict) else None
        raise Unanswered(str(text or f"refused ({status})"), status, float(retry_after or 0))
    if not isinstance(document, dict):
        raise RequestRefused(f"the answer ({status}) is not that of this API", status)
    if status >= HTTPStatus.BAD_REQUEST:
        raise RequestRefused(str(document.get("error", f"refused ({status})")), status, document.get("errors", ()))
    return document
