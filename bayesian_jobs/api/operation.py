"""What a responder tells about itself: its documentation, and the query parameters that it takes."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import falcon

from bayesian_jobs.api import parameters
from bayesian_jobs.api.parameters import Parameter

ADD_JOBS = "Add new jobs"
JOBS_OPTIONS = "Jobs options"
RUNS = "Runs"
HANDLERS = "Handlers"
SERVICE_SETTINGS = "Service settings"
DOCUMENTATION = "Documentation"

Responder = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The JSON body of a request: its schema, and one that a user can send as it is."""

    schema: Mapping[str, Any]
    example: Any = None
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `answers` maps each status to the name of its schema (None: not JSON)."""

    tag: str
    summary: str
    description: str = ""
    query: Sequence[Parameter] = ()
    headers: Sequence[Parameter] = ()
    body: Body | None = None
    answers: Mapping[int, str | None] = field(default_factory=dict)


def operation(
    tag: str,
    *,
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
            responder(resource, req, resp, **path)

        summary, _, description = inspect.cleandoc(responder.__doc__ or "").partition("\n\n")
        respond.operation = Operation(  # type: ignore[attr-defined]
            tag=tag,
            summary=" ".join(summary.split()).rstrip("."),
            description=description,
            query=query,
            headers=headers,
            body=body,
            answers=answers,
        )
        return respond

    return decorate
