"""`bayesian-jobs defaults`: check, diff and register, as people and as programs read them."""

import json

import pytest

from bayesian_jobs.cli import main
from bayesian_jobs.lifecycle import define, edit

FILE = "job_id: nightly\nhandler: PruneHistory\nkwargs: {}\nperiodically: 1 day\nwhen: 2026-01-01T03:00\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("JOBS_DEFAULT_JOBS_DIR", str(tmp_path))


@pytest.fixture
def write(tmp_path):
    def write(text=FILE, name="nightly.yaml"):
        (tmp_path / name).write_text(text)

    return write


@pytest.fixture
def defaults(capsys):
    """Runs a command; returns its exit code and what it printed, of JSON the value."""

    def run(*arguments):
        code = main(["defaults", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert err.count("\n") == (1 if err else 0)
        return code, json.loads(out) if "--json" in arguments else out

    return run


# check


def test_check_needs_no_database(write, defaults, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    write()
    assert defaults("check") == (0, "usable     nightly\n")
    assert defaults("check", "--json") == (0, {"usable": ["nightly"], "rejected": []})
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path / "data"))
    assert defaults("check")[0] == 0
    assert not (tmp_path / "data").exists()


def test_check_tells_every_fault_of_every_file_and_ends_with_1(write, defaults):
    write(name="good.yaml")
    write("handler: Nope\nkwargs: {}\nperiodically: 1 month\n", "bad.yaml")
    write("a: 1\na: 2\nb: [yes]\n", "worse.yaml")
    code, out = defaults("check")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "usable     nightly"
    assert [line[: line.index(": ", 22)] for line in lines[1:]] == [
        "rejected   bad.yaml: line 1",
        "rejected   bad.yaml: line 1",
        "rejected   bad.yaml: line 3",
        "rejected   worse.yaml: line 2",
        "rejected   worse.yaml: line 3",
    ]
    code, document = defaults("check", "--json")
    assert code == 1
    assert [(each["file"], each["line"], each["key"]) for each in document["rejected"]] == [
        ("bad.yaml", 1, "job_id"),
        ("bad.yaml", 1, "handler"),
        ("bad.yaml", 3, "periodically"),
        ("worse.yaml", 2, None),
        ("worse.yaml", 3, "b[0]"),
    ]


def test_check_reads_the_directory_that_it_is_given(write, defaults, tmp_path):
    write("[")
    (other := tmp_path / "other").mkdir()
    assert defaults("check", other) == (0, f"no default jobs in {other}\n")
    (other / "a.yaml").write_text(FILE)
    assert defaults("check", other) == (0, "usable     nightly\n")


@pytest.mark.parametrize("verb", ["check", "diff", "register"])
def test_a_directory_that_is_none_is_told_and_ends_with_1(defaults, tmp_path, verb):
    nowhere = tmp_path / "nowhere"
    assert defaults(verb, nowhere) == (1, f"rejected   {nowhere}: cannot be read: No such file or directory\n")


def test_a_name_that_would_steer_the_terminal_is_escaped(write, defaults):
    write(name="\x1b[2J.yaml")
    assert defaults("check") == (
        1,
        "rejected   '\\x1b[2J.yaml': the name of the file holds characters that cannot be shown\n",
    )


@pytest.mark.parametrize("arguments", [[], ["show"], ["check", "--prune"], ["diff", "a", "b"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["defaults", *arguments])
    assert stopped.value.code == 2
    assert "usage: " in capsys.readouterr().err


# diff


def test_diff_of_files_that_are_registered_is_nothing_and_ends_with_0(write, defaults):
    write()
    defaults("register")
    assert defaults("diff") == (0, "unchanged  nightly\n")
    assert defaults("diff", "--json") == (
        0,
        {
            "jobs": [{"job_id": "nightly", "file": "nightly.yaml", "action": "unchanged", "changes": {}, "kept": {}}],
            "orphaned": [],
            "rejected": [],
        },
    )


def test_diff_tells_what_would_be_added_and_stores_nothing(write, defaults, service):
    write()
    assert defaults("diff") == (1, "add        nightly\n")
    assert service.job("nightly") is None


def test_diff_tells_each_option_that_would_change_and_changes_nothing(write, defaults, service):
    write()
    defaults("register")
    before = service.job("nightly")
    write(FILE.replace("1 day", "7 days").replace("T03:00", "T04:00") + "misfire_grace_time: 1 hour\nstate: paused\n")
    code, out = defaults("diff")
    assert code == 1
    assert out.splitlines() == [
        "change     nightly",
        "             misfire_grace_time: - -> 1 hour",
        "             periodically: 1 day -> 1 week",
        "             state: running -> paused",
        "             when: 2026-01-01T03:00:00Z -> 2026-01-01T04:00:00Z",
    ]
    _, document = defaults("diff", "--json")
    assert document["jobs"][0]["changes"]["periodically"] == {"from": "1 day", "to": "1 week"}
    assert service.job("nightly") == before


def test_diff_tells_what_an_operator_has_changed_at_run_time(write, defaults, service):
    write()
    defaults("register")
    edit.patch(service.engine, service.registry, "nightly", {"periodically": "2 days"})
    define.change_state(service.engine, "nightly", "paused")
    code, out = defaults("diff")
    assert code == 1
    assert out.splitlines() == [
        "unchanged  nightly",
        "             periodically: 2 days, changed at run time and kept; in the file: 1 day",
        "             state: paused, changed at run time and kept; in the file: running",
    ]
    _, document = defaults("diff", "--json")
    assert document["jobs"][0]["kept"]["state"] == {"file": "running", "job": "paused"}


def test_diff_tells_what_stays_changed_beside_what_the_file_changes(write, defaults, service):
    write()
    defaults("register")
    define.change_state(service.engine, "nightly", "paused")
    write(FILE + "misfire_grace_time: 1 hour\n")
    _, document = defaults("diff", "--json")
    (job,) = document["jobs"]
    assert job["changes"] == {"misfire_grace_time": {"from": None, "to": "1 hour"}}
    assert job["kept"] == {"state": {"file": "running", "job": "paused"}}


def test_diff_tells_what_registering_then_does(write, defaults, service):
    """Whatever the file says: what was told is what comes of it."""
    write()
    write(FILE.replace("nightly", "gone"), "gone.yaml")
    defaults("register")
    service.add("taken", periodically="1 day")
    write(FILE.replace("1 day", "'@daily'"))
    write(FILE.replace("nightly", "new"), "new.yaml")
    write(FILE.replace("nightly", "taken"), "taken.yaml")
    write(FILE.replace("nightly", "bad").replace("1 day", "1 month"), "bad.yaml")
    write(FILE.replace("nightly", "moved"), "gone.yaml")
    _, told = defaults("diff", "--json")
    _, done = defaults("register", "--json")
    assert {each["job_id"]: each["action"] for each in told["jobs"]} == {
        "nightly": "change",
        "new": "add",
        "moved": "add",
    }
    assert (done["changed"], sorted(done["added"])) == (["nightly"], ["moved", "new"])
    assert told["orphaned"] == done["orphaned"] == [{"job_id": "gone", "file": "gone.yaml"}]
    assert told["rejected"] == done["rejected"]
    assert [each["file"] for each in told["rejected"]] == ["bad.yaml", "taken.yaml"]


def test_diff_tells_which_jobs_no_file_defines_any_more(write, defaults, tmp_path):
    write()
    write(FILE.replace("nightly", "other"), "other.yaml")
    defaults("register")
    (tmp_path / "other.yaml").unlink()
    assert defaults("diff") == (1, "unchanged  nightly\norphaned   other: other.yaml defines it no more\n")


def test_a_finished_job_is_no_difference(write, defaults, service):
    write(FILE.replace("periodically: 1 day\n", ""))
    defaults("register")
    service.execute_sql("UPDATE jobs SET state = 'finished', next_run_at = NULL")
    assert defaults("diff") == (0, "unchanged  nightly\n")


# register


def test_register_tells_what_became_of_each_job(write, defaults, tmp_path):
    write()
    assert defaults("register") == (0, "added      nightly\n")
    write(FILE.replace("1 day", "2 days"))
    write("[", "bad.yaml")
    code, out = defaults("register")
    assert (code, out.splitlines()[0]) == (1, "changed    nightly")
    assert out.splitlines()[1].startswith("rejected   bad.yaml: line 1: ")


def test_register_tells_of_orphaned_jobs_and_removes_them_when_asked(write, defaults, service, tmp_path):
    write()
    write(FILE.replace("nightly", "other"), "other.yaml")
    defaults("register")
    (tmp_path / "nightly.yaml").unlink()
    assert defaults("register") == (0, "unchanged  other\norphaned   nightly: nightly.yaml defines it no more\n")
    assert service.job("nightly") is not None
    assert defaults("register", "--prune") == (0, "unchanged  other\nremoved    nightly\n")
    assert service.job("nightly") is None
    assert defaults("diff")[0] == 0


def test_register_tells_why_it_removes_nothing_and_ends_with_1(write, defaults, service, tmp_path, capsys):
    write()
    defaults("register")
    (tmp_path / "nightly.yaml").unlink()
    assert main(["defaults", "register", "--prune"]) == 1
    out, err = capsys.readouterr()
    assert out == "orphaned   nightly: nightly.yaml defines it no more\n"
    assert err == (
        "bayesian-jobs: No job was removed: the directory holds no default job at all, which may be a mistake\n"
    )
    assert service.job("nightly") is not None
    write("[", "bad.yaml")
    code, document = defaults("register", "--prune", "--json")
    assert (code, document["removed"]) == (1, [])
    assert document["refusal"] == "bad.yaml cannot be used, and what it is to define is not known"


@pytest.mark.parametrize("verb", ["diff", "register"])
def test_a_database_that_is_not_there_or_not_migrated_is_told(
    write, defaults, verb, monkeypatch, empty_database_url, capsys
):
    write()
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    assert main(["defaults", verb]) == 1
    assert "bayesian-jobs migrate" in capsys.readouterr().err
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert main(["defaults", verb]) == 1
    assert "cannot be reached" in capsys.readouterr().err
