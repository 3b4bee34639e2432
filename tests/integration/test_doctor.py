"""`bayesian-jobs doctor`: a fault is made by hand, and it finds that one and no other."""

import json
import os
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from bayesian_jobs.cli import main
from bayesian_jobs.lifecycle.diagnosis import foundation
from bayesian_jobs.lifecycle.doctor import examine
from bayesian_jobs.settings import load
from bayesian_jobs.store import doctor as store
from bayesian_jobs.store.engine import make_engine

FILE = "job_id: nightly\nhandler: Noop\nkwargs: {}\nperiodically: 1 day\nwhen: 2026-01-01T03:00\n"
AGO = "clock_timestamp() - interval '2 minutes'"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv("JOBS_DEFAULT_JOBS_DIR", str(tmp_path / "jobs"))


@pytest.fixture
def healthy(service):
    """A scheduler and a worker are alive, the service has run for some time, and a job has run."""
    service.process("scheduler")
    service.worker = service.process("worker")
    service.execute_sql("UPDATE processes SET queues = '{default}' WHERE kind = 'worker'")
    service.execute_sql(f"UPDATE service SET changed_at = {AGO}")
    service.add(periodically="1 hour")
    service.dispatch()
    service.finish(service.claim_one(service.worker))
    return service


@pytest.fixture
def doctor(capsys):
    """Runs the command; returns its exit code and its findings, without those that the server of the tests is not
    made to be durable."""

    def run():
        code = main(["doctor", "--json"])
        document = json.loads(capsys.readouterr().out)
        assert document["healthy"] == (code == 0)
        return code, [each for each in document["findings"] if each["check"] != "durability"]

    return run


@pytest.fixture
def finds(doctor):
    """Asserts that it finds one thing; returns what it says of it."""

    def run(check, severity="wrong"):
        code, found = doctor()
        assert [(each["check"], each["severity"]) for each in found] == [(check, severity)], found
        assert code == (1 if severity == "wrong" else 0)
        assert found[0]["remedy"].endswith(".")
        return found[0]["what"]

    return run


def test_of_a_healthy_service_it_says_nothing_and_ends_with_0(healthy, doctor):
    assert doctor() == (0, [])


def test_each_finding_is_a_line_of_what_is_wrong_and_what_to_do(service, capsys):
    assert main(["doctor"]) == 1
    first, second, *others = capsys.readouterr().out.splitlines()
    assert first == "wrong   No scheduler is alive: no job gets a run. Start one: `bayesian-jobs scheduler`."
    assert second == "wrong   No worker is alive: no run is executed. Start one: `bayesian-jobs worker`."
    assert all(line.startswith("notice  ") for line in others)


def test_where_nothing_is_to_be_said_it_says_so(healthy, capsys, monkeypatch):
    monkeypatch.setattr(foundation, "durability", lambda server: ())
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "nothing is wrong\n"


@pytest.mark.parametrize("arguments", [["now"], ["--api", "http://localhost:34000"]])
def test_wrong_usage_of_the_doctor_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", *arguments])
    assert stopped.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_nothing_can_be_changed_where_it_looks(service):
    with store.snapshot(service.engine) as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"


# What the service stands on


def test_a_database_that_does_not_answer_is_a_finding(finds, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    what = finds("database")
    assert "Connection refused" in what
    assert "secret" not in what


def test_an_embedded_database_that_does_not_start_is_a_finding(finds, monkeypatch, tmp_path):
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "data").write_text("no directory")
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path / "data"))
    assert str(tmp_path / "data") in finds("database")


def test_a_schema_that_is_not_current_is_found_and_left_as_it_is(service, finds, database_url):
    service.execute_sql("UPDATE alembic_version SET version_num = '0001'")
    finds("schema")
    assert service.execute_sql("SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_database_without_a_schema_is_found(empty_database_url, finds, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    finds("schema")


def test_a_server_that_is_too_old_is_found():
    durable = {"fsync": True, "full_page_writes": True, "synchronous_commit": True}
    (found,) = foundation.version(store.Server(version=14, **durable))
    assert (found.severity, found.what) == ("wrong", "PostgreSQL 14 is too old.")
    assert list(foundation.version(store.Server(version=15, **durable))) == []
    assert list(foundation.durability(store.Server(version=15, **durable))) == []


def test_settings_that_may_lose_jobs_are_noticed(healthy, capsys, postgres):
    """The server of the tests has them off; the one that a database may set is set here, too."""
    name = healthy.execute_sql("SELECT current_database()")[0][0]
    with postgres.connect() as session:
        off = {each for each in foundation.DURABILITY if session.exec_driver_sql(f"SHOW {each}").scalar() == "off"}
        session.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {each["what"].split()[0] for each in found} == off | {"synchronous_commit"}
    assert {(each["check"], each["severity"]) for each in found} == {("durability", "notice")}


def test_a_missing_partition_of_this_or_the_next_week_is_found(healthy, finds, doctor):
    weeks = healthy.execute_sql(
        "SELECT to_char(date_trunc('week', clock_timestamp()) + n * interval '1 week', 'YYYYMMDD')"
        " FROM generate_series(1, 2) AS n"
    )
    (next_week,), (later,) = weeks
    healthy.execute_sql(f"DROP TABLE runs_p{later}")
    assert doctor() == (0, [])
    healthy.execute_sql(f"DROP TABLE runs_p{next_week}")
    assert f"runs_p{next_week}" in finds("partitions")


def test_young_runs_outside_of_the_weekly_partitions_are_noticed(healthy, finds, doctor):
    insert = (
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state)"
        " VALUES (gen_random_uuid(), 'x', 'x', clock_timestamp() - CAST(:ago AS interval), 'succeeded')"
    )
    healthy.execute_sql(insert, ago=timedelta(days=15))
    assert doctor() == (0, [])
    healthy.execute_sql(insert, ago=timedelta(days=10))
    assert finds("runs-past", "notice").startswith("1 run of the last two weeks")


def test_a_default_job_file_that_cannot_be_used_is_noticed(healthy, finds, tmp_path):
    (tmp_path / "jobs" / "broken.yaml").write_text("[")
    assert finds("default-jobs", "notice").startswith("broken.yaml: line 1")


def test_a_job_that_no_file_defines_any_more_is_noticed(healthy, finds):
    healthy.execute_sql("UPDATE jobs SET source = 'gone.yaml'")
    assert finds("default-jobs", "notice") == "job: gone.yaml defines this job no more."


def test_a_directory_of_default_jobs_that_cannot_be_read_is_wrong_and_orphans_nothing(healthy, tmp_path):
    healthy.execute_sql("UPDATE jobs SET source = 'gone.yaml'")
    settings = replace(load(os.environ), default_jobs_dir=tmp_path / "gone")
    (finding,) = (each for each in examine(healthy.engine, settings) if each.check != "durability")
    assert (finding.check, finding.severity) == ("default-jobs", "wrong")
    assert finding.what == f"{tmp_path / 'gone'} cannot be read: No such file or directory."


def test_handlers_that_cannot_be_loaded_are_found_beside_what_else_is_wrong(service, doctor, monkeypatch):
    monkeypatch.setenv("JOBS_HANDLERS", "no_such_package")
    code, found = doctor()
    assert (code, [each["check"] for each in found]) == (1, ["handlers", "schedulers", "workers"])
    assert "no_such_package" in found[0]["what"]


# Who does the work


def test_a_paused_service_is_noticed_with_since_why_and_until_when(healthy, finds):
    healthy.execute_sql(
        "UPDATE service SET state = 'paused', changed_at = '2026-01-02T03:04:05Z', paused_reason = 'npm is down',"
        " paused_until = '2090-01-01T00:00Z'"
    )
    assert finds("service", "notice") == (
        "The service is paused since 2026-01-02T03:04:05Z until 2090-01-01T00:00:00Z (npm is down)."
    )


@pytest.mark.parametrize("kind", ["scheduler", "worker"])
@pytest.mark.parametrize("death", ["ended_at = now()", "lease_until = now()", "missing_since = now()"])
def test_without_a_live_scheduler_or_worker_something_is_wrong(healthy, finds, kind, death):
    healthy.execute_sql(f"UPDATE processes SET {death} WHERE kind = '{kind}'")
    assert finds(f"{kind}s").startswith(f"No {kind} is alive")


def test_a_queue_that_no_live_worker_takes_from_is_found_if_a_run_is_due_in_it(healthy, finds, doctor):
    healthy.add("other", "OtherQueue")
    healthy.dispatch()
    assert finds("queues").startswith("No worker takes from queue 'other': 1 run waits, the oldest since 20")
    healthy.execute_sql(f"UPDATE runs SET claim_at = {AGO} WHERE queue = 'other'")
    finds("queues")  # And not that there are too few workers.
    healthy.execute_sql("UPDATE runs SET claim_at = clock_timestamp() + interval '1 hour' WHERE queue = 'other'")
    assert doctor() == (0, [])
    healthy.execute_sql("UPDATE runs SET claim_at = clock_timestamp() WHERE queue = 'other'")
    healthy.execute_sql("UPDATE processes SET queues = '{other,default}' WHERE kind = 'worker'")
    assert doctor() == (0, [])


def test_without_any_worker_that_is_what_is_wrong_and_not_each_queue(healthy, finds):
    healthy.add("one")
    healthy.dispatch()
    healthy.execute_sql(f"UPDATE runs SET claim_at = {AGO} WHERE state = 'queued'")
    healthy.execute_sql("UPDATE processes SET ended_at = clock_timestamp() WHERE kind = 'worker'")
    finds("workers")


# What of the work is not done


def test_runs_that_have_waited_for_over_a_minute_are_noticed(healthy, finds, doctor):
    healthy.add("one")
    healthy.dispatch()
    assert doctor() == (0, [])
    healthy.execute_sql(f"UPDATE runs SET claim_at = {AGO} WHERE state = 'queued'")
    assert finds("waiting-runs", "notice").startswith("1 run has been waiting")


def test_while_the_service_is_paused_no_run_and_no_job_is_late(healthy, finds):
    healthy.add("one")
    healthy.dispatch()
    healthy.execute_sql(f"UPDATE runs SET claim_at = {AGO} WHERE state = 'queued'")
    healthy.make_due(ago=timedelta(minutes=2))
    healthy.execute_sql("UPDATE service SET state = 'paused'")
    finds("service", "notice")


def test_jobs_that_are_overdue_are_found(healthy, finds, doctor):
    healthy.make_due(ago=timedelta(seconds=30))
    assert doctor() == (0, [])
    healthy.make_due(ago=timedelta(minutes=2))
    assert re.fullmatch(
        r"1 job is overdue by more than a minute, the oldest since 20\S+Z: 'job'\.", finds("overdue-jobs")
    )
    healthy.execute_sql("UPDATE service SET changed_at = clock_timestamp()")
    assert doctor() == (0, [])


def test_pending_jobs_that_nobody_takes_up_are_found(healthy, finds, doctor):
    healthy.execute_sql("INSERT INTO jobs (job_id, handler) VALUES ('mine', 'Noop')")
    assert doctor() == (0, [])
    healthy.execute_sql(f"UPDATE jobs SET created_at = {AGO} WHERE job_id = 'mine'")
    assert finds("pending-jobs").endswith(": 'mine'.")


def test_jobs_that_were_set_aside_are_found_with_or_without_a_next_fire_time(healthy, finds, doctor):
    healthy.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, error, paused_at, updated_at)"
        f" SELECT 'bad-' || n, 'Noop', 'paused', 'no', now(), {AGO} FROM generate_series(1, 7) AS n"
    )
    assert finds("jobs-set-aside") == (
        "7 jobs were set aside, because of an error: 'bad-1', 'bad-2', 'bad-3', 'bad-4', 'bad-5', …."
    )
    healthy.execute_sql("DELETE FROM jobs WHERE job_id LIKE 'bad-%'")
    healthy.execute_sql(
        "UPDATE jobs SET cron = 'never', period = NULL, next_run_at = clock_timestamp() WHERE job_id = 'job'"
    )
    healthy.dispatch()
    assert healthy.job()["error"]
    code, found = doctor()
    assert (code, [each["check"] for each in found]) == (1, ["jobs-set-aside", "failures"])
    assert found[0]["what"].endswith(": 'job'.")


def test_jobs_that_wait_though_no_run_is_open_are_found(healthy, finds, doctor):
    healthy.execute_sql(f"UPDATE jobs SET waiting = true, next_run_at = {AGO}")
    assert doctor() == (0, [])  # The run has only just ended.
    healthy.execute_sql(f"UPDATE runs SET finished_at = {AGO}")
    assert finds("jobs-waiting-for-nothing").endswith(": 'job'.")
    healthy.execute_sql("UPDATE runs SET state = 'running'")
    assert doctor() == (0, [])


@pytest.mark.parametrize("state", ["running", "paused"])
def test_jobs_that_will_never_run_and_are_not_finished_are_found(healthy, finds, doctor, state):
    healthy.execute_sql(
        f"INSERT INTO jobs (job_id, handler, state, updated_at) VALUES ('mine', 'Noop', '{state}', {AGO})"
    )
    assert finds("jobs-without-fire-time").endswith(": 'mine'.")
    healthy.execute_sql("UPDATE jobs SET updated_at = clock_timestamp()")
    assert doctor() == (0, [])


def test_a_one_off_job_whose_run_is_open_is_well(healthy, doctor):
    healthy.add("once")
    healthy.dispatch()
    healthy.execute_sql(f"UPDATE jobs SET updated_at = {AGO}")
    assert doctor() == (0, [])
    healthy.claim_one(healthy.worker)
    assert doctor() == (0, [])


@pytest.mark.parametrize(
    "death",
    [
        f"ended_at = {AGO}",
        f"lease_until = {AGO}",
        f"missing_since = {AGO}, lease_until = clock_timestamp() + interval '9 seconds'",
    ],
)
def test_runs_that_a_dead_worker_still_holds_are_found(healthy, finds, doctor, death):
    other = healthy.process("worker")
    healthy.add("once")
    healthy.dispatch()
    run = healthy.claim_one(other)
    assert doctor() == (0, [])
    healthy.execute_sql(f"UPDATE processes SET {death} WHERE process_no = {other}")
    assert finds("orphaned-runs").endswith(f": '{run.run_id}'.")
    healthy.execute_sql(f"UPDATE runs SET worker = {healthy.worker} WHERE state = 'running'")
    assert doctor() == (0, [])


def test_of_very_many_it_tells_that_there_are_so_many_and_the_oldest(healthy, finds):
    healthy.execute_sql(
        "INSERT INTO jobs (job_id, handler, created_at)"
        f" SELECT 'mine-' || n, 'Noop', {AGO} - n * interval '1 second'"
        f" FROM generate_series(1, {store.MOST_COUNTED + 1}) AS n"
    )
    what = finds("pending-jobs")
    assert what.startswith(f"{store.MOST_COUNTED}+ jobs have been pending")
    assert what.endswith(f": 'mine-{store.MOST_COUNTED + 1}', 'mine-10000', 'mine-9999', 'mine-9998', 'mine-9997', ….")


@pytest.mark.parametrize("worker_is", ["lease_until", "ended_at"])
def test_a_run_that_executes_by_the_ledger_only_is_found_where_its_job_waits_for_it(healthy, finds, doctor, worker_is):
    other = healthy.process("worker")
    healthy.execute_sql("UPDATE processes SET queues = '{default}' WHERE kind = 'worker'")
    healthy.add("once")
    healthy.dispatch()
    run = healthy.claim_one(other)
    healthy.execute_sql(f"UPDATE runs SET started_at = {AGO} WHERE state = 'running'")
    assert doctor() == (0, [])
    healthy.execute_sql(f"UPDATE processes SET holding = '{{}}', {worker_is} = now() WHERE process_no = {other}")
    assert finds("lost-runs").endswith(f": '{run.run_id}'.")
    healthy.execute_sql("UPDATE runs SET started_at = clock_timestamp() WHERE state = 'running'")
    assert doctor() == (0, [])


def test_failures_are_noticed(healthy, finds):
    healthy.execute_sql(
        f"INSERT INTO jobs (job_id, handler, state, updated_at) VALUES ('a', 'ErrorHandler', 'paused', {AGO})"
    )
    assert finds("failures", "notice").startswith("1 failure is recorded")


def test_tasks_that_wait_in_vain_are_noticed(healthy, finds, doctor):
    healthy.execute_sql(
        "INSERT INTO flow_tasks (flow_id, task, actor, queue, message, waits_for, created_at)"
        f" VALUES (gen_random_uuid(), 'scan', 'scan', 'core', '{{}}', '{{fetch}}', {AGO})"
    )
    assert re.search(r": 'scan of [0-9a-f-]{36}'\.$", finds("hopeless-tasks", "notice"))
    healthy.execute_sql("UPDATE runs SET flow_id = (SELECT flow_id FROM flow_tasks)")
    assert doctor() == (0, [])


def test_a_job_id_cannot_steer_the_terminal(healthy, capsys):
    healthy.execute_sql(f"INSERT INTO jobs (job_id, handler, created_at) VALUES (E'\\x1b[2J', 'Noop', {AGO})")
    assert main(["doctor"]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_no_look_reads_all_jobs_or_all_runs(healthy, database_url):
    """As the command plans, on a database in which reading everything would be the cheapest to plan."""
    healthy.execute_sql(
        "INSERT INTO jobs (job_id, handler, state, period, starts_at, next_run_at)"
        " SELECT 'job-' || n, 'Noop', 'running', interval '1 hour', now() + interval '1 day', now() + interval '1 day'"
        " FROM generate_series(1, 5000) AS n"
    )
    healthy.execute_sql(
        "INSERT INTO runs (run_id, job_no, actor, queue, scheduled_for, state, finished_at)"
        " SELECT gen_random_uuid(), job_no, 'x', 'default', now(), 'succeeded', now() FROM jobs WHERE job_id <> 'job'"
    )
    healthy.execute_sql("ANALYZE jobs, runs, processes, flow_tasks")
    looks = [
        store.QUEUES.text,
        store.counted(store.WAITING_RUNS.replace(":queues", "'{default}'").replace(":patience", "'1 minute'")),
        *(
            store.counted(rows)
            for rows in (
                store.OVERDUE_JOBS,
                store.PENDING_JOBS,
                store.JOBS_SET_ASIDE,
                store.JOBS_WAITING_FOR_NOTHING,
                store.JOBS_WITHOUT_FIRE_TIME,
                store.ORPHANED_RUNS,
                store.LOST_RUNS,
                store.DUE_JOBS,
                store.FAILURES,
                store.HOPELESS_TASKS,
            )
        ),
    ]
    engine = make_engine(database_url, "doctor", pool_size=1)
    with store.snapshot(engine) as connection:
        for look in looks:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {look}").scalars())
            assert not re.search(r"Seq Scan on (jobs|runs)", plan), plan
            read = re.findall(r"(?:rows=|Rows Removed by \w+.*: )(\d+)", plan)
            assert read
            assert max(map(int, read)) < 50, plan
    engine.dispose()
