"""Default jobs: one YAML file each, registered at every start without duplicates. In the order of the contract."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from waiting import wait_for

from bayesian_jobs.lifecycle import define, edit
from bayesian_jobs.lifecycle.defaults import Orphan, register
from bayesian_jobs.lifecycle.options import OPTIONS

FILE = "job_id: nightly\nhandler: Noop\nkwargs: {number: 1}\nperiodically: 1 day\nwhen: 2026-01-01T03:00\n"
WITHOUT_WHEN = FILE.replace("when: 2026-01-01T03:00\n", "")
PROCESSES = 6


@pytest.fixture
def directory(tmp_path):
    return tmp_path


def write(directory, text, name="nightly.yaml"):
    (directory / name).write_text(text)


def registered(service, directory, **how):
    return register(service.engine, service.registry, directory, **how)


def told(report):
    return [(flaw.file, str(flaw)) for flaw in report.rejected]


def patched(service, **changes):
    edit.patch(service.engine, service.registry, "nightly", changes)


# One file per job; keys are the options; job_id, handler and kwargs are required.


def test_one_file_is_one_job(service, directory):
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "weekly"), "weekly.yml")
    assert registered(service, directory).added == ["nightly", "weekly"]
    job = service.job("nightly")
    assert (job["handler"], job["kwargs"], job["source"]) == ("Noop", {"number": 1}, "nightly.yaml")
    assert job["next_run_at"].hour == 3
    assert job["state"] == "running"


def test_a_job_whose_file_says_no_when_runs_first_when_it_is_registered(service, directory):
    write(directory, WITHOUT_WHEN)
    registered(service, directory)
    job = service.job("nightly")
    assert job["next_run_at"] == job["starts_at"] <= service.now()


EVERY_OPTION = {
    "job_id": "nightly",
    "handler": "Noop",
    "kwargs": "{number: 1}",
    "periodically": "0 3 * * *",
    "when": "2026-01-01T03:00",
    "end": "8999-01-01",
    "timezone": "Europe/Prague",
    "jitter": "0:05:00",
    "misfire_grace_time": "1 hour",
    "catch_up": "all",
    "max_concurrent_runs": "3",
    "overlap": "queue_one",
    "queue": "other",
    "priority": "2",
    "max_retries": "7",
    "retry_delay": "10 seconds",
    "time_limit": "1 minute",
    "description": "Cleans up",
    "tags": "[night, cleaning]",
    "state": "paused",
}


def test_keys_are_the_options_each_of_them(service, directory):
    assert tuple(EVERY_OPTION) == OPTIONS
    write(directory, "".join(f"{name}: {value}\n" for name, value in EVERY_OPTION.items()))
    assert told(registered(service, directory)) == []
    job = service.job("nightly")
    assert (job["state"], job["cron"], job["timezone"]) == ("paused", "0 3 * * *", "Europe/Prague")
    assert (job["queue"], job["priority"], job["tags"]) == ("other", 2, ["night", "cleaning"])


@pytest.mark.parametrize("option", [name for name in OPTIONS if name not in ("job_id", "handler", "kwargs")])
def test_each_option_that_a_file_gets_or_loses_changes_the_job(service, directory, option):
    """From a file with all options but one to the one with all of them, and back."""
    fewer = dict(EVERY_OPTION)
    del fewer[option]
    for lost in {"periodically": ("end", "timezone"), "misfire_grace_time": ("catch_up",)}.get(option, ()):
        del fewer[lost]
    if option == "periodically":
        fewer["when"] = "8998-01-01"
    write(directory, "".join(f"{name}: {value}\n" for name, value in fewer.items()))
    registered(service, directory)
    before = service.job("nightly")
    write(directory, "".join(f"{name}: {value}\n" for name, value in EVERY_OPTION.items()))
    assert (registered(service, directory).changed, service.job("nightly") == before) == (["nightly"], False)
    assert registered(service, directory).unchanged == ["nightly"]
    write(directory, "".join(f"{name}: {value}\n" for name, value in fewer.items()))
    report = registered(service, directory)
    assert (report.changed, told(report)) == (["nightly"], [])
    moving = ("version", "updated_at", "paused_at", "starts_at" if option == "when" else "version", "next_run_at")
    after = service.job("nightly")
    assert {name: after[name] for name in after if name not in moving} == {
        name: before[name] for name in before if name not in moving
    }


@pytest.mark.parametrize("key", ["job_id", "handler", "kwargs"])
@pytest.mark.parametrize("value", [None, "", "~"], ids=["absent", "empty", "null"])
def test_job_id_handler_and_kwargs_are_required(service, directory, key, value):
    lines = [line for line in FILE.splitlines() if not line.startswith(key)]
    if value is not None:
        lines.insert(1, f"{key}: {value}")
    write(directory, "\n".join(lines))
    line = 1 if value is None else 2
    assert told(registered(service, directory)) == [
        ("nightly.yaml", f"line {line}: {key}: is required in a default-job file")
    ]
    ((jobs,),) = service.execute_sql("SELECT count(*) FROM jobs")
    assert jobs == 0


def test_files_of_other_kinds_and_hidden_ones_are_left_alone(service, directory):
    for name in ("README.md", "nightly.json", "nightly.yaml~", "nightly.yaml.disabled", ".hidden.yaml", "YAML"):
        write(directory, "[", name)
    (directory / "nested").mkdir()
    write(directory / "nested", FILE)
    report = registered(service, directory)
    assert (report.added, report.rejected) == ([], [])


def test_times_and_durations_need_no_quotes(service, directory):
    write(directory, FILE.replace("1 day", "5:00:00").replace("2026-01-01T03:00", "2026-01-01"))
    assert registered(service, directory).rejected == []
    job = service.job("nightly")
    assert job["period"].total_seconds() == 5 * 3600
    assert job["starts_at"].isoformat() == "2026-01-01T00:00:00+00:00"


def test_the_default_jobs_of_the_project_are_usable(service):
    from bayesian_jobs.settings import load

    report = registered(service, load({}).default_jobs_dir)
    assert report.added == ["prune-history"]
    assert report.rejected == []


# They are registered at every start-up without duplicates, by any number of processes starting at once.


def test_they_are_registered_without_duplicates_by_any_number_at_once(service, directory):
    names = [f"job-{number}" for number in range(5)]
    for name in names:
        write(directory, FILE.replace("nightly", name), f"{name}.yaml")
    barrier = Barrier(PROCESSES)

    def start(_):
        barrier.wait()
        return registered(service, directory)

    with ThreadPoolExecutor(PROCESSES) as processes:
        reports = list(processes.map(start, range(PROCESSES)))
    assert sorted(job for report in reports for job in report.added) == names
    assert all(len(report.added) + len(report.unchanged) == len(names) for report in reports)
    assert sorted(job_id for (job_id,) in service.execute_sql("SELECT job_id FROM jobs")) == names
    assert {service.job(name)["version"] for name in names} == {1}


def test_processes_that_start_at_once_apply_a_changed_file_once(service, directory):
    write(directory, WITHOUT_WHEN)
    registered(service, directory)
    write(directory, WITHOUT_WHEN.replace("number: 1", "number: 2"))
    barrier = Barrier(PROCESSES)

    def start(_):
        barrier.wait()
        return registered(service, directory).changed

    with ThreadPoolExecutor(PROCESSES) as processes:
        assert sorted(processes.map(start, range(PROCESSES))) == [[]] * (PROCESSES - 1) + [["nightly"]]
    assert service.job("nightly")["version"] == 2


def test_processes_of_their_own_that_start_at_once_register_each_job_once(service, database_url, directory):
    (directory / "jobs").mkdir()
    for name in ("a", "b"):
        write(directory / "jobs", f"job_id: {name}\nhandler: PruneHistory\nkwargs: {{}}\n", f"{name}.yaml")
    environment = {**os.environ, "DATABASE_URL": database_url, "JOBS_DEFAULT_JOBS_DIR": str(directory / "jobs")}
    command = [sys.executable, "-m", "bayesian_jobs", "defaults", "register"]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(line for process in started for line in process.communicate(timeout=60)[0].splitlines())
    assert [process.returncode for process in started] == [0, 0, 0]
    assert said == ["added      a", "added      b"] + ["unchanged  a"] * 2 + ["unchanged  b"] * 2


# A changed file updates the job's definition.


def test_a_changed_file_updates_the_definition_and_keeps_the_phase(service, directory):
    write(directory, WITHOUT_WHEN)
    registered(service, directory)
    before = service.job("nightly")
    write(directory, WITHOUT_WHEN.replace("number: 1", "number: 2"))
    assert registered(service, directory).changed == ["nightly"]
    job = service.job("nightly")
    assert job["kwargs"] == {"number": 2}
    assert (job["next_run_at"], job["starts_at"]) == (before["next_run_at"], before["starts_at"])
    assert registered(service, directory).unchanged == ["nightly"]


@pytest.mark.parametrize(
    ("old", "new", "column", "value"),
    [
        ("Noop", "OtherQueue", "queue", "other"),
        ("number: 1", "number: 1.0e+0", None, None),
        ("periodically: 1 day", "periodically: '@daily'", "cron", "@daily"),
        ("when: 2026-01-01T03:00", "when: 2026-01-01T04:00", "next_run_at", 4),
        ("when: 2026-01-01T03:00\n", "", "next_run_at", 3),
        ("kwargs", "misfire_grace_time: 1 hour\nkwargs", "misfire_grace_time", 3600),
        ("kwargs", "state: paused\nkwargs", "state", "paused"),
    ],
)
def test_a_changed_file_updates_each_option(service, directory, old, new, column, value):
    write(directory, FILE)
    registered(service, directory)
    write(directory, FILE.replace(old, new))
    report = registered(service, directory)
    if column is None:
        assert told(report) == [("nightly.yaml", "line 3: kwargs.number: 1.0: should be a valid integer")]
        return
    assert (report.changed, told(report)) == (["nightly"], [])
    found = service.job("nightly")[column]
    assert getattr(found, "hour", None) == value or getattr(found, "seconds", None) == value or found == value


def test_a_changed_trigger_never_fires_by_surprise(service, directory):
    write(directory, FILE)
    registered(service, directory)
    write(directory, FILE.replace("1 day", "1 hour"))
    registered(service, directory)
    assert service.job("nightly")["next_run_at"] > service.now()
    service.dispatch()
    assert service.runs() == []


def test_a_change_that_would_run_the_job_at_once_is_refused_and_nothing_is_half_done(service, directory):
    write(directory, FILE)
    registered(service, directory)
    before = service.job("nightly")
    write(directory, FILE.replace("periodically: 1 day\n", "").replace("number: 1", "number: 2"))
    ((name, reason),) = told(registered(service, directory))
    assert name == "nightly.yaml"
    assert reason.startswith("line 4: when: '2026-01-01T03:00:00Z': has passed")
    assert service.job("nightly") == before


def test_a_queued_run_of_a_changed_file_starts_with_what_the_file_says_now(service, directory):
    write(directory, FILE)
    registered(service, directory)
    service.make_due("nightly")
    service.dispatch()
    write(directory, FILE.replace("number: 1", "number: 2"))
    registered(service, directory)
    assert service.claim_one().kwargs == {"number": 2}


def test_a_finished_job_begins_again_when_its_file_names_another_time(service, directory):
    once = "job_id: nightly\nhandler: Noop\nkwargs: {}\nwhen: %s\n"
    write(directory, once % "2026-01-01")
    registered(service, directory)
    service.dispatch()
    service.finish(service.claim_one())
    service.execute_sql("UPDATE jobs SET state = 'finished', next_run_at = NULL")
    assert registered(service, directory).unchanged == ["nightly"]
    assert service.job("nightly")["state"] == "finished"
    write(directory, once % "8999-01-01")
    assert registered(service, directory).changed == ["nightly"]
    assert (service.job("nightly")["state"], service.job("nightly")["next_run_at"].year) == ("running", 8999)


def test_a_finished_job_stays_finished_whatever_state_its_file_gets(service, directory):
    write(directory, FILE)
    registered(service, directory)
    service.execute_sql("UPDATE jobs SET state = 'finished', next_run_at = NULL")
    write(directory, FILE + "state: paused\n")
    report = registered(service, directory)
    assert (report.changed, told(report), service.job("nightly")["state"]) == (["nightly"], [], "finished")


def test_true_instead_of_one_is_a_change(service, directory):
    text = "job_id: nightly\nhandler: FlowScheduling\nkwargs: {flow_name: f, flow_arguments: [{force: 1}]}\n"
    write(directory, text)
    registered(service, directory)
    write(directory, text.replace("1", "true"))
    assert registered(service, directory).changed == ["nightly"]
    assert service.job("nightly")["kwargs"]["flow_arguments"] == [{"force": True}]


def test_a_job_that_is_not_taken_up_yet_is_reported_when_its_file_changes(service, directory):
    write(directory, FILE)
    registered(service, directory)
    service.execute_sql("UPDATE jobs SET state = 'pending', next_run_at = NULL")
    assert registered(service, directory).unchanged == ["nightly"]
    write(directory, FILE.replace("number: 1", "number: 2"))
    ((name, reason),) = told(registered(service, directory))
    assert (name, reason) == ("nightly.yaml", "line 1: job_id: 'nightly': is a pending job: not taken up yet")


# What an operator did at run time (pausing it) survives.


def test_a_pause_by_an_operator_survives_an_unchanged_and_a_changed_file(service, directory):
    write(directory, FILE)
    registered(service, directory)
    define.change_state(service.engine, "nightly", "paused")
    assert registered(service, directory).unchanged == ["nightly"]
    assert service.job("nightly")["state"] == "paused"
    write(directory, FILE.replace("number: 1", "number: 2"))
    registered(service, directory)
    job = service.job("nightly")
    assert (job["state"], job["kwargs"]) == ("paused", {"number": 2})


def test_an_edit_by_an_operator_survives_an_unchanged_file(service, directory):
    write(directory, FILE)
    registered(service, directory)
    patched(service, kwargs={"number": 7}, periodically="2 hours", misfire_grace_time="1 hour")
    before = service.job("nightly")
    assert registered(service, directory).unchanged == ["nightly"]
    assert service.job("nightly") == before


def test_an_edit_by_an_operator_survives_a_file_that_changes_something_else(service, directory):
    write(directory, FILE)
    registered(service, directory)
    patched(service, periodically="2 hours", misfire_grace_time="1 hour")
    define.change_state(service.engine, "nightly", "paused")
    write(directory, FILE.replace("number: 1", "number: 2"))
    assert registered(service, directory).changed == ["nightly"]
    job = service.job("nightly")
    assert (job["kwargs"], job["state"]) == ({"number": 2}, "paused")
    assert (job["period"].seconds, job["misfire_grace_time"].seconds) == (7200, 3600)


def test_what_a_file_changes_it_sets_even_if_an_operator_has_edited_it(service, directory):
    write(directory, FILE + "state: paused\n")
    registered(service, directory)
    patched(service, kwargs={"number": 7}, state="running")
    write(directory, FILE.replace("number: 1", "number: 2") + "state: paused\n")
    registered(service, directory)
    job = service.job("nightly")
    assert (job["kwargs"], job["state"]) == ({"number": 2}, "running")
    write(directory, FILE.replace("number: 1", "number: 2"))
    registered(service, directory)
    define.change_state(service.engine, "nightly", "running")
    write(directory, FILE.replace("number: 1", "number: 2") + "state: paused\n")
    registered(service, directory)
    assert service.job("nightly")["state"] == "paused"


def test_a_trigger_that_a_file_changes_is_taken_as_a_whole(service, directory):
    write(directory, FILE)
    registered(service, directory)
    patched(service, periodically="0 4 * * *", timezone="Europe/Prague")
    write(directory, FILE.replace("T03:00", "T05:00"))
    assert told(registered(service, directory)) == []
    job = service.job("nightly")
    assert (job["cron"], job["timezone"], job["period"].days, job["next_run_at"].hour) == (None, "UTC", 1, 5)


def test_a_handler_that_a_file_changes_comes_with_its_kwargs(service, directory):
    file = FILE.replace("number: 1", "")
    write(directory, file)
    registered(service, directory)
    patched(service, kwargs={"number": 7})
    write(directory, file.replace("Noop", "PruneHistory"))
    registered(service, directory)
    job = service.job("nightly")
    assert (job["handler"], job["kwargs"]) == ("PruneHistory", {})


def test_a_change_that_does_not_fit_what_an_operator_did_is_reported_and_nothing_is_half_done(service, directory):
    write(directory, FILE + "misfire_grace_time: 1 hour\n")
    registered(service, directory)
    patched(service, catch_up="all")
    before = service.job("nightly")
    write(directory, FILE.replace("number: 1", "number: 2"))
    ((name, reason),) = told(registered(service, directory))
    assert name == "nightly.yaml"
    assert reason == "line 1: catch_up: 'all': needs misfire_grace_time, which says how far back"
    assert service.job("nightly") == before


def test_a_job_registered_when_options_were_not_kept_takes_those_of_its_file_but_the_state(service, directory):
    write(directory, FILE + "state: running\n")
    registered(service, directory)
    service.execute_sql("UPDATE jobs SET source_options = NULL")
    define.change_state(service.engine, "nightly", "paused")
    write(directory, FILE.replace("number: 1", "number: 2") + "state: running\n")
    assert registered(service, directory).changed == ["nightly"]
    assert (service.job("nightly")["state"], service.job("nightly")["kwargs"]) == ("paused", {"number": 2})


# An unchanged file changes nothing, not even the next run time.


def test_an_unchanged_file_changes_nothing_not_even_the_next_run_time(service, directory):
    write(directory, WITHOUT_WHEN)
    registered(service, directory)
    before = service.job("nightly")
    assert registered(service, directory).unchanged == ["nightly"]
    assert service.job("nightly") == before


def test_an_unchanged_file_changes_nothing_after_a_pause_and_a_resumption(service, directory):
    write(directory, WITHOUT_WHEN)
    registered(service, directory)
    for state in ("paused", "running"):
        define.change_state(service.engine, "nightly", state)
        before = service.job("nightly")
        assert registered(service, directory).unchanged == ["nightly"]
        assert service.job("nightly") == before


def test_an_unchanged_file_changes_nothing_while_a_run_is_overdue(service, directory):
    write(directory, WITHOUT_WHEN)
    registered(service, directory)
    service.make_due("nightly")
    before = service.job("nightly")
    registered(service, directory)
    assert service.job("nightly") == before
    assert service.runs() == []


@pytest.mark.parametrize(
    "text",
    [
        "# A remark.\n" + FILE,
        "\n".join(reversed(FILE.splitlines())),
        FILE.replace("{number: 1}", "\n  number: 1"),
        FILE.replace("1 day", "'1 day'"),
        "\ufeff" + FILE.replace("\n", "\r\n"),
    ],
    ids=["remark", "order", "block", "quotes", "windows"],
)
def test_a_file_that_says_the_same_in_another_way_is_unchanged(service, directory, text):
    write(directory, FILE)
    registered(service, directory)
    before = service.job("nightly")
    write(directory, text)
    assert registered(service, directory).unchanged == ["nightly"]
    assert service.job("nightly") == before


DEFAULTS_WRITTEN_OUT = """
timezone: UTC
catch_up: latest
max_concurrent_runs: 1
overlap: skip
queue: default
priority: 5
tags: []
state: running
"""


@pytest.mark.parametrize("dropped", DEFAULTS_WRITTEN_OUT.split("\n")[1:-1])
def test_a_default_that_a_file_writes_out_or_leaves_out_is_no_change(service, directory, dropped):
    write(directory, FILE + DEFAULTS_WRITTEN_OUT)
    registered(service, directory)
    patched(service, priority=3, tags=["by hand"], queue="other", state="paused")
    before = service.job("nightly")
    for text in (DEFAULTS_WRITTEN_OUT.replace(dropped, ""), "", DEFAULTS_WRITTEN_OUT):
        write(directory, FILE + text)
        assert registered(service, directory).unchanged == ["nightly"]
        assert service.job("nightly") == before


@pytest.mark.parametrize("number", ["1.0e+22", "-0.0", "1e16", "0.1"])
def test_numbers_that_postgresql_writes_otherwise_are_unchanged(service, directory, number):
    kwargs = f"{{flow_name: f, flow_arguments: [{{x: {number}}}]}}"
    write(directory, f"job_id: a\nhandler: FlowScheduling\nkwargs: {kwargs}\n")
    registered(service, directory)
    assert registered(service, directory).unchanged == ["a"]


def test_a_renamed_file_changes_nothing_but_the_name_that_the_job_remembers(service, directory):
    write(directory, FILE)
    registered(service, directory)
    before = service.job("nightly")
    (directory / "nightly.yaml").rename(directory / "renamed.yaml")
    report = registered(service, directory)
    assert (report.unchanged, report.orphaned) == (["nightly"], [])
    assert service.job("nightly") == before | {"source": "renamed.yaml"}


# A file that cannot be used is reported with its name, line, key and reason; the others still load.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace("Noop", "Nope"), "line 2: handler: 'Nope'"),
        (FILE.replace("Noop", "ErrorHandler"), "line 2: handler: 'ErrorHandler': is a handler of the service's own"),
        (FILE.replace("number: 1", "nmber: 1"), "line 3: kwargs.nmber: 1: is not an argument of Noop"),
        (FILE.replace("{number: 1}", "\n  number: x"), "line 4: kwargs.number: 'x'"),
        (FILE.replace("{number: 1}", "[1]"), "line 3: kwargs: [1]: must be an object"),
        (FILE.replace("number: 1", 'number: "a\\0"'), "line 3: kwargs.number: 'a\\x00': contains a NUL"),
        (FILE.replace("number: 1", "number: 1e999"), "line 3: kwargs.number: inf: is not a finite number"),
        (FILE.replace("1 day", "1 month"), "line 4: periodically: '1 month'"),
        (FILE.replace("1 day", "90"), "line 4: periodically: 90: must be text"),
        (FILE.replace("1 day", "0 0 30 2 *"), "line 4: periodically: '0 0 30 2 *'"),
        (FILE.replace("nightly", "a/b"), "line 1: job_id: 'a/b'"),
        (FILE.replace("nightly", "5"), "line 1: job_id: 5: must be text"),
        (FILE + "colour: red\n", "line 6: colour: 'red': is not an option of a job"),
        (FILE + "state: pending\n", "line 6: state: 'pending': must be 'running' or 'paused'"),
        (FILE + "misfire_grace_time: yes\n", "line 6: misfire_grace_time: yes: is text to some"),
        (FILE + "job_id: again\n", "line 6: the key 'job_id' stands twice"),
        (FILE + "state: [\n", "line 7: while parsing a flow node"),
        ("a: &a [x]\nb: *a\n", "line 2: aliases are not allowed"),
        ("- just\n- a list\n", "line 1: must hold the options of one job"),
        ("just text\n", "line 1: must hold the options of one job"),
        ("", "line 1: must hold the options of one job"),
        (FILE + "---\n" + FILE, "line 6: expected a single document"),
        ("!!python/object:os.system {}\n", "line 1: the tag"),
        ("x" * 200_000, "is larger than"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_reported_and_the_others_still_load(service, directory, text, said):
    write(directory, text, "bad.yaml")
    write(directory, FILE.replace("nightly", "good"), "good.yaml")
    report = registered(service, directory)
    assert report.added == ["good"]
    ((name, reason),) = told(report)
    assert name == "bad.yaml"
    assert reason.startswith(said)


def test_everything_that_is_wrong_with_each_file_is_told_at_once(service, directory):
    write(directory, "handler: Nope\nperiodically: 1 month\ncolour: red\nwhen: never\n", "a.yaml")
    write(directory, "job_id: b\njob_id: c\nhandler: yes\n", "b.yaml")
    (directory / "c.yaml").mkdir()
    flaws = registered(service, directory).rejected
    assert [(flaw.file, flaw.line, flaw.key) for flaw in flaws] == [
        ("a.yaml", 1, "job_id"),
        ("a.yaml", 1, "kwargs"),
        ("a.yaml", 1, "handler"),
        ("a.yaml", 2, "periodically"),
        ("a.yaml", 3, "colour"),
        ("a.yaml", 4, "when"),
        ("b.yaml", 2, None),
        ("b.yaml", 3, "handler"),
        ("c.yaml", None, None),
    ]


def test_two_files_for_one_job_are_both_reported_and_neither_is_used(service, directory):
    write(directory, FILE, "b.yaml")
    registered(service, directory)
    before = service.job("nightly")
    write(directory, "state: paused\n" + FILE.replace("number: 1", "number: 2"), "a.yaml")
    write(directory, FILE.replace("nightly", "good"), "good.yaml")
    report = registered(service, directory)
    assert report.added == ["good"]
    assert told(report) == [
        ("a.yaml", "line 2: job_id: 'nightly': b.yaml defines this job, too"),
        ("b.yaml", "line 1: job_id: 'nightly': a.yaml defines this job, too"),
    ]
    assert service.job("nightly") == before
    assert report.orphaned == []


def test_a_name_that_cannot_be_shown_is_reported_and_not_stored(service, directory):
    for name in (b"\xff.yaml", b"a\nb.yaml"):
        with open(os.path.join(os.fsencode(directory), name), "w") as file:
            file.write(FILE)
    write(directory, FILE.replace("nightly", "good"), "good.yaml")
    report = registered(service, directory)
    assert report.added == ["good"]
    assert [str(flaw) for flaw in report.rejected] == ["the name of the file holds characters that cannot be shown"] * 2


def test_a_job_that_somebody_holds_is_reported_and_the_others_still_load(service, directory):
    write(directory, FILE)
    registered(service, directory)
    write(directory, FILE.replace("nightly", "zz"), "zz.yaml")
    with service.engine.begin() as holder:
        holder.exec_driver_sql("SELECT FROM jobs WHERE job_id = 'nightly' FOR UPDATE")
        report = registered(service, directory)
    assert report.added == ["zz"]
    ((name, reason),) = told(report)
    assert name == "nightly.yaml"
    assert reason.startswith("line 1: job_id: 'nightly': the database does not take it: ")


@pytest.mark.parametrize("missing", [True, False])
def test_a_directory_that_cannot_be_read_is_reported(service, directory, missing):
    place = directory / "place"
    if not missing:
        place.symlink_to(place)
    ((name, reason),) = told(registered(service, place))
    assert name == str(place)
    assert reason.startswith("cannot be read: ")


# A job that is not the file's.


def test_a_job_that_somebody_else_made_is_not_taken_over(service, directory):
    service.add("nightly", kwargs={"number": 5}, periodically="1 week")
    before = service.job("nightly")
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "zz"), "zz.yaml")
    report = registered(service, directory)
    assert report.added == ["zz"]
    ((name, reason),) = told(report)
    assert name == "nightly.yaml"
    assert reason.startswith("line 1: job_id: 'nightly': exists already and comes from no file: delete that job, or")
    assert service.job("nightly") == before
    define.delete(service.engine, "nightly")
    assert registered(service, directory).added == ["nightly"]


def test_a_job_that_was_deleted_and_made_anew_by_a_user_is_the_users(service, directory):
    write(directory, FILE)
    registered(service, directory)
    define.delete(service.engine, "nightly")
    service.add("nightly", periodically="1 week")
    assert [name for name, _ in told(registered(service, directory))] == ["nightly.yaml"]


def test_a_job_that_was_deleted_comes_back_as_long_as_its_file_is_there(service, directory):
    write(directory, FILE)
    registered(service, directory)
    define.delete(service.engine, "nightly")
    assert registered(service, directory).added == ["nightly"]


# A job whose file is gone: reported, and removed only when that is asked for.


def test_a_job_that_no_file_defines_any_more_is_reported_and_stays(service, directory):
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    service.add("user")
    registered(service, directory)
    before = service.job("nightly")
    (directory / "nightly.yaml").unlink()
    assert registered(service, directory).orphaned == [Orphan("nightly", "nightly.yaml")]
    assert service.job("nightly") == before


def test_a_job_whose_file_defines_another_one_now_is_reported(service, directory):
    write(directory, FILE)
    registered(service, directory)
    write(directory, FILE.replace("job_id: nightly", "job_id: renamed"))
    report = registered(service, directory)
    assert (report.added, report.orphaned) == (["renamed"], [Orphan("nightly", "nightly.yaml")])


def test_pruning_removes_what_no_file_defines_any_more_and_nothing_else(service, directory):
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    service.add("user", periodically="1 day")
    registered(service, directory)
    service.make_due("nightly")
    service.dispatch()
    (directory / "nightly.yaml").unlink()
    report = registered(service, directory, prune=True)
    assert (report.removed, report.orphaned, report.unchanged, report.refusal) == (["nightly"], [], ["other"], None)
    assert sorted(job_id for (job_id,) in service.execute_sql("SELECT job_id FROM jobs")) == ["other", "user"]
    assert "cancelled" in service.states()


def broken(directory):
    write(directory, "[")


def wrong(directory):
    write(directory, FILE.replace("1 day", "1 month"))


def renamed_and_broken(directory):
    (directory / "nightly.yaml").rename(directory / "renamed.yaml")
    write(directory, "[", "renamed.yaml")


def unreadable(directory):
    (directory / "nightly.yaml").unlink()
    (directory / "nightly.yaml").symlink_to("nowhere")


def doubled(directory):
    write(directory, FILE, "double.yaml")


def another_is_broken(directory):
    (directory / "nightly.yaml").unlink()
    write(directory, "[", "other.yaml")


def empty(directory):
    for file in directory.iterdir():
        file.unlink()


def missing(directory):
    empty(directory)
    directory.rmdir()


def unreadable_directory(directory):
    missing(directory)
    directory.symlink_to(directory)


BROKEN = [
    broken,
    wrong,
    renamed_and_broken,
    unreadable,
    doubled,
    another_is_broken,
    empty,
    missing,
    unreadable_directory,
]


@pytest.mark.parametrize("happens", BROKEN)
def test_pruning_removes_nothing_when_a_file_or_the_directory_is_merely_broken(service, directory, happens):
    directory /= "jobs"
    directory.mkdir()
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    registered(service, directory)
    before = service.job("nightly"), service.job("other")
    happens(directory)
    report = registered(service, directory, prune=True)
    assert report.removed == []
    assert (service.job("nightly"), service.job("other")) == before
    assert report.refusal or report.orphaned == []
    if happens in (broken, wrong, unreadable, doubled, missing, unreadable_directory):
        assert report.orphaned == []


def test_pruning_spares_what_a_file_breaks_meanwhile(service, directory, monkeypatch):
    """Between the moment when the orphans were found and the one when they are removed, a file breaks."""
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    registered(service, directory)
    (directory / "nightly.yaml").unlink()
    in_between(monkeypatch, lambda: write(directory, "[", "other.yaml"))
    report = registered(service, directory, prune=True)
    assert (report.removed, report.orphaned) == ([], [Orphan("nightly", "nightly.yaml")])
    assert report.refusal.startswith("other.yaml cannot be used")
    assert service.job("nightly") is not None


def test_a_file_that_comes_back_while_pruning_keeps_its_job(service, directory, monkeypatch):
    """Another process registers the file in between, and finds it unchanged: its job must still be there after."""
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    registered(service, directory)
    (directory / "nightly.yaml").unlink()

    def come_back():
        write(directory, FILE)
        assert registered(service, directory).unchanged == ["nightly", "other"]

    in_between(monkeypatch, come_back)
    report = registered(service, directory, prune=True)
    assert (report.removed, report.orphaned) == ([], [])
    assert service.job("nightly") is not None


def test_a_job_that_a_user_makes_anew_while_pruning_is_the_users(service, directory, monkeypatch):
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    registered(service, directory)
    (directory / "nightly.yaml").unlink()

    def make_anew():
        define.delete(service.engine, "nightly")
        service.add("nightly", periodically="1 week")

    in_between(monkeypatch, make_anew)
    report = registered(service, directory, prune=True)
    assert (report.removed, report.orphaned, report.refusal) == ([], [], None)
    assert service.job("nightly")["source"] is None


def test_a_file_that_comes_back_while_pruning_waits_for_the_job_keeps_it(service, directory):
    """The process that registers it holds the job at that moment."""
    write(directory, FILE)
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    registered(service, directory)
    (directory / "nightly.yaml").unlink()
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as process:
        with service.engine.begin() as holder:
            holder.exec_driver_sql("SELECT FROM jobs WHERE job_id = 'nightly' FOR UPDATE")
            pruning = process.submit(registered, service, directory, prune=True)
            wait_for(lambda: service.execute_sql(waiting) != [], "the other waits")
            write(directory, FILE)
        report = pruning.result()
    assert (report.removed, report.orphaned) == ([], [])
    assert service.job("nightly") is not None


def in_between(monkeypatch, happens):
    """Let this happen when a pruning process has found the orphans and has not removed them yet."""
    from bayesian_jobs.lifecycle import defaults

    find = defaults.orphans

    def found(*arguments):
        orphans = find(*arguments)
        if orphans:
            happens()
        return orphans

    monkeypatch.setattr(defaults, "orphans", found)


def test_pruning_and_registering_at_once_leave_each_job_that_has_a_file(service, directory):
    write(directory, FILE.replace("nightly", "other"), "other.yaml")
    for _ in range(15):
        write(directory, FILE)
        registered(service, directory)
        (directory / "nightly.yaml").unlink()
        barrier = Barrier(3)

        def prune(barrier=barrier):
            barrier.wait()
            return registered(service, directory, prune=True)

        def come_back(barrier=barrier):
            barrier.wait()
            write(directory / "..", FILE, "moved.yaml")
            (directory / ".." / "moved.yaml").rename(directory / "nightly.yaml")
            return registered(service, directory)

        with ThreadPoolExecutor(3) as processes:
            reports = [each.result() for each in [processes.submit(work) for work in (prune, prune, come_back)]]
        assert [told(report) for report in reports] == [[], [], []]
        assert service.job("nightly") is not None


# A database in which a version has registered them that kept only a digest of each file.


def test_the_first_start_after_the_upgrade_leaves_the_job_of_an_unchanged_file_as_an_operator_made_it(
    service, directory
):
    write(directory, FILE)
    registered(service, directory)
    options = {"job_id": "nightly", "handler": "Noop", "kwargs": {"number": 1}, "periodically": "1 day"}
    options["when"] = "2026-01-01T03:00"
    kept = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
    service.execute_sql("UPDATE jobs SET source_options = NULL, source_digest = :kept", kept=kept)
    patched(service, periodically="2 days", kwargs={"number": 2})
    before = service.job("nightly")
    assert registered(service, directory).unchanged == ["nightly"]
    after = service.job("nightly")
    assert {name for name in before if before[name] != after[name]} <= {"source_options", "updated_at"}
    assert after["source_options"] is not None
    write(directory, FILE.replace("1 day", "3 days"))
    assert registered(service, directory).changed == ["nightly"]
    assert service.job("nightly")["period"].days == 3
