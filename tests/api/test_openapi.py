"""The OpenAPI document against the routes, both ways, and the page over it."""

import re
from typing import Any

import falcon
import pytest
from api_steps import add_job, add_run
from falcon import inspect, testing
from openapi_spec_validator import OpenAPIV31SpecValidator

from bayesian_jobs.handlers.registry import Registry

BASE = "/api/v1"
UNDOCUMENTED = {("GET", path) for path in ("/", "/metrics", BASE, f"{BASE}/", f"{BASE}/ui")}


@pytest.fixture
def document(offline: testing.TestClient) -> dict[str, Any]:
    answer = offline.simulate_get(f"{BASE}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json
    return found


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_routes_and_document_are_the_same(
    offline: testing.TestClient, document: dict[str, Any], registry: Registry
) -> None:
    assert isinstance(offline.app, falcon.App)
    routes = {
        (method.method, route.path)
        for route in inspect.inspect_routes(offline.app)
        for method in route.methods
        if not method.internal and method.method != "HEAD"
    }
    documented = {(method.upper(), BASE + path) for path, methods in document["paths"].items() for method in methods}
    endpoints = {("POST", f"{BASE}/jobs/{registry.endpoint(name)}") for name in registry.public_names()}

    assert documented == routes - UNDOCUMENTED - {("POST", f"{BASE}/jobs/{{job_id}}")} | endpoints


def test_head_is_possible_wherever_get_is(offline: testing.TestClient) -> None:
    assert isinstance(offline.app, falcon.App)
    for route in inspect.inspect_routes(offline.app):
        methods = {method.method for method in route.methods if not method.internal}
        assert ("HEAD" in methods) == ("GET" in methods), route.path


def test_the_groups_are_those_of_the_contract(document: dict[str, Any]) -> None:
    names = [tag["name"] for tag in document["tags"]]
    used = {operation["tags"][0] for methods in document["paths"].values() for operation in methods.values()}

    assert names[:2] == ["Add new jobs", "Jobs options"]
    assert "Service settings" in names
    assert used == set(names)


def test_operation_ids_are_unique_and_every_operation_is_described(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    ids = [operation["operationId"] for operation in operations]

    assert len(set(ids)) == len(ids)
    assert all(operation["summary"] for operation in operations)


def test_links_lead_to_operations_and_name_their_parameters(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    parameters = {
        operation["operationId"]: {f"{each['in']}.{each['name']}" for each in operation["parameters"]}
        for operation in operations
    }
    named = document["components"]["links"]
    found = [
        named[link["$ref"].rpartition("/")[2]] if "$ref" in link else link
        for operation in operations
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]

    assert {"get-jobs-job_id", "post-jobs-job_id-run", "post-runs-run_id-retry", "get-runs"} <= {
        link["operationId"] for link in found
    }
    assert all(link["parameters"].keys() <= parameters[link["operationId"]] for link in found)


def test_a_handlers_endpoint_shows_options_and_an_example(document: dict[str, Any]) -> None:
    operation = document["paths"]["/jobs/greeting"]["post"]

    assert operation["tags"] == ["Add new jobs"]
    assert operation["summary"] == "Greet somebody."
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "job_id", "periodically", "when", "end", "timezone", "jitter", "misfire_grace_time", "catch_up",
        "max_concurrent_runs", "overlap", "queue", "priority", "max_retries", "retry_delay", "time_limit",
        "description", "tags", "state", "dry_run", "Idempotency-Key",
    ]  # fmt: skip
    assert operation["requestBody"]["content"]["application/json"]["example"] == {"name": "world"}


@pytest.mark.parametrize(
    "path", ["/jobs", "/jobs/a", "/runs", "/handlers", "/service/state", "/liveness", "/jobs/a/runs"]
)
def test_answers_have_the_documented_fields(
    client: testing.TestClient, connection: Any, document: dict[str, Any], path: str
) -> None:
    add_job(client, "a")
    add_run(connection, "a", "2026-11-23T10:00:00Z")
    documented = re.sub("/a(?=/|$)", "/{job_id}", path)
    answers = document["paths"][documented]["get"]["responses"]["200"]["content"]["application/json"]["schema"]

    check(client.simulate_get(f"{BASE}{path}").json, answers, document)


def check(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    """Validate by the JSON schema inside the document."""
    from openapi_schema_validator import OAS31Validator

    rooted = {**schema, "components": document["components"]}
    errors = [error.message for error in OAS31Validator(rooted).iter_errors(value)]
    assert errors == []


@pytest.mark.parametrize("path", ["/", f"{BASE}/ui/"])
def test_the_page_has_no_inline_script_and_nothing_from_outside(offline: testing.TestClient, path: str) -> None:
    page = offline.simulate_get(path)

    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
    assert re.findall(r"<script(?![^>]*\bsrc=)", page.text) == []
    for source in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert offline.simulate_get(f"{path}{source}").status_code == 200


@pytest.mark.parametrize("path", [BASE, f"{BASE}/", f"{BASE}/ui"])
def test_short_paths_lead_to_the_page(offline: testing.TestClient, path: str) -> None:
    answer = offline.simulate_get(path)

    assert answer.status_code == 302
    assert answer.headers["location"] == f"{BASE}/ui/"
