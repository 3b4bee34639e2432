"""JSON over HTTP: strict when it is read, compact when it is written."""

import json
from collections import Counter
from functools import partial
from typing import Any, NoReturn

import falcon
from falcon.media import JSONHandler
from falcon.typing import ReadableIO

from bayesian_jobs.domain.json_values import why_not_storable, zeros_written_out
from bayesian_jobs.errors import shortened

MAX_BYTES = 256 * 1024
CHUNK_BYTES = 64 * 1024

_compact = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(document: Any) -> bytes:
    """The document as compact UTF-8 JSON; a lone surrogate, which UTF-8 cannot carry, becomes an escape."""
    return _compact(document).encode("utf-8", "backslashreplace")


def response_handlers() -> falcon.media.Handlers:
    """The media handlers of answers: JSON and nothing else."""
    return falcon.media.Handlers({falcon.MEDIA_JSON: JSONHandler(dumps=_compact)})


def read_object(req: falcon.Request, *, required: bool = False) -> dict[str, Any]:
    """The request's body, a JSON object; an absent body is an empty one, unless it is `required`.

    Raises falcon's errors for 400, 413 and 415. Accepts what PostgreSQL keeps unchanged: no NaN, NUL, lone
    surrogates, repeated names, integers beyond 64 bits or absurd depth.
    """
    body = read_bytes(req)
    if not body and required:
        raise _bad("is absent")
    if not body and req.content_type is None:
        return {}
    _check_type(req)
    document = _parse(body) if body else {}
    if not isinstance(document, dict):
        raise _bad("must be a JSON object, { … }")
    reason = why_not_storable(document)
    if reason:
        raise _bad(reason)
    if len(body) + zeros_written_out(document) > MAX_BYTES:
        raise _too_large(" when its numbers are written out")
    return document


def read_bytes(req: falcon.Request) -> bytes:
    """The body, complete and counted while it is read.

    Raises falcon.HTTPContentTooLarge beyond MAX_BYTES, and falcon.HTTPBadRequest for one that breaks off.
    """
    announced = req.content_length or 0
    if announced > MAX_BYTES:
        raise _too_large()
    chunked = "chunked" in (req.get_header("Transfer-Encoding") or "").lower()
    stream = req.stream if chunked else req.bounded_stream
    body = bytearray()
    while chunk := _read(stream):
        body += chunk
        if len(body) > MAX_BYTES:
            raise _too_large()
    if not chunked and len(body) < announced:
        raise _bad(f"ends after {len(body)} of its {announced} bytes")
    return bytes(body)


def refuse_body(req: falcon.Request) -> None:
    """Raises falcon.HTTPBadRequest when the request carries a body that nothing would read."""
    if read_bytes(req):
        raise falcon.HTTPBadRequest(description="This request takes no body")


def _read(stream: ReadableIO) -> bytes:
    try:
        return stream.read(CHUNK_BYTES)
    except Exception as error:  # every server has errors of its own for a body that breaks off or is no chunks
        raise _bad("cannot be read: it breaks off, or its chunks are malformed") from error


def _check_type(req: falcon.Request) -> None:
    media_type, parameters = falcon.parse_header(req.content_type or "")
    charset = parameters.get("charset", "utf-8").lower()
    if media_type.lower() != falcon.MEDIA_JSON or charset not in ("utf-8", "utf8"):
        raise _unsupported(f"The body must be application/json in UTF-8, not {shortened(req.content_type)}")
    encoding = req.get_header("Content-Encoding")
    if encoding not in (None, "identity"):
        raise _unsupported(f"The body must not be compressed (Content-Encoding: {shortened(encoding)})")


def _parse(body: bytes) -> Any:
    try:
        return parse_strictly(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _bad("is not UTF-8") from error
    except RecursionError as error:
        raise _bad("is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise _bad(f"is not JSON: {error}") from error
    except ValueError as error:
        raise _bad(str(error)) from error


def parse_strictly(text: str) -> Any:
    """JSON without repeated names, NaN and integers beyond 64 bits. Raises ValueError, RecursionError."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_int=_integer)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"names {shortened(twice)} twice")
    return names


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"is not JSON: {constant} is not a number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"holds an integer of more than 64 bits ({len(digits)} digits)")
    return int(digits)


def _bad(reason: str) -> falcon.HTTPBadRequest:
    return falcon.HTTPBadRequest(description=f"The body {reason}")


def _unsupported(description: str) -> falcon.HTTPUnsupportedMediaType:
    return falcon.HTTPUnsupportedMediaType(description=description)


def _too_large(when: str = "") -> falcon.HTTPContentTooLarge:
    return falcon.HTTPContentTooLarge(description=f"The body is larger than {MAX_BYTES} bytes{when}")
