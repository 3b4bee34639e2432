"""`job`, `run`, `service` and `handlers` of the command line, straight on the database and on an API."""

import json
from collections.abc import Iterator
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from bayesian_jobs.api.app import create_app
from bayesian_jobs.bootstrap import assemble
from bayesian_jobs.cli import main
from bayesian_jobs.domain.flow import Flow, Task
from bayesian_jobs.lifecycle.options import OPTIONS
from bayesian_jobs.manage import commands
from bayesian_jobs.settings import load
from bayesian_jobs.store.flows import start_flow

PRUNE = ("job", "add", "PruneHistory", "--job-id", "a")


@pytest.fixture(params=["database", "api"])
def where(request, database_url: str, monkeypatch) -> Iterator[list[str]]:
    """The arguments by which a command reaches the service."""
    if request.param == "database":
        monkeypatch.setenv("DATABASE_URL", database_url)
        yield []
        return
    services = assemble(load({"DATABASE_URL": database_url}), "test")
    server = make_server("127.0.0.1", 0, create_app(services), handler_class=Quiet)
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")  # must not be asked
    yield ["--api", f"http://127.0.0.1:{server.server_port}"]
    server.shutdown()
    thread.join()
    server.server_close()
    services.engine.dispose()


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def said(where, capsys):
    """Runs a command that succeeds; returns what it printed."""

    def run(*arguments: str) -> str:
        assert main([*arguments, *where]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.fixture
def document(said):
    def run(*arguments: str) -> Any:
        return json.loads(said(*arguments, "--json"))

    return run


def test_a_job_is_added_listed_shown_and_deleted(said, document):
    added = document(*PRUNE, "--periodically", "1 day", "--when", "2026-01-05T05:00", "--state", "paused")["job"]
    assert (added["job_id"], added["periodically"], added["state"]) == ("a", "1 day", "paused")
    assert document("job", "show", "a") == added
    assert document("job", "list")["jobs"] == [added]
    assert document("job", "delete", "a") == {"removed": ["a"]}
    assert said("job", "list") == "no jobs\n"


def test_a_job_is_changed_paused_and_resumed(document):
    document(*PRUNE, "--periodically", "1 day", "--misfire-grace-time", "1 hour")
    changed = document("job", "edit", "a", "--periodically", "2 days", "--unset", "misfire-grace-time")["job"]
    assert (changed["periodically"], changed["misfire_grace_time"]) == ("2 days", None)
    assert document("job", "pause", "a") == {"job_id": "a", "state": "paused"}
    assert document("job", "resume", "a") == {"job_id": "a", "state": "running"}
    document("job", "pause", "a", "--reason", "npm is down", "--until", "2999-01-01T06:00")
    paused = document("job", "show", "a")["paused"]
    assert (paused["reason"], paused["until"]) == ("npm is down", "2999-01-01T06:00:00Z")


def test_a_dry_run_tells_what_would_change_and_changes_nothing(said, document):
    assert said(*PRUNE, "--dry-run").startswith("OPTION ")
    assert document("job", "list")["jobs"] == []

    before = document(*PRUNE, "--periodically", "1 week", "--when", "2100-01-04")["job"]
    lines = said("job", "edit", "a", "--periodically", "1 day", "--dry-run").splitlines()
    assert lines[:7] == [
        "OPTION        BEFORE  AFTER",
        "periodically  1 week  1 day",
        "",
        "UPCOMING BEFORE       UPCOMING AFTER",
        "2100-01-04T00:00:00Z  2100-01-04T00:00:00Z",
        "2100-01-11T00:00:00Z  2100-01-05T00:00:00Z",
        "2100-01-18T00:00:00Z  2100-01-06T00:00:00Z",
    ]
    assert document("job", "show", "a") == before


def test_upcoming_fire_times_are_lines(said):
    said(*PRUNE, "--periodically", "0 5 * * *")
    lines = said("job", "upcoming", "a", "--count", "3").splitlines()
    assert [line[10:] for line in lines] == ["T05:00:00Z"] * 3


def test_lists_are_tables_with_the_way_to_the_following_page(said):
    for job_id in ("a", "b"):
        said("job", "add", "PruneHistory", "--job-id", job_id, "--state", "paused", "--periodically", "1 day")
    heading, line, _, more = said("job", "list", "--limit", "1").splitlines()
    assert heading.split() == ["JOB", "ID", "HANDLER", "STATE", "PERIODICALLY", "NEXT", "RUN", "AT", "LAST", "RUN"]
    assert line.split() == ["a", "PruneHistory", "paused", "1", "day", "-", "-"]
    cursor = more.split()[-1]
    assert said("job", "list", "--after", cursor).splitlines()[1].startswith("b ")


def test_runs_are_listed_and_shown(document, said, service):
    said(*PRUNE)
    service.dispatch()
    (run,) = document("run", "list", "--job", "a", "--state", "queued")["runs"]
    assert document("run", "list")["runs"] == [run]
    assert document("run", "show", run["run_id"]) == run
    assert f"scheduled_for        {run['scheduled_for']}\n" in said("run", "show", run["run_id"])


def test_a_run_that_executes_is_asked_to_stop(document, said, service):
    said(*PRUNE)
    service.dispatch()
    run_id = service.claim_one().run_id
    assert "state                running\n" in said("run", "cancel", run_id)
    assert document("run", "show", run_id)["cancel_requested_at"] is not None


def test_the_tasks_of_a_flow_are_shown_those_that_wait_included(document, said, service):
    tasks = (Task(("fetch",), "fetch", "core"), Task(("scan",), "scan", "core", ("fetch",)))
    with service.engine.begin() as connection:
        start_flow(connection, Flow("f", tasks), [{"args": [], "kwargs": {}, "options": {}}], "a")
    (run,) = document("run", "list")["runs"]
    shown = document("flow", "show", run["flow_id"])
    assert [(task["task"], task["state"]) for task in shown["tasks"]] == [("fetch", "queued"), ("scan", "waiting")]
    _, fetch, scan = said("flow", "show", run["flow_id"]).splitlines()
    assert (fetch.split()[:2], scan.split()[:3]) == (["fetch", "queued"], ["scan", "waiting", '["fetch"]'])


def test_the_service_is_paused_and_resumed(document):
    assert document("service", "show") == {"state": "running"}
    assert document("service", "pause") == {"state": "paused"}
    assert document("service", "show") == {"state": "paused"}
    assert document("service", "resume") == {"state": "running"}
    paused = {"state": "paused", "reason": "new disks", "until": "2999-01-01T00:00:00Z"}
    assert document("service", "pause", "--reason", "new disks", "--until", "2999-01-01") == paused


def test_handlers_are_listed(said):
    assert "PruneHistory" in said("handlers")
    assert "/jobs/flow-scheduling" in said("handlers")


def test_what_the_api_refuses_is_one_line_and_exit_code_1(where, capsys):
    assert main([*PRUNE, "--periodically", "1 month", *where]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("bayesian-jobs: periodically: '1 month': ")
    assert told.err.count("\n") == 1


def test_one_that_is_refused_does_not_keep_the_others_from_being_carried_out(said, where, capsys):
    said(*PRUNE, "--periodically", "1 day")
    assert main(["job", "pause", "none", "a", *where]) == 1
    told = capsys.readouterr()
    assert "No such job with id 'none'" in told.err
    assert "paused" in told.out


@pytest.mark.parametrize("job_id", ["ä b", "a?x=1", "100%", "a%2Fb"])
def test_a_job_id_of_any_characters_is_meant_as_it_is(document, job_id):
    document("job", "add", "PruneHistory", "--job-id", job_id, "--periodically", "1 day")
    assert document("job", "show", job_id)["job_id"] == job_id
    assert document("job", "delete", job_id) == {"removed": [job_id]}


@pytest.mark.parametrize("kwargs", ["[]", "{", '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000])
def test_kwargs_that_are_no_json_object_are_wrong_usage(kwargs, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*PRUNE, "--kwargs", kwargs])
    assert stopped.value.code == 2
    assert "--kwargs" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["localhost:34000", "ftp://localhost", "http://", "file:///etc/passwd"])
def test_an_api_that_is_no_address_is_named(url, capsys):
    assert main(["job", "list", "--api", url]) == 1
    assert f"--api: {url!r}" in capsys.readouterr().err


def test_an_api_that_does_not_answer_is_named(capsys):
    assert main(["job", "list", "--api", "http://127.0.0.1:1"]) == 1
    assert "http://127.0.0.1:1/api/v1 does not answer" in capsys.readouterr().err


def test_a_stored_text_cannot_steer_the_terminal(said, service):
    with service.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO jobs (job_id, handler, state) VALUES (%s, 'PruneHistory', 'paused')", ("\x1b[2Jhidden",)
        )
    assert "\x1b" not in said("job", "list")
    assert "[2Jhidden" in said("job", "list")


def test_the_options_are_those_of_a_job():
    assert {*commands.OPTIONS, "job_id", "handler", "kwargs"} == set(OPTIONS)


def test_a_job_runs_now_and_its_run_is_cancelled_and_tried_again(said, document) -> None:
    said(*PRUNE, "--when", "2999-01-01")
    run_id = document("job", "run", "a")["run"]["run_id"]
    assert "queued" in said("run", "show", run_id)
    assert "cancelled" in said("run", "cancel", run_id)
    again = document("run", "retry", run_id, "--kwargs", "{}")["run"]
    assert (again["retry_of"], again["kwargs"]) == (run_id, {})


def test_a_run_that_is_refused_is_told_in_one_line(said, where, capsys) -> None:
    said(*PRUNE, "--when", "2999-01-01")
    said("job", "run", "a")
    assert main(["job", "run", "a", *where]) == 1
    assert "still queued or executing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "show", "\udcff"),
        ("job", "list", "--text", "\udcff"),
        (*PRUNE, "--description", "\udcff"),
        (*PRUNE, "--kwargs", '{"a": ["\udcff"]}'),
        (*PRUNE, "--kwargs", '{"\\ud800": 1}'),
        ("run", "show", "\udcff"),
        ("job", "pause", "a", "b\udcff"),
    ],
)
def test_an_argument_that_is_no_utf_8_is_refused_in_one_line(arguments: tuple[str, ...], where, capsys) -> None:
    assert main([*arguments, *where]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.endswith("lone surrogate\n")


def test_a_time_of_a_job_is_explained(said, document) -> None:
    said(*PRUNE, "--when", "2999-01-01")
    told = said("job", "explain", "a", "--at", "2999-01-01")
    assert told.startswith("The job will run at 2999-01-01T00:00:00Z, if nothing changes.")
    assert told == document("job", "explain", "a", "--at", "2999-01-01")["explanation"] + "\n"
    assert "is no fire time of job 'a'" in said("job", "explain", "a")
