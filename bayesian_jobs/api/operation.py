"""What a responder tells about itself: its documentation, and the query parameters that it takes."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import falcon

from bayesian_jobs.api import parameters
from bayesian_jobs.api.parameters import Parameter
from bayesian_jobs.domain.tokens import Scope
from bayesian_jobs.errors import Fault, InvalidOptions

ADD_JOBS = "Add new jobs"
JOBS_OPTIONS = "Jobs options"
RUNS = "Runs"
HANDLERS = "Handlers"
SERVICE_SETTINGS = "Service settings"
ACCESS = "Access"
DOCUMENTATION = "Documentation"

EVERYBODY: Final = None
"""In place of a scope: answered without a token, too."""

CONDITIONS = ("If-Match", "If-None-Match")
PRECAUTIONS: Final[Mapping[str, Sequence[str]]] = {
    "POST": (*CONDITIONS, "Idempotency-Key"),
    "PUT": CONDITIONS,
    "PATCH": CONDITIONS,
    "DELETE": CONDITIONS,
}
"""By method, the headers that keep a change from being made; PUT, PATCH and DELETE twice come to the same as once."""

PLAIN_TEXT: Final = "text/plain"
"""In place of the name of a schema."""

Responder = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The JSON body of a request: its schema, and one that a user can send as it is."""

    schema: Mapping[str, Any]
    example: Any = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `scope`: what a token must entitle to; `answers` maps each status to the name of its
    schema (None: a page)."""

    tag: str
    scope: Scope | None
    summary: str
    description: str = ""
    query: Sequence[Parameter] = ()
    headers: Sequence[Parameter] = ()
    body: Body | None = None
    answers: Mapping[int, str | None] = field(default_factory=dict)


def operation(
    tag: str,
    *,
    scope: Scope | None,
    query: Sequence[Parameter] = (),
    headers: Sequence[Parameter] = (),
    body: Body | None = None,
    answers: Mapping[int, str | None],
    find: Callable[..., object] | None = None,
) -> Callable[[Responder], Responder]:
    """Documents a responder by its docstring, and reads its query strictly into `req.context.query`. The headers that
    mean something to it, it reads itself. `find` raises NotFound, before that, for a path at which nothing is."""

    def decorate(responder: Responder) -> Responder:
        @functools.wraps(responder)
        def respond(resource: Any, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
            if find is not None:
                find(resource, **path)
            req.context.query = parameters.query(req, query)
            refuse_untaken(req, headers)
            responder(resource, req, resp, **path)

        summary, _, description = inspect.cleandoc(responder.__doc__ or "").partition("\n\n")
        respond.scope = scope  # type: ignore[attr-defined]
        respond.operation = Operation(  # type: ignore[attr-defined]
            tag=tag,
            scope=scope,
            summary=" ".join(summary.split()).rstrip("."),
            description=description,
            query=query,
            headers=headers,
            body=body,
            answers=answers,
        )
        return respond

    return decorate


def refuse_untaken(req: falcon.Request, headers: Sequence[Parameter]) -> None:
    """A header that asks for a change to be made only if something holds must not be passed over by a request that
    does not look at it. Raises InvalidOptions."""
    taken = {each.name for each in headers}
    faults = [
        Fault(name, value, "is not taken by this request, which would do its work regardless")
        for name in PRECAUTIONS.get(req.method, ())
        if name not in taken and (value := req.get_header(name)) is not None
    ]
    if faults:
        raise InvalidOptions(faults)


class NoScope(Exception):
    """A responder has declared no scope: nobody gets an answer from it."""


def scope_of(resource: object, method: str) -> Scope | None:
    """What a token must entitle to. Of a method that the resource does not have, only this is told.

    Raises NoScope.
    """
    responder = getattr(resource, f"on_{method.lower()}", None)
    if responder is None:
        return EVERYBODY if is_public(resource) else Scope.READ
    try:
        scope: Scope | None = responder.scope
    except AttributeError as error:
        raise NoScope from error
    return scope


def is_public(resource: object) -> bool:
    """Whether every method that the resource has is answered without a token."""
    methods = [name[3:] for name in dir(resource) if name.startswith("on_")]
    return all(scope_of(resource, method) is EVERYBODY for method in methods)
