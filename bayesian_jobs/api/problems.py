"""Every error as `application/problem+json` (RFC 9457), with its one-line text also as `error`."""

import logging
from http import HTTPStatus
from typing import Any

import falcon
from sqlalchemy.exc import DatabaseError, DBAPIError, InternalError, OperationalError, ProgrammingError

from bayesian_jobs.api import media
from bayesian_jobs.errors import (
    ConditionFailed,
    Fault,
    InvalidOptions,
    KeyReused,
    NameTaken,
    NotFound,
    WrongState,
    shortened,
)
from bayesian_jobs.handlers.faults import at_most, is_more, named
from bayesian_jobs.store.engine import is_lost

MEDIA_TYPE = "application/problem+json"
MAX_REASON = 1000
UNDEFINED = frozenset({"42P01", "42703", "42883"})
"""SQLSTATEs: undefined table, column, function."""
READ_ONLY = "25006"
"""SQLSTATE: the session is on a standby, or on a server that for the moment keeps what it has."""
log = logging.getLogger(__name__)


def install(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Make every error of `app` a problem document; an unforeseen one is logged, and told without detail."""
    app.set_error_serializer(_serialize)
    app.add_error_handler(Exception, _unforeseen)
    app.add_error_handler(DatabaseError, _perhaps_lost)
    app.add_error_handler(OperationalError, _database_unavailable)
    app.add_error_handler(ProgrammingError, _statement_refused)
    app.add_error_handler(InternalError, _perhaps_read_only)
    app.add_error_handler(InvalidOptions, _invalid_options)
    app.add_error_handler(NotFound, _not_found)
    app.add_error_handler(NameTaken, _conflict)
    app.add_error_handler(WrongState, _conflict)
    app.add_error_handler(ConditionFailed, _condition_failed)
    app.add_error_handler(KeyReused, _key_reused)


def document(status: int, text: str, **extensions: Any) -> dict[str, Any]:
    """One problem: `text` is its single line, `extensions` are further members."""
    title = HTTPStatus(status).phrase
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": text,
        "error": text,
        **extensions,
    }


def answer(resp: falcon.Response, status: int, text: str, **extensions: Any) -> None:
    resp.status = status
    resp.content_type = MEDIA_TYPE
    resp.data = media.encode(document(status, text, **extensions))
    resp.media = None


def _serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    answer(resp, error.status_code, error.description or _default_text(req, error.status_code))


def _default_text(req: falcon.Request, status: int) -> str:
    match status:
        case 404:
            return f"Nothing is at {shortened(req.path)}"
        case 405:
            return f"{req.method} is not possible at {shortened(req.path)}"
    return HTTPStatus(status).phrase


def _invalid_options(req: falcon.Request, resp: falcon.Response, error: InvalidOptions, params: dict[str, Any]) -> None:
    faults = [_bounded(fault) for fault in at_most(error.faults)]
    text = "; ".join(fault.reason if is_more(fault) else str(fault) for fault in faults)
    answer(resp, 400, text, errors=[_fault(fault) for fault in faults])


def _bounded(fault: Fault) -> Fault:
    reason = fault.reason if len(fault.reason) <= MAX_REASON else f"{fault.reason[:MAX_REASON]}…"
    return Fault(named(fault.option), fault.value, reason)


def _fault(fault: Fault) -> dict[str, Any]:
    return {"option": fault.option, "value": _quoted(fault.value), "reason": fault.reason}


def _quoted(value: object) -> object:
    """A short JSON scalar as it is; anything else as a message may quote it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str) and len(value) <= 200:
        return value
    return shortened(value)


def _not_found(req: falcon.Request, resp: falcon.Response, error: NotFound, params: dict[str, Any]) -> None:
    answer(resp, 404, str(error))


def _conflict(
    req: falcon.Request, resp: falcon.Response, error: NameTaken | WrongState, params: dict[str, Any]
) -> None:
    answer(resp, 409, str(error))


def _condition_failed(
    req: falcon.Request, resp: falcon.Response, error: ConditionFailed, params: dict[str, Any]
) -> None:
    answer(resp, 412, str(error))


def _key_reused(req: falcon.Request, resp: falcon.Response, error: KeyReused, params: dict[str, Any]) -> None:
    answer(resp, 422, str(error))


def _perhaps_lost(req: falcon.Request, resp: falcon.Response, error: DatabaseError, params: dict[str, Any]) -> None:
    (_database_unavailable if is_lost(error) else _unforeseen)(req, resp, error, params)


def _database_unavailable(
    req: falcon.Request, resp: falcon.Response, error: DBAPIError, params: dict[str, Any]
) -> None:
    reason = " ".join(str(error.orig).split())
    log.warning("%s %s: the database did not answer: %s", req.method, shortened(req.path), reason)
    resp.set_header("Retry-After", "5")
    answer(resp, 503, "The database does not answer; try again")


def _perhaps_read_only(
    req: falcon.Request, resp: falcon.Response, error: InternalError, params: dict[str, Any]
) -> None:
    if getattr(error.orig, "pgcode", None) != READ_ONLY:
        _unforeseen(req, resp, error, params)
        return
    log.warning("%s %s: the database is read-only", req.method, shortened(req.path))
    resp.set_header("Retry-After", "5")
    answer(resp, 503, "The database is read-only at the moment; try again")


def _statement_refused(
    req: falcon.Request, resp: falcon.Response, error: ProgrammingError, params: dict[str, Any]
) -> None:
    if getattr(error.orig, "pgcode", None) not in UNDEFINED:
        _unforeseen(req, resp, error, params)
        return
    text = "the schema of the database is not current: run `bayesian-jobs migrate`"
    reason = str(error.orig).partition("\n")[0]
    log.warning("%s %s: %s (%s)", req.method, shortened(req.path), text, reason)
    resp.set_header("Retry-After", "5")
    answer(resp, 503, text)


def _unforeseen(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    if isinstance(error, falcon.HTTPError):
        _serialize(req, resp, error)
        resp.set_headers(error.headers or {})
        return
    log.error("%s %s failed", req.method, shortened(req.path), exc_info=error)
    answer(resp, 500, "The service failed to answer this request; its log says why")
