"""The schema by Alembic: there and back, and by many at once."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from waiting import wait_for

from alembic import command
from bayesian_jobs import cli
from bayesian_jobs.store import migrations

ROOT = Path(__file__).parents[2]
TABLES = {
    "alembic_version", "api_tokens", "audit_log", "flow_tasks", "idempotency_keys", "jobs", "processes", "runs",
    "service",
}  # fmt: skip


def tables(url):
    names = inspect(create_engine(url, poolclass=NullPool)).get_table_names()
    return {name for name in names if not name.startswith("runs_p")}


def is_current(url):
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return migrations.is_current(connection)


def test_upgrade_check_downgrade_upgrade(empty_database_url):
    url = empty_database_url
    migrations.upgrade(url)
    assert tables(url) == TABLES
    command.check(migrations.configuration(url))
    migrations.downgrade(url, "base")
    assert tables(url) == {"alembic_version"}
    migrations.upgrade(url)
    command.check(migrations.configuration(url))


def test_a_server_that_is_too_old_is_refused_in_one_sentence_and_left_as_it_is(empty_database_url, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setattr(migrations, "OLDEST_MAJOR", 99)
    assert cli.main(["migrate"]) == 1
    assert re.fullmatch(
        r"bayesian-jobs: The server is PostgreSQL \d\d, which is too old: upgrade it to 99 or later\n",
        capsys.readouterr().err,
    )
    assert tables(empty_database_url) == set()


def test_a_database_is_current_only_when_it_is_at_the_newest_revision(empty_database_url):
    url = empty_database_url
    assert not is_current(url)
    migrations.upgrade(url)
    assert is_current(url)
    migrations.downgrade(url, "base")
    assert not is_current(url)


def as_if_a_newer_version_had_migrated(url):
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")


def test_what_a_newer_version_has_migrated_is_current_and_is_left_as_it_is(empty_database_url, monkeypatch, capsys):
    url = empty_database_url
    migrations.upgrade(url)
    as_if_a_newer_version_had_migrated(url)
    assert is_current(url)
    monkeypatch.setenv("DATABASE_URL", url)
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr() == ("", "")
    assert cli.main(["migrate", "--to", "0003"]) == 1
    assert "cannot be brought to revision '0003'" in capsys.readouterr().err


def test_a_migration_lets_others_go_on_between_its_tries_for_a_lock(empty_database_url, caplog):
    url = empty_database_url
    migrations.upgrade(url, "0013")
    engine = create_engine(url, poolclass=NullPool)
    with ThreadPoolExecutor() as pool, engine.connect() as reader:
        reader.exec_driver_sql("SELECT FROM runs")
        migrating = pool.submit(migrations.upgrade, url)
        wait_for(lambda: "others hold tables" in caplog.text, tries=2000)
        with engine.begin() as other:  # behind no migration that waits
            other.exec_driver_sql("SET lock_timeout = '50ms'")
            wait_for(lambda: can_read_runs(other))
        assert not migrating.done()
        assert not is_current(url)
        reader.rollback()
        migrating.result(timeout=60)
    assert is_current(url)


def can_read_runs(connection):
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("SELECT FROM runs")
    except OperationalError:
        return False
    return True


def test_a_migration_that_gets_no_lock_at_all_says_so_and_has_changed_nothing(empty_database_url, monkeypatch, capsys):
    url = empty_database_url
    migrations.upgrade(url, "0013")
    monkeypatch.setattr(migrations, "TRY_FOR", 1.0)
    monkeypatch.setenv("DATABASE_URL", url)
    with create_engine(url, poolclass=NullPool).connect() as reader:
        reader.exec_driver_sql("SELECT FROM runs")
        assert cli.main(["migrate"]) == 1
    assert "others have held tables that the migration needs; nothing has changed" in capsys.readouterr().err
    assert not is_current(url)


def test_processes_that_migrate_at_once_all_succeed_and_migrate_once(empty_database_url):
    migrate = [
        sys.executable,
        "-c",
        "import sys; from bayesian_jobs.store import migrations as m; m.upgrade(sys.argv[1])",
    ]
    with ThreadPoolExecutor(4) as racers:
        results = list(
            racers.map(
                lambda _: subprocess.run([*migrate, empty_database_url], cwd=ROOT, capture_output=True), range(4)
            )
        )
    assert [result.returncode for result in results] == [0] * 4, results
    assert is_current(empty_database_url)


def test_alembic_upgrade_head_works_from_the_root_of_the_repository(empty_database_url):
    environ = os.environ | {"DATABASE_URL": empty_database_url.replace("postgresql+psycopg2", "postgresql")}
    alembic = [sys.executable, "-m", "alembic"]
    subprocess.run([*alembic, "upgrade", "head"], cwd=ROOT, env=environ, check=True, capture_output=True)
    subprocess.run([*alembic, "check"], cwd=ROOT, env=environ, check=True, capture_output=True)
    assert is_current(empty_database_url)


def test_every_table_column_with_a_meaning_of_its_own_says_it_to_operators(database_url):
    inspector = inspect(create_engine(database_url, poolclass=NullPool))
    comments = {column["name"]: column["comment"] for column in inspector.get_columns("runs")}
    assert comments["claim_at"] == "when a worker may claim it; null: it does not wait for one"


PLAIN_SQL = """
INSERT INTO jobs (job_id, handler, period, misfire_grace_time, starts_at, state, next_run_at) VALUES
    ('a month', 'PruneHistory', '1 month', NULL, now(), 'running', now() + interval '1 day'),
    ('long ago', 'PruneHistory', NULL, NULL, '1960-01-01', 'finished', NULL),
    ('three centuries', 'PruneHistory', '1 day', '300 years', now(), 'paused', now() + interval '1 day'),
    ('plain', 'PruneHistory', '1 day', '1 hour', now(), 'running', now() + interval '1 day')
"""


def test_what_an_earlier_schema_took_and_this_one_does_not_is_judged_anew_or_brought_within_the_limits(
    empty_database_url,
):
    configuration = migrations.configuration(empty_database_url)
    command.upgrade(configuration, "0003")
    engine = create_engine(empty_database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(PLAIN_SQL)
    command.upgrade(configuration, "head")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT job_id, state, extract(year FROM starts_at) FROM jobs").all()
        graces = connection.exec_driver_sql("SELECT max(misfire_grace_time) FROM jobs").scalar()
    states = {job_id: state for job_id, state, _ in rows}
    assert states == {"a month": "pending", "long ago": "finished", "plain": "running", "three centuries": "paused"}
    assert {int(year) for job_id, _, year in rows if job_id == "long ago"} == {1970}
    assert graces.days == 99_999
