"""The command line: quick help, exit codes, no passwords."""

import json
import os
import signal
import subprocess
import sys

import pytest

from bayesian_jobs import __version__, cli
from bayesian_jobs.errors import BayesianJobsError


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("DATABASE_URL", "JOBS_PORT", "JOBS_HOST", "JOBS_RETENTION"):
        monkeypatch.delenv(name, raising=False)


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from bayesian_jobs import cli; cli.parser().format_help();"
        "heavy = ('sqlalchemy', 'dramatiq', 'falcon', 'pydantic', 'psycopg2');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"bayesian-jobs {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["worker", "--threads", "0"], ["worker", "--threads", "x"], ["defaults"]]
)
def test_a_usage_error_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: bayesian-jobs" in capsys.readouterr().err


def test_an_error_of_ours_is_one_line_and_1(monkeypatch, capsys):
    monkeypatch.setenv("JOBS_PORT", "99999")
    assert cli.main(["settings"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "bayesian-jobs: JOBS_PORT='99999': must be a whole number from 1 to 65535\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(environ):
        raise ZeroDivisionError

    monkeypatch.setattr("bayesian_jobs.settings.load", broken)
    assert not issubclass(ZeroDivisionError, BayesianJobsError)
    with pytest.raises(ZeroDivisionError):
        cli.main(["settings"])


def test_settings_lists_value_default_and_meaning_of_each(monkeypatch, capsys):
    monkeypatch.setenv("JOBS_PORT", "34001")
    monkeypatch.setenv("JOBS_RETENTION", "60 days")
    assert cli.main(["settings", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed["JOBS_PORT"] == {
        "name": "JOBS_PORT",
        "value": "34001",
        "default": "34000",
        "meaning": "the port that the API listens on",
    }
    assert (listed["JOBS_RETENTION"]["value"], listed["JOBS_RETENTION"]["default"]) == ("60 days", "30 days")
    assert listed["DATABASE_URL"]["value"] is None
    assert cli.main(["settings"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["SETTING", "VALUE", "DEFAULT", "MEANING"]
    assert len(table) == len(listed) + 1


@pytest.mark.parametrize("form", [["settings"], ["settings", "--json"]])
def test_a_password_is_never_printed(form, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", "postgresql://jobs:s3cret@db.example/jobs")
    assert cli.main(form) == 0
    out = capsys.readouterr().out
    assert "s3cret" not in out
    assert "jobs:***@db.example/jobs" in out


def test_handlers_in_the_current_directory_can_be_imported(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    cli.make_user_code_importable()
    assert sys.path[0] == str(tmp_path)


def test_sigterm_ends_a_verb_once_by_143_and_lets_it_clean_up(monkeypatch):
    cleaned_up = []

    def verb(arguments):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned_up.append(True)

    monkeypatch.setattr(cli, "run", verb)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["settings"])
    assert exit_.value.code == 143
    assert cleaned_up == [True]
    assert signal.getsignal(signal.SIGTERM) is before
