"""Each caller has a rate of its own, and nobody uses up that of another."""

import falcon
import pytest
from api_steps import assert_problem, client_on
from falcon import testing
from sqlalchemy import Engine

from bayesian_jobs.api import rate
from bayesian_jobs.api.rate import Rate
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.lifecycle import tokens

BASE = "/api/v1"


def test_what_is_spent_comes_back_with_time() -> None:
    now = [0.0]
    limit = Rate(60, clock=lambda: now[0])
    for _ in range(60):
        limit.spend("one")
    with pytest.raises(falcon.HTTPTooManyRequests) as refused:
        limit.spend("one")
    assert refused.value.headers["Retry-After"] == "1"
    limit.spend("another")

    now[0] = 3.0
    for _ in range(3):
        limit.spend("one")
    with pytest.raises(falcon.HTTPTooManyRequests):
        limit.spend("one")
    now[0] = 10_000.0
    for _ in range(60):
        limit.spend("one")
    with pytest.raises(falcon.HTTPTooManyRequests):
        limit.spend("one")


def test_callers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MOST_CALLERS", 10)
    limit = Rate(1, clock=lambda: 0.0)
    for number in range(100):
        limit.spend(str(number))

    assert len(limit._left) == 10
    with pytest.raises(falcon.HTTPTooManyRequests):
        limit.spend("99")
    limit.spend("0")


def test_an_address_that_sends_too_much_is_told_when_to_go_on(engine: Engine, registry: Registry) -> None:
    client = client_on(engine, registry, rate_limit=3)
    answers = [client.simulate_get(f"{BASE}/handlers") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert "JOBS_RATE_LIMIT" in assert_problem(answers[3], 429)["error"]
    assert int(answers[3].headers["retry-after"]) == 20
    assert client.simulate_get(f"{BASE}/handlers", remote_addr="127.0.0.2").status_code == 200
    assert client.simulate_get(f"{BASE}/liveness").status_code == 200, "a probe counts for itself"


def test_nobody_uses_up_what_a_token_may_send(engine: Engine, registry: Registry) -> None:
    client = client_on(engine, registry, auth="tokens", rate_limit=3)
    texts = [tokens.create(engine, {"name": name, "scope": "read"})[1] for name in ("one", "two")]
    one, two = ({"Authorization": f"Bearer {text}"} for text in texts)

    assert [client.simulate_get(f"{BASE}/jobs").status_code for _ in range(4)] == [401, 401, 401, 429]
    wrong = {"Authorization": one["Authorization"][:-1] + "x"}
    assert client.simulate_get(f"{BASE}/jobs", headers=wrong).status_code == 429
    assert [client.simulate_get(f"{BASE}/jobs", headers=one).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert client.simulate_get(f"{BASE}/jobs", headers=two).status_code == 200


def test_each_answer_may_be_429(client: testing.TestClient) -> None:
    document = client.simulate_get(f"{BASE}/openapi.json").json
    assert all("429" in each["responses"] for methods in document["paths"].values() for each in methods.values())
