"""Default jobs: one YAML file each, registered at every start without duplicates."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bayesian_jobs.lifecycle import define
from bayesian_jobs.lifecycle.defaults import register

FILE = "job_id: nightly\nhandler: Noop\nkwargs: {number: 1}\nperiodically: 1 day\nwhen: 2026-01-01T03:00\n"


@pytest.fixture
def directory(tmp_path):
    return tmp_path


def write(directory, text, name="nightly.yaml"):
    (directory / name).write_text(text)


def registered(service, directory):
    return register(service.engine, service.registry, directory)


def test_a_file_becomes_a_job(service, directory):
    write(directory, FILE)
    assert registered(service, directory).added == ["nightly"]
    job = service.job("nightly")
    assert (job["handler"], job["kwargs"], job["source"]) == ("Noop", {"number": 1}, "nightly.yaml")
    assert job["next_run_at"].hour == 3


def test_an_unchanged_file_changes_nothing_not_even_the_next_run_time(service, directory):
    write(directory, FILE.replace("when: 2026-01-01T03:00\n", ""))
    registered(service, directory)
    before = service.job("nightly")
    assert registered(service, directory).unchanged == ["nightly"]
    assert service.job("nightly") == before


def test_a_changed_file_updates_the_definition_and_keeps_the_phase(service, directory):
    write(directory, FILE.replace("when: 2026-01-01T03:00\n", ""))
    registered(service, directory)
    before = service.job("nightly")
    write(directory, FILE.replace("when: 2026-01-01T03:00\n", "").replace("number: 1", "number: 2"))
    assert registered(service, directory).changed == ["nightly"]
    job = service.job("nightly")
    assert job["kwargs"] == {"number": 2}
    assert (job["next_run_at"], job["starts_at"]) == (before["next_run_at"], before["starts_at"])
    assert registered(service, directory).unchanged == ["nightly"]


def test_a_pause_by_an_operator_survives_a_changed_file(service, directory):
    write(directory, FILE)
    registered(service, directory)
    define.change_state(service.engine, "nightly", "paused")
    write(directory, FILE.replace("number: 1", "number: 2"))
    registered(service, directory)
    job = service.job("nightly")
    assert (job["state"], job["kwargs"]) == ("paused", {"number": 2})


def test_processes_that_start_at_once_register_each_job_once(service, directory):
    for number in range(5):
        write(directory, FILE.replace("nightly", f"job-{number}"), f"{number}.yaml")

    with ThreadPoolExecutor(6) as processes:
        reports = list(processes.map(lambda _: registered(service, directory), range(6)))
    assert sorted(job for report in reports for job in report.added) == [f"job-{number}" for number in range(5)]
    assert all(len(report.added) + len(report.unchanged) == 5 for report in reports)
    ((jobs,),) = service.execute_sql("SELECT count(*) FROM jobs")
    assert jobs == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace("handler: Noop\n", ""), "handler: is required"),
        (FILE.replace("kwargs: {number: 1}\n", ""), "kwargs: is required"),
        (FILE.replace("Noop", "Nope"), "line 2: handler: 'Nope'"),
        (FILE.replace("number: 1", "nmber: 1"), "line 3: kwargs.nmber"),
        (FILE.replace("1 day", "1 month"), "line 4: periodically: '1 month'"),
        (FILE + "colour: red\n", "line 6: colour: 'red'"),
        (FILE + "job_id: again\n", "line 6: the key 'job_id' stands twice"),
        (FILE + "state: [\n", "line"),
        ("a: &a [x]\nb: *a\n", "line 2: aliases are not allowed"),
        ("- just\n- a list\n", "line 1: must hold the options of one job"),
        ("!!python/object:os.system {}\n", "line 1"),
        ("x" * 200_000, "is larger than"),
        ("", "must hold the options"),
    ],
)
def test_a_file_that_cannot_be_used_is_reported_and_the_others_still_load(service, directory, text, said):
    write(directory, text, "bad.yaml")
    write(directory, FILE.replace("nightly", "good"), "good.yaml")
    report = registered(service, directory)
    assert report.added == ["good"]
    ((name, reason),) = report.rejected
    assert name == "bad.yaml"
    assert said in reason


def test_a_file_that_is_not_text_is_reported(service, directory):
    (directory / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    assert [name for name, _ in registered(service, directory).rejected] == ["bad.yaml"]


def test_two_files_for_one_job_are_reported(service, directory):
    write(directory, FILE, "a.yaml")
    write(directory, FILE, "b.yaml")
    report = registered(service, directory)
    assert report.added == ["nightly"]
    assert report.rejected == [("b.yaml", "job_id: a.yaml defines this job already")]


def test_times_and_durations_need_no_quotes(service, directory):
    write(directory, FILE.replace("1 day", "5:00:00").replace("2026-01-01T03:00", "2026-01-01"))
    assert registered(service, directory).rejected == []
    assert service.job("nightly")["period"].total_seconds() == 5 * 3600


def test_the_default_jobs_of_the_project_are_usable(service):
    from bayesian_jobs.settings import load

    report = registered(service, load({}).default_jobs_dir)
    assert report.added == ["prune-history"]
    assert report.rejected == []


def test_a_queued_run_of_a_changed_file_starts(service, directory):
    write(directory, FILE)
    registered(service, directory)
    service.make_due("nightly")
    service.dispatch()
    write(directory, FILE.replace("number: 1", "number: 2"))
    registered(service, directory)
    assert service.claim_one().kwargs == {"number": 2}
