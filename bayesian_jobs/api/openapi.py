"""The OpenAPI 3.1 document, put together from the routes and the handlers."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from bayesian_jobs import __version__
from bayesian_jobs.api import schemas
from bayesian_jobs.api.operation import (
    ADD_JOBS,
    DOCUMENTATION,
    HANDLERS,
    JOBS_OPTIONS,
    RUNS,
    SERVICE_SETTINGS,
    Body,
    Operation,
)
from bayesian_jobs.api.parameters import Parameter
from bayesian_jobs.handlers.registry import Registry

Routes = dict[str, object]

METHODS = ("get", "post", "put", "patch", "delete")
JOB_PATH = "/jobs/{job_id}"
PATH_PARAMETERS = {"job_id": "Identifies the job", "run_id": "Identifies the run (a UUID)"}
TAGS = {
    ADD_JOBS: "One request for each handler, made from its class, and one for any of them",
    JOBS_OPTIONS: "What jobs there are; pausing, resuming and removing them",
    RUNS: "What was executed, missed or skipped, and how it ended",
    HANDLERS: "What jobs can be made of",
    SERVICE_SETTINGS: "The whole service: pausing and resuming it, and probes",
    DOCUMENTATION: "This description, and the page that shows it",
}
INTRODUCTION = (
    "Configure and run the periodic and one-off work of a back end. A *job* names a *handler*, its keyword "
    "arguments and when it runs; each execution is a *run*. All times are UTC unless they carry an offset. "
    "An error is `application/problem+json`."
)


def document(routes: Routes, registry: Registry, base: str) -> dict[str, Any]:
    """The document of an API whose resources are mounted under `base`."""
    paths: dict[str, Any] = dict(_handler_paths(routes, registry))
    for path, resource in routes.items():
        found = {method: _describe(path, method, each) for method, each in _operations(path, resource)}
        paths[path] = found
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bayesian jobs", "version": __version__, "description": INTRODUCTION},
        "servers": [{"url": base}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {"schemas": _components(registry)},
    }


def _components(registry: Registry) -> dict[str, Any]:
    components = dict(schemas.components())
    for name in registry.public_names():
        components |= registry.signature(name).definitions()
    components["NewJob"] |= {"examples": [_new_job(name, registry) for name in registry.public_names()[:1]]}
    return components


def _new_job(name: str, registry: Registry) -> dict[str, Any]:
    return {
        "handler": name,
        "kwargs": registry.signature(name).example,
        "periodically": "1 week",
        "state": "running",
    }


def _operations(path: str, resource: object) -> Iterator[tuple[str, Operation]]:
    for method in METHODS:
        responder = getattr(resource, f"on_{method}", None)
        if responder is not None and (path, method) != (JOB_PATH, "post"):
            yield method, responder.operation


def _handler_paths(routes: Routes, registry: Registry) -> Iterator[tuple[str, Any]]:
    """`POST /jobs/{job_id}` once for each handler, under the handler's own path."""
    shared: Operation = routes[JOB_PATH].on_post.operation  # type: ignore[attr-defined]
    for name in registry.public_names():
        signature = registry.signature(name)
        operation = Operation(
            tag=shared.tag,
            summary=signature.summary,
            description=signature.description,
            query=shared.query,
            body=Body(
                schema=signature.schema(),
                example=signature.example,
                required=bool(signature.schema().get("required")),
            ),
            answers=shared.answers,
        )
        path = f"/jobs/{registry.endpoint(name)}"
        yield path, {"post": _describe(path, "post", operation)}


def _describe(path: str, method: str, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "operationId": "-".join([method, *re.findall(r"[\w.-]+", path)]),
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*_path_parameters(path), *map(_query_parameter, operation.query)],
        "responses": _responses(operation.answers),
    }
    if operation.body is not None:
        described["requestBody"] = _request_body(operation.body)
    return described


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMETERS[name],
            "schema": schemas.TEXT,
        }


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    separated = {"style": "form", "explode": False} if parameter.schema["type"] == "array" else {}
    return {
        "name": parameter.name,
        "in": "query",
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


def _responses(answers: Mapping[int, str | None]) -> dict[str, Any]:
    every = {400: "Problem", 403: "Problem", **answers, 500: "Problem", 503: answers.get(503, "Problem")}
    return {str(status): _response(status, every[status]) for status in sorted(every)}


def _response(status: int, schema: str | None) -> dict[str, Any]:
    description = HTTPStatus(status).phrase
    if schema is None:
        return {"description": description, "content": {"text/html": {"schema": schemas.TEXT}}}
    media_type = "application/problem+json" if schema == "Problem" else "application/json"
    return {"description": description, "content": {media_type: {"schema": schemas.ref(schema)}}}
