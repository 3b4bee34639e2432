"""The endpoints of the handlers that start flows follow from their classes."""

from typing import Any

import pytest
from api_steps import assert_problem
from falcon import testing

from bayesian_jobs.handlers.registry import Registry, discover

SELECTIVE = "/api/v1/jobs/selective-flow-scheduling"
BODY = {"flow_name": "analysis", "task_names": ["scan"], "flow_arguments": [{"name": "a"}]}


@pytest.fixture
def registry() -> Registry:
    return discover(())


def test_some_tasks_of_a_flow_are_scheduled_by_an_endpoint_of_their_own(client: testing.TestClient) -> None:
    answer = client.simulate_post(SELECTIVE, params={"job_id": "a"}, json=BODY | {"run_subsequent": True})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json["job"]
    assert (job["job_id"], job["handler"]) == ("a", "SelectiveFlowScheduling")
    assert job["kwargs"]["task_names"] == ["scan"]
    assert job["kwargs"]["run_subsequent"] is True


@pytest.mark.parametrize(
    ("change", "option"),
    [({"task_names": []}, "task_names"), ({"task_names": "scan"}, "task_names"), ({"subsequent": True}, "subsequent")],
)
def test_what_selects_nothing_or_is_unknown_is_refused(
    client: testing.TestClient, change: dict[str, Any], option: str
) -> None:
    problem = assert_problem(client.simulate_post(SELECTIVE, json=BODY | change), 400)
    assert option in problem["error"]


def test_the_document_tells_the_arguments_and_an_example(offline: testing.TestClient) -> None:
    document = offline.simulate_get("/api/v1/openapi.json").json
    body = document["paths"]["/jobs/selective-flow-scheduling"]["post"]["requestBody"]["content"]["application/json"]
    arguments = {"flow_name", "task_names", "flow_arguments", "follow_subflows", "run_subsequent"}
    assert set(body["example"]) == set(body["schema"]["properties"]) == arguments
    assert body["schema"]["required"] == ["flow_name", "task_names", "flow_arguments"]
