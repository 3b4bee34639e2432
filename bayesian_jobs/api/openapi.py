"""The OpenAPI 3.1 document, put together from the routes and the handlers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from bayesian_jobs import __version__
from bayesian_jobs.api import json_schema, links, schemas
from bayesian_jobs.api.idempotency import IDEMPOTENCY_KEY, REPLAYED
from bayesian_jobs.api.job_options import ANY_JOB_ID
from bayesian_jobs.api.operation import (
    ACCESS,
    ADD_JOBS,
    DOCUMENTATION,
    EVERYBODY,
    HANDLERS,
    JOBS_OPTIONS,
    PLAIN_TEXT,
    RUNS,
    SERVICE_SETTINGS,
    Body,
    Operation,
)
from bayesian_jobs.api.parameters import Parameter
from bayesian_jobs.api.places import LOCATION
from bayesian_jobs.handlers.registry import Registry

Routes = dict[str, object]

METHODS = ("get", "post", "put", "patch", "delete")
JOB_PATH = "/jobs/{job_id}"
PATH_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "job_id": {"description": "Identifies the job", "schema": ANY_JOB_ID},
    "run_id": {"description": "Identifies the run", "schema": json_schema.TEXT | {"format": "uuid"}},
    "flow_id": {"description": "Identifies one start of a flow", "schema": json_schema.TEXT | {"format": "uuid"}},
    "token_name": {"description": "The token's name", "schema": schemas.TOKEN_NAME},
}
TAGGED_IF_THERE_IS_ONE = ("JobPut", "JobPatched", "DryRun")
ETAG: dict[str, Any] = {
    "description": "Changes with the job's definition and state, not with its runs; for `If-Match`",
    "schema": {"type": "string", "pattern": r'^"\d+-\d+"$'},
}
ETAG_OF_SERVICE: dict[str, Any] = {
    "description": "Changes with the state of the service, and with what is said of a pause; for `If-Match`",
    "schema": {"type": "string", "pattern": '^"[0-9a-f]{16}"$'},
    "required": True,
}
PLACED = ("JobAdded", "RunRequested")
LOCATION_HEADER: dict[str, Any] = {
    "description": "Where the job, or the run, is found",
    "schema": {"type": "string", "format": "uri-reference"},
    "required": True,
}
REPLAYED_HEADER: Mapping[str, Any] = {
    "description": "The request was carried out before, under its `Idempotency-Key`; this is what was answered then",
    "schema": {"type": "string", "enum": ["true"]},
}
TAGS = {
    ADD_JOBS: "One request for each handler, made from its class, and one for any of them",
    JOBS_OPTIONS: "What jobs there are; pausing, resuming and removing them",
    RUNS: "What was executed, missed or skipped, and how it ended",
    HANDLERS: "What jobs can be made of",
    SERVICE_SETTINGS: "The whole service: pausing and resuming it, and probes",
    ACCESS: "The tokens that entitle to all this, and who has changed what",
    DOCUMENTATION: "This description, and the page that shows it",
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token as `bayesian-jobs token create` has told it: `prefix.secret`",
}
INTRODUCTION = (
    "Configure and run the periodic and one-off work of a back end. A *job* names a *handler*, its keyword "
    "arguments and when it runs; each execution is a *run*. All times are UTC unless they carry an offset. "
    "An error is `application/problem+json`."
)


def document(routes: Routes, registry: Registry, base: str, *, tokens: bool) -> dict[str, Any]:
    """The document of an API whose resources are mounted under `base`; `tokens`: it asks for them."""
    own = list(_operations(routes))
    paths: dict[str, Any] = {}
    for path, method, operation in [*_handler_operations(routes, registry), *own]:
        paths.setdefault(path, {})[method] = _describe(path, method, operation, own, tokens)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bayesian jobs", "version": __version__, "description": INTRODUCTION},
        "servers": [{"url": base}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(registry),
            "links": links.components(own),
            **({"securitySchemes": {"token": BEARER}} if tokens else {}),
        },
    }


def _schemas(registry: Registry) -> dict[str, Any]:
    names = registry.public_names()
    found = dict(schemas.components({name: registry.signature(name).schema() for name in names}))
    for name in names:
        found |= registry.signature(name).definitions()
    found["NewJob"] |= {"examples": [_new_job(name, registry) for name in names[:1]]}
    return found


def _new_job(name: str, registry: Registry) -> dict[str, Any]:
    return {
        "handler": name,
        "kwargs": registry.signature(name).example,
        "periodically": "1 week",
        "state": "running",
    }


def _operations(routes: Routes) -> Iterator[links.Described]:
    """All operations but `POST /jobs/{job_id}`, which is not one."""
    for path, resource in routes.items():
        for method in METHODS:
            responder = getattr(resource, f"on_{method}", None)
            if responder is not None and (path, method) != (JOB_PATH, "post"):
                yield path, method, responder.operation


def _handler_operations(routes: Routes, registry: Registry) -> Iterator[links.Described]:
    """`POST /jobs/{job_id}` once for each handler, under the handler's own path."""
    shared: Operation = routes[JOB_PATH].on_post.operation  # type: ignore[attr-defined]
    for name in registry.public_names():
        signature = registry.signature(name)
        body = Body(
            schema=signature.schema(),
            example=signature.example,
            required=bool(signature.schema().get("required")),
        )
        summary, description = signature.summary, signature.description
        operation = replace(shared, summary=summary, description=description, body=body)
        yield f"/jobs/{registry.endpoint(name)}", "post", operation


def _describe(
    path: str, method: str, operation: Operation, targets: Sequence[links.Described], tokens: bool
) -> dict[str, Any]:
    own_id = links.operation_id(method, path)
    taken = [*_parameters("query", operation.query), *_parameters("header", operation.headers)]
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "operationId": own_id,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*_path_parameters(path), *taken],
        "responses": {
            str(status): _response(status, schema, operation) | links.of_answer(schema, targets, own_id)
            for status, schema in _answers(operation, tokens)
        },
    }
    if operation.scope is not EVERYBODY:
        described["x-scope"] = operation.scope
    if tokens:
        described["security"] = [] if operation.scope is EVERYBODY else [{"token": []}]
    if operation.body is not None:
        described["requestBody"] = _request_body(operation.body)
    return described


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            **PATH_PARAMETERS[name],
        }


def _parameters(place: str, parameters: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    for parameter in parameters:
        separated = {"style": "form", "explode": False} if parameter.schema["type"] == "array" else {}
        yield {
            "name": parameter.name,
            "in": place,
            "required": parameter.required,
            "description": parameter.description,
            "schema": dict(parameter.schema),
            **separated,
        }


def _request_body(body: Body) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": dict(body.schema)}
    if body.example is not None:
        content["example"] = body.example
    return {"required": body.required, "content": {"application/json": content}}


def _answers(operation: Operation, tokens: bool) -> list[tuple[int, str | None]]:
    """Status and schema of its answers and of those that every operation may give."""
    answers = operation.answers
    every = {400: "Problem", 403: "Problem", 429: "Problem", **answers, 500: "Problem"}
    every[503] = answers.get(503, "Problem")
    if tokens and operation.scope is not EVERYBODY:
        every[401] = "Problem"
    return sorted(every.items())


def _response(status: int, schema: str | None, operation: Operation) -> dict[str, Any]:
    description = HTTPStatus(status).phrase
    if schema is None or schema == PLAIN_TEXT:
        return {"description": description, "content": {schema or "text/html": {"schema": json_schema.TEXT}}}
    media_type = "application/problem+json" if schema == "Problem" else "application/json"
    content = {media_type: {"schema": json_schema.ref(schema)}}
    return {"description": description, "headers": dict(_headers(status, schema, operation)), "content": content}


def _headers(status: int, schema: str, operation: Operation) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if schema in links.TAGGED:
        yield "ETag", ETAG | {"required": True}
    if schema in TAGGED_IF_THERE_IS_ONE:
        yield "ETag", ETAG
    if schema == "ServiceState":
        yield "ETag", ETAG_OF_SERVICE
    if status in (HTTPStatus.CREATED, HTTPStatus.ACCEPTED) and schema in PLACED:
        yield LOCATION, LOCATION_HEADER
    if IDEMPOTENCY_KEY in operation.headers and status < 300:
        yield REPLAYED, REPLAYED_HEADER
