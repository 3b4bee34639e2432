"""Links of the OpenAPI document: what can be done with a job or a run that an answer names."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bayesian_jobs.api.conditions import IF_MATCH
from bayesian_jobs.api.operation import Operation

Links = dict[str, Any]
Described = tuple[str, str, Operation]
"""Path, method and operation."""

NAMED: Mapping[str, Mapping[str, str]] = {
    "Job": {"job_id": "/job_id"},
    "JobAdded": {"job_id": "/job/job_id"},
    "RunRequested": {"run_id": "/run/run_id", "job_id": "/run/job_id"},
}
"""Schemas of answers: where each tells the parameters of other paths, as JSON pointers."""
TAGGED = ("Job", "JobAdded")
"""Schemas of answers about one job, which have its `ETag`."""
PAGES = ("JobList", "RunList", "AuditLog")


def operation_id(method: str, path: str) -> str:
    return "-".join([method, *re.findall(r"[\w.-]+", path)])


def components(operations: Iterable[Described]) -> Links:
    """All links by name, to those `operations` whose path takes what an answer names."""
    found = list(operations)
    return {name: link for schema in NAMED for name, link in _links(schema, found)}


def of_answer(schema: str | None, operations: Iterable[Described], own_id: str) -> Links:
    """What a response object of the operation `own_id` gets for its links, if it has any."""
    links: Links = {name: {"$ref": f"#/components/links/{name}"} for name, _ in _links(schema or "", operations)}
    if schema in PAGES:
        links["next"] = {"operationId": own_id, "parameters": {"query.after": "$response.body#/next"}}
    return {"links": links} if links else {}


def _links(schema: str, operations: Iterable[Described]) -> Iterator[tuple[str, Any]]:
    pointers = NAMED.get(schema, {})
    for path, method, operation in operations:
        taken = re.findall(r"\{(\w+)\}", path)
        if taken and all(name in pointers for name in taken):
            target = operation_id(method, path)
            parameters = {f"path.{name}": f"$response.body#{pointers[name]}" for name in taken}
            if IF_MATCH in operation.headers and schema in TAGGED:
                parameters["header.If-Match"] = "$response.header.ETag"
            yield f"{schema}.{target}", {"operationId": target, "parameters": parameters}
