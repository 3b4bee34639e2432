"""Steps that the tests of the API share."""

from types import SimpleNamespace
from typing import Any

from falcon import testing
from sqlalchemy import Connection, Engine, text

from bayesian_jobs.api.app import create_app
from bayesian_jobs.api.authentication import Trust
from bayesian_jobs.handlers.registry import Registry
from bayesian_jobs.settings import Settings

HOST = "localhost:34000"


def client_on(
    engine: Engine, registry: Registry, host: str = "127.0.0.1", auth: str = "none", rate_limit: int = 1_000_000
) -> testing.TestClient:
    settings = Settings(host=host, auth=auth, rate_limit=rate_limit)
    services = SimpleNamespace(engine=engine, registry=registry, settings=settings)
    return testing.TestClient(create_app(services), headers={"Host": HOST})  # type: ignore[arg-type]


def commanding(engine: Engine, registry: Registry) -> testing.TestClient:
    """The API as the command line asks it: without needing a token."""
    services = SimpleNamespace(engine=engine, registry=registry, settings=Settings())
    app = create_app(services, Trust("command line"))  # type: ignore[arg-type]
    return testing.TestClient(app, headers={"Host": HOST})


def add_job(client: testing.TestClient, job_id: str, **options: Any) -> dict[str, Any]:
    body = {"handler": "Greeting", "kwargs": {"name": "you"}, "job_id": job_id, **options}
    answer = client.simulate_post("/api/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json["job"]
    return job


def add_failure(connection: Connection, job_id: str) -> None:
    connection.execute(
        text("INSERT INTO jobs (job_id, handler, state) VALUES (:job_id, 'ErrorHandler', 'paused')"),
        {"job_id": job_id},
    )


def add_run(connection: Connection, job_id: str, scheduled_for: str, state: str = "succeeded", **more: Any) -> str:
    """Insert a run of the job. Returns its run_id."""
    columns = {"scheduled_for": scheduled_for, "state": state, **more}
    names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    statement = f"""
        INSERT INTO runs (run_id, job_no, job_id, job_version, actor, queue, {names})
        SELECT gen_random_uuid(), job_no, job_id, version, handler, queue, {values}
        FROM jobs WHERE job_id = :job_id RETURNING run_id::text"""
    run_id: str = connection.execute(text(statement), {**columns, "job_id": job_id}).scalar_one()
    return run_id


def assert_problem(answer: testing.Result, status: int) -> dict[str, Any]:
    """The answer is a problem document of this status, and tells nothing of the inside. Returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert problem["status"] == status
    assert problem["error"] == problem["detail"]
    assert "\n" not in problem["error"]
    assert "Traceback" not in answer.text
    return problem
