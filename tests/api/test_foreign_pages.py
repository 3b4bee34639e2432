"""The API has no authentication: it answers this machine, and no web page of another site."""

import pytest
from api_steps import assert_problem
from falcon import testing

STATE = "/api/v1/service/state"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/api/v1/liveness", "/api/v1/ui/", "/api/v1/jobs", "/api/v1/nope"])
def test_a_name_that_was_rebound_to_this_machine_gets_no_answer(
    offline: testing.TestClient, method: str, path: str
) -> None:
    answer = offline.simulate_request(method, path, headers={"Host": "evil.example:34000"})

    if method == "HEAD":
        assert answer.status_code == 403
    else:
        assert "evil.example" in assert_problem(answer, 403)["error"]


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost.evil.example", "evil.example#localhost", "localhost@evil.example", "127.0.0.1.evil.example",
        "localhost:1:2", "localhost:x", "::1", "[::1", "localhost,evil.example", "0.0.0.0",
    ],
)  # fmt: skip
def test_a_host_that_only_resembles_this_machine_is_refused(offline: testing.TestClient, host: str) -> None:
    assert_problem(offline.simulate_get("/api/v1/liveness", headers={"Host": host}), 403)


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "127.0.0.1:34000", "[::1]:34000", "[::1]"])
def test_this_machine_is_answered_under_any_port(offline: testing.TestClient, host: str) -> None:
    assert offline.simulate_get("/api/v1/liveness", headers={"Host": host}).status_code == 200


def test_the_configured_address_is_answered(offline_at_127_0_0_2: testing.TestClient) -> None:
    answer = offline_at_127_0_0_2.simulate_get("/api/v1/liveness", headers={"Host": "127.0.0.2:34000"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://localhost:8080", "http://localhost", "null", "", "localhost:34000"]
)
def test_a_page_of_another_origin_changes_nothing(client: testing.TestClient, origin: str) -> None:
    headers = {"Origin": origin}

    assert_problem(client.simulate_put(f"{STATE}?state=paused", headers=headers), 403)
    assert client.simulate_get(STATE, headers=headers).json == {"state": "running"}


@pytest.mark.parametrize("origin", ["http://localhost:34000", "https://LOCALHOST:34000"])
def test_the_own_page_changes_what_it_likes(client: testing.TestClient, origin: str) -> None:
    answer = client.simulate_put(f"{STATE}?state=paused", headers={"Origin": origin})

    assert answer.json == {"state": "paused"}
