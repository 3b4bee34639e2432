"""What a newcomer reads when the service is ready."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from bayesian_jobs import __version__
from bayesian_jobs.lifecycle.defaults import Orphan, Report
from bayesian_jobs.lifecycle.yaml_files import Flaw
from bayesian_jobs.settings import Settings, own_data_dir
from bayesian_jobs.up.banner import banner

CONFIGURED = Settings(data_dir=Path("/somewhere/data"), flows_file=Path("flows.yaml"))
REPORT = Report(
    added=["one", "two"],
    unchanged=["three"],
    orphaned=[Orphan("old", "old.yaml")],
    rejected=[Flaw("bad.yaml", "'1 month': no", line=3, key="period")],
)
DSN = "host=/somewhere/data/socket user=bayesian_jobs dbname=bayesian_jobs"
PIDS = {"api": 11, "scheduler": 12}


def written(settings: Settings = CONFIGURED, report: Report = REPORT) -> list[str]:
    dsn = None if settings.database_url else DSN
    return banner(settings, report, PIDS, dsn=dsn, seconds=1.23).splitlines()


def test_it_says_where_everything_is():
    command = shlex.quote(str(Path(sys.executable).with_name("bayesian-jobs")))
    assert written()[1:13] == [
        f" bayesian-jobs {__version__} is ready after 1.2 s",
        "",
        " Dashboard     http://127.0.0.1:34000/",
        " API           http://127.0.0.1:34000/api/v1",
        " Swagger UI    http://127.0.0.1:34000/api/v1/ui/",
        " Database      embedded PostgreSQL, its data in /somewhere/data",
        "               psql 'host=/somewhere/data/socket user=bayesian_jobs dbname=bayesian_jobs'",
        f" Command line  JOBS_DATA_DIR=/somewhere/data {command} job list",
        " Broker        the same PostgreSQL",
        " Default jobs  added one, two; unchanged three",
        "               not used: bad.yaml: line 3: period: '1 month': no",
        "               orphaned: old: old.yaml defines it no more",
    ]
    assert " Processes     api 11, scheduler 12" in written()


def test_the_password_of_a_configured_database_is_not_shown():
    configured = replace(CONFIGURED, database_url="postgresql+psycopg2://jobs:s3cret@db.example/jobs")
    lines = written(configured)
    assert " Database      postgresql+psycopg2://jobs:***@db.example/jobs" in lines
    assert "s3cret" not in "".join(lines)
    assert "psql" not in "".join(lines)
    assert "Command line" not in "".join(lines)


def test_the_command_line_needs_no_word_of_where_the_data_usually_is():
    (line,) = [line for line in written(replace(CONFIGURED, data_dir=own_data_dir())) if "Command line" in line]
    assert "JOBS_DATA_DIR" not in line


def test_the_request_to_try_is_one_that_a_shell_understands():
    (line,) = [line for line in written() if line.startswith(" curl")]
    words = shlex.split(line)
    assert json.loads(words[words.index("-d") + 1])["flow_name"] == "bayesianFlow"
    assert words[-1] == "http://127.0.0.1:34000/api/v1/jobs/flow-scheduling?state=running"


def test_without_flows_the_request_to_try_only_looks():
    lines = written(replace(CONFIGURED, flows_file=None))
    assert " curl 'http://127.0.0.1:34000/api/v1/jobs'" in lines


def test_where_the_api_asks_for_tokens_it_says_how_to_make_one_and_where_it_goes():
    lines = written(replace(CONFIGURED, auth="tokens"))
    at = lines.index(" bayesian-jobs token create NAME --scope write")
    words = shlex.split(lines[at + 2])
    assert words[:3] == ["curl", "-H", "Authorization: Bearer TOKEN"]
    assert words[-1] == "http://127.0.0.1:34000/api/v1/jobs/flow-scheduling?state=running"


def test_without_authentication_there_is_no_talk_of_tokens():
    assert "token" not in "".join(written()).lower()


def test_no_default_jobs_at_all_is_said():
    configured = replace(CONFIGURED, default_jobs_dir=Path("/nowhere"))
    assert " Default jobs  none in /nowhere" in written(configured, Report())
