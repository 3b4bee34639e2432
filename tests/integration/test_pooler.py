"""Behind a pooler a session is not the process's own. Where nobody has said that there is one, each process refuses to
work; where somebody has, nothing is left in a session, and each transaction brings with it what a session would have.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from poolers import PGBOUNCER, pgbouncer_at
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from bayesian_jobs import cli
from bayesian_jobs.errors import SettingsError
from bayesian_jobs.lifecycle.recover import recover
from bayesian_jobs.presence.membership import Membership
from bayesian_jobs.settings import load
from bayesian_jobs.store import migrations, processes
from bayesian_jobs.store.engine import LOOK_UPS_ONLY, SESSION, SHORT, make_engine, message_by_message
from bayesian_jobs.store.prepared import Prepared

IGNORING = "ignore_startup_parameters = options"
"""Lets a PgBouncer take the settings of a session, and keep them to itself."""
NAMES = [*(SESSION | SHORT | LOOK_UPS_ONLY), "transaction_isolation"]
LEFT = """
SELECT (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       (SELECT count(*) FROM pg_settings WHERE source = 'session' AND name = ANY(:names))
"""
shown_statement = Prepared("shown", "SELECT n.name, current_setting(n.name) FROM unnest(%(names)s::text[]) AS n(name)")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="there is no program pgbouncer here (Debian: pgbouncer)")


@pytest.fixture
def new_pooler(database_url, tmp_path) -> Iterator[Callable[..., str]]:
    with ExitStack() as poolers:
        yield lambda mode, **options: poolers.enter_context(
            pgbouncer_at(make_url(database_url), tmp_path, mode, **options)
        )


@pytest.fixture(params=["session", "transaction"])
def pooler(request, new_pooler) -> str:
    return new_pooler(request.param)


@pytest.fixture(params=["session", "transaction"])
def unannounced(request, new_pooler) -> str:
    return new_pooler(request.param, more=IGNORING)


def shown(connection):
    return dict(shown_statement.tuples(connection, {"names": NAMES}))


@pytest.mark.parametrize("hot", [True, False])
def test_no_connection_is_made_through_a_pooler_of_which_nobody_has_said_that_it_is_there(unannounced, hot):
    engine = make_engine(unannounced, "test", hot=hot)
    with pytest.raises(OperationalError, match=r"a pooler answers for it.*DATABASE_POOLED=yes"):
        engine.connect()


def test_no_schema_is_migrated_through_such_a_pooler(unannounced):
    with pytest.raises(OperationalError, match="a pooler answers for it"):
        migrations.upgrade(unannounced)


def test_a_command_says_that_there_is_a_pooler(unannounced, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", unannounced)
    assert cli.main(["doctor"]) == 1
    assert "a pooler answers for it" in capsys.readouterr().out


def test_a_connection_to_the_server_itself_is_one(database_url):
    with make_engine(database_url, "test").connect():
        pass


def test_the_embedded_server_has_no_pooler():
    with pytest.raises(SettingsError, match=r"^DATABASE_POOLED='yes': .* set DATABASE_URL"):
        load({"DATABASE_POOLED": "yes"})


@pytest.mark.parametrize("hot", [True, False])
def test_each_transaction_behind_a_pooler_has_the_settings_that_a_session_would_have(
    pooler, database_url, service, hot
):
    """Also where the database has others, and in a message that is a transaction by itself."""
    database = make_url(database_url).database
    service.execute_sql(f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")
    service.execute_sql(f"ALTER DATABASE {database} SET timezone = 'Asia/Kathmandu'")
    with make_engine(database_url, "test", hot=hot).begin() as connection:
        expected = shown(connection)
    assert expected["transaction_isolation"] == "read committed"
    engine = make_engine(pooler, "test", hot=hot, pooled=True)
    with engine.begin() as connection:
        assert shown(connection) == expected
    with engine.connect() as connection, message_by_message(connection):
        assert shown(connection) == expected
    engine.dispose()


def test_what_has_lived_behind_a_pooler_leaves_nothing_in_its_sessions(new_pooler, service):
    """They are those of others, too: here there is one."""
    url = new_pooler("transaction", size=1)
    engine, bystander = make_engine(url, "test", hot=True, pooled=True), make_engine(url, "other", pooled=True)
    service.add()
    service.dispatch()
    member = Membership(engine, "worker")
    with member.join(set()) as connection:
        assert member.renew(connection, ["00000000-0000-4000-8000-000000000000"]) > 0
        with bystander.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            assert other.execute(text(LEFT), {"names": NAMES}).one() == (0, 0, 0, 0)


def test_behind_a_pooler_a_process_lives_as_long_as_its_lease(pooler, service):
    """It holds no lock of which others could tell that it is gone, as they can of one that has had a session."""
    engine = make_engine(pooler, "test", hot=True, pooled=True)
    me, gone, member = service.process("scheduler"), service.process(), Membership(engine, "worker")
    with member.join(set()), service.engine.connect() as connection:
        with connection.begin():
            processes.note_missing(connection, me)
            assert processes.find_dead(connection, me, timedelta(0)) == [gone]
        assert recover(connection, me, patience=timedelta(0)).look_soon
        assert not recover(connection, me).look_soon
        service.execute_sql("UPDATE processes SET lease_until = now() WHERE NOT has_session")
        assert processes.find_dead(connection, me, timedelta(0)) == [member.process_no]


def test_a_schema_is_migrated_through_a_pooler(new_pooler, service):
    url = new_pooler("transaction")
    service.execute_sql("DROP SCHEMA public CASCADE")
    service.execute_sql("CREATE SCHEMA public")
    migrations.upgrade(url, pooled=True)
    with make_engine(url, "test", pooled=True).connect() as connection:
        assert migrations.is_current(connection)
