"""Tokens: what is kept of them, whom they let in, and that a route without a scope lets in nobody."""

from collections.abc import Callable
from typing import Any

import falcon
import pytest
from api_steps import add_job, assert_problem, client_on, commanding
from falcon import inspect, testing
from sqlalchemy import Connection, Engine, create_engine, text

from bayesian_jobs.api.operation import EVERYBODY, NoScope, scope_of
from bayesian_jobs.domain.tokens import Scope, digest_of, is_proved, make_token, prefix_of
from bayesian_jobs.handlers.registry import Registry

BASE = "/api/v1"
Ask = Callable[..., testing.Result]


@pytest.fixture
def closed(engine: Engine, registry: Registry) -> testing.TestClient:
    """The API when it asks for tokens."""
    return client_on(engine, registry, host="0.0.0.0", auth="tokens")


@pytest.fixture
def command_line(engine: Engine, registry: Registry) -> testing.TestClient:
    return commanding(engine, registry)


@pytest.fixture
def token_of(command_line: testing.TestClient) -> Callable[..., str]:
    """Makes tokens, as the command line does: without needing one."""

    def make(name: str, scope: str = "read", **options: Any) -> str:
        answer = command_line.simulate_post(f"{BASE}/tokens", json={"name": name, "scope": scope, **options})
        assert answer.status_code == 201, answer.text
        secret: str = answer.json["secret"]
        return secret

    return make


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def routes_of(app: Any) -> list[tuple[str, str, object]]:
    """Method, path and resource of every responder that somebody has written."""
    found = []
    for route in inspect.inspect_routes(app):
        resource = app._router.find(route.path)[0]
        found += [(method.method, route.path, resource) for method in route.methods if not method.internal]
    return found


def test_every_route_and_method_declares_a_scope(offline: testing.TestClient) -> None:
    routes = routes_of(offline.app)
    public = {f"{BASE}{path}" for path in ("/readiness", "/liveness", "/openapi.json", "/ui/", "/ui", "", "/")} | {"/"}

    assert len(routes) > 30
    for method, path, resource in routes:
        needed = scope_of(resource, method)  # raises NoScope
        assert (needed is EVERYBODY) == (path in public), f"{method} {path}"
        if path not in public:
            reads = method in ("GET", "HEAD")
            usual = Scope.READ if reads else Scope.WRITE
            assert needed == (Scope.ADMIN if "/tokens" in path or "/audit" in path else usual), f"{method} {path}"


class Undeclared:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"secret": True}


@pytest.mark.parametrize("auth", ["none", "tokens"])
def test_a_route_that_declares_no_scope_lets_in_nobody(
    engine: Engine, registry: Registry, token_of: Callable[..., str], auth: str
) -> None:
    with pytest.raises(NoScope):
        scope_of(Undeclared(), "GET")
    client = client_on(engine, registry, auth=auth)
    assert isinstance(client.app, falcon.App)
    client.app.add_route(f"{BASE}/forgotten", Undeclared())

    answer = client.simulate_get(f"{BASE}/forgotten", headers=bearing(token_of("root", "admin")))

    assert "declares no scope" in assert_problem(answer, 403)["error"]


def test_each_scope_opens_what_it_says_and_nothing_else(
    closed: testing.TestClient, token_of: Callable[..., str]
) -> None:
    tokens = {None: None, **{scope: token_of(scope, scope) for scope in Scope}}
    for method, path, resource in routes_of(closed.app):
        needed = scope_of(resource, method)
        for held, token in tokens.items():
            headers = {} if token is None else bearing(token)
            answer = closed.simulate_request(method, path.replace("{token_name}", "nobody"), headers=headers)
            if needed is EVERYBODY or (held is not None and held.includes(needed)):
                assert answer.status_code not in (401, 403), f"{method} {path} {held}: {answer.text}"
            else:
                assert answer.status_code == (401 if held is None else 403), f"{method} {path} {held}"


@pytest.mark.parametrize(
    "path", ["/jobs/nope/nothing", "/nope", "/jobs", "/jobs/", "//api/v1/jobs", "/readiness/", "/uix", "/JOBS"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "POST"])
def test_without_a_token_nothing_is_told_of_what_there_is(closed: testing.TestClient, path: str, method: str) -> None:
    answer = closed.simulate_request(method, BASE + path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {prefix}.{zeros}",
        "Bearer bj_000000000000.{secret}", "Bearer {prefix}", "Bearer {prefix}.", "Bearer .{secret}", "Bearer {upper}",
        "Bearer {token},{token}", "Bearer \xff", "Bearer ' OR 1=1 --",
    ],
)  # fmt: skip
def test_what_only_resembles_a_token_is_refused(
    closed: testing.TestClient, token_of: Callable[..., str], header: str
) -> None:
    token = token_of("one")
    prefix, secret = token.split(".")
    header = header.format(token=token, prefix=prefix, secret=secret, zeros="0" * 64, upper=token.upper())

    assert closed.simulate_get(f"{BASE}/jobs", headers=bearing(token)).status_code == 200
    assert_problem(closed.simulate_get(f"{BASE}/jobs", headers={"Authorization": header}), 401)


def test_a_token_in_the_query_or_in_a_cookie_is_none(closed: testing.TestClient, token_of: Callable[..., str]) -> None:
    token = token_of("one")

    for name in ("token", "access_token", "authorization"):
        assert closed.simulate_get(f"{BASE}/jobs", params={name: token}).status_code == 401
        assert closed.simulate_get(f"{BASE}/jobs", headers={"Cookie": f"{name}={token}"}).status_code == 401


def test_nothing_of_a_secret_is_in_the_database(token_of: Callable[..., str], connection: Connection) -> None:
    prefix, secret = token_of("one").split(".")

    assert len(bytes.fromhex(secret)) >= 32
    kept = connection.execute(text("SELECT t::text, digest FROM api_tokens AS t")).one()
    assert prefix in kept[0]
    assert secret not in kept[0]
    assert bytes(kept[1]) == digest_of(f"{prefix}.{secret}")


def test_two_tokens_share_nothing(token_of: Callable[..., str]) -> None:
    tokens = [token_of(str(number)) for number in range(20)]

    assert len({part for token in tokens for part in token.split(".")}) == 40


def test_a_digest_is_compared_also_if_no_token_has_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("bayesian_jobs.domain.tokens.hmac.compare_digest", compare)
    token = make_token(bytes(range(38)))

    assert not is_proved(token, None)
    assert is_proved(token, digest_of(token))
    assert [len(one) == len(other) == 32 for one, other in compared] == [True, True]
    assert prefix_of(token) == token.partition(".")[0]


def test_a_revoked_token_opens_nothing_from_the_answer_on(
    closed: testing.TestClient, command_line: testing.TestClient, token_of: Callable[..., str]
) -> None:
    token = token_of("one", "admin")
    assert closed.simulate_get(f"{BASE}/jobs", headers=bearing(token)).status_code == 200

    revoked = command_line.simulate_delete(f"{BASE}/tokens/one")

    assert revoked.json["token"]["revoked_at"] is not None
    answer = closed.simulate_get(f"{BASE}/jobs", headers=bearing(token))
    assert assert_problem(answer, 401)["error"] == "The token has been revoked"
    assert command_line.simulate_delete(f"{BASE}/tokens/one").json == revoked.json
    again = command_line.simulate_post(f"{BASE}/tokens", json={"name": "one", "scope": "read"})
    assert_problem(again, 409)


def test_a_token_opens_nothing_once_it_has_expired(
    closed: testing.TestClient, token_of: Callable[..., str], connection: Connection
) -> None:
    token = token_of("one", expires="1 hour")
    assert closed.simulate_get(f"{BASE}/jobs", headers=bearing(token)).status_code == 200

    connection.execute(text("UPDATE api_tokens SET expires_at = clock_timestamp()"))

    answer = closed.simulate_get(f"{BASE}/jobs", headers=bearing(token))
    assert assert_problem(answer, 401)["error"] == "The token has expired"


def test_the_use_of_a_token_is_noted_rarely(
    closed: testing.TestClient, token_of: Callable[..., str], connection: Connection
) -> None:
    token, noted = token_of("one"), text("SELECT last_used_at, xmin::text FROM api_tokens")
    assert connection.execute(noted).one()[0] is None

    closed.simulate_get(f"{BASE}/jobs", headers=bearing(token))
    first = connection.execute(noted).one()
    closed.simulate_get(f"{BASE}/jobs", headers=bearing(token))

    assert first[0] is not None
    assert connection.execute(noted).one() == first

    connection.execute(text("UPDATE api_tokens SET last_used_at = last_used_at - interval '11 minutes'"))
    closed.simulate_get(f"{BASE}/jobs", headers=bearing(token))
    assert connection.execute(noted).one()[0] >= first[0]


def test_a_token_that_somebody_has_locked_still_opens(
    closed: testing.TestClient, token_of: Callable[..., str], engine: Engine
) -> None:
    token = token_of("one")
    with engine.begin() as connection:
        connection.execute(text("SELECT FROM api_tokens FOR UPDATE"))
        assert closed.simulate_get(f"{BASE}/jobs", headers=bearing(token)).status_code == 200


def test_without_authentication_nobody_makes_or_revokes_a_token_over_http(
    client: testing.TestClient, token_of: Callable[..., str]
) -> None:
    """It would be good once there is authentication."""
    token_of("one")

    for answer in (
        client.simulate_post(f"{BASE}/tokens", json={"name": "mine", "scope": "admin"}),
        client.simulate_delete(f"{BASE}/tokens/one"),
    ):
        assert "only the command line does this" in assert_problem(answer, 403)["error"]
    (kept,) = client.simulate_get(f"{BASE}/tokens").json["tokens"]
    assert (kept["name"], kept["revoked_at"]) == ("one", None)


def test_a_list_tells_everything_but_the_secrets(
    command_line: testing.TestClient, token_of: Callable[..., str]
) -> None:
    secret = token_of("two", "write", expires="2100-01-01T00:00:00Z").split(".")[1]
    token_of("one")

    answer = command_line.simulate_get(f"{BASE}/tokens")

    assert [each["name"] for each in answer.json["tokens"]] == ["one", "two"]
    assert answer.json["tokens"][1]["expires_at"] == "2100-01-01T00:00:00Z"
    assert secret not in answer.text


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"scope": "read"}, "name: None: is required"),
        ({"name": "n"}, "scope: None: is required"),
        ({"name": "n", "scope": "root"}, "must be one of read, write, admin"),
        ({"name": "", "scope": "read"}, "must have 1 to 100 characters"),
        ({"name": "a\r\nb", "scope": "read"}, "has no control characters"),
        ({"name": "a/b", "scope": "read"}, "has no control characters"),
        ({"name": " a", "scope": "read"}, "neither begins nor ends with a space"),
        ({"name": "..", "scope": "read"}, "neither begins nor ends with a space"),
        ({"name": "n", "scope": "read", "expires": "2001-01-01"}, "has passed"),
        ({"name": "n", "scope": "read", "expires": "soon"}, "expires: 'soon'"),
        ({"name": "n", "scope": "read", "secret": "mine"}, "secret: 'mine': is not an option"),
        ({"name": 1, "scope": "read"}, "name: 1: must be text"),
    ],
)
def test_a_token_that_cannot_be_meant_is_refused(
    command_line: testing.TestClient, options: dict[str, Any], error: str
) -> None:
    answer = command_line.simulate_post(f"{BASE}/tokens", json=options)

    assert error in assert_problem(answer, 400)["error"]
    assert command_line.simulate_get(f"{BASE}/tokens").json["tokens"] == []


def test_a_proxy_may_pass_any_host_if_a_token_comes_with_it(
    closed: testing.TestClient, token_of: Callable[..., str]
) -> None:
    headers = {**bearing(token_of("one", "write")), "Host": "jobs.example", "Origin": "https://jobs.example"}

    assert closed.simulate_put(f"{BASE}/service/state?state=paused", headers=headers).status_code == 200
    assert closed.simulate_get(f"{BASE}/liveness", headers={"Host": "10.0.0.7"}).status_code == 200


@pytest.mark.parametrize("peer", ["10.0.0.7", "203.0.113.9", "fe80::1", "nonsense"])
def test_without_authentication_another_machine_gets_no_answer(offline: testing.TestClient, peer: str) -> None:
    answer = offline.simulate_get(f"{BASE}/liveness", remote_addr=peer)

    assert "only this machine is answered" in assert_problem(answer, 403)["error"]


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", ""])
def test_without_authentication_this_machine_is_answered(offline: testing.TestClient, peer: str) -> None:
    assert offline.simulate_get(f"{BASE}/liveness", remote_addr=peer).status_code == 200


def test_a_database_that_does_not_answer_lets_in_nobody(registry: Registry) -> None:
    nowhere = create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    client = client_on(nowhere, registry, auth="tokens")

    assert_problem(client.simulate_get(f"{BASE}/handlers", headers=bearing(make_token(bytes(38)))), 503)
    assert client.simulate_get(f"{BASE}/liveness").status_code == 200


def test_the_document_says_which_requests_need_a_token(closed: testing.TestClient, client: testing.TestClient) -> None:
    document = closed.simulate_get(f"{BASE}/openapi.json").json

    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            needs = operation["security"] == [{"token": []}]
            assert needs == ("x-scope" in operation) == ("401" in operation["responses"]), path
            assert "403" in operation["responses"]
    assert "securitySchemes" not in client.simulate_get(f"{BASE}/openapi.json").json["components"]


def test_a_job_is_added_with_a_token(closed: testing.TestClient, token_of: Callable[..., str], engine: Engine) -> None:
    closed._default_headers = {**closed._default_headers, **bearing(token_of("deploy", "write"))}

    assert add_job(closed, "a")["job_id"] == "a"
