"""The life cycle of the PostgreSQL that starts by itself, with real servers and real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from bayesian_jobs.embedded import EmbeddedPostgres, find_binaries
from bayesian_jobs.embedded.account import Account
from bayesian_jobs.embedded.binaries import major_of
from bayesian_jobs.errors import EmbeddedPostgresError

# Starts, says so, and stops when its standard input is closed.
USER = """
import sys
from pathlib import Path
from bayesian_jobs.embedded import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]), durable=sys.argv[2] == "durable")
print(server.url, flush=True)
sys.stdin.read()
print("last" if server.stop() else "others remain", flush=True)
"""


class User:
    """A process of its own that uses the server of a data directory."""

    def __init__(self, data_dir: Path, *, durable: bool) -> None:
        command = [sys.executable, "-c", USER, str(data_dir), "durable" if durable else "throw-away"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> str:
        return self.process.communicate(timeout=60)[0].strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory whose parents every account can pass; pytest's own tmp_path is closed to root's server."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "data"


@pytest.fixture
def user(data_dir: Path) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def begin(*, durable: bool = False) -> User:
        users.append(User(data_dir, durable=durable))
        return users[-1]

    yield begin
    for left in users:
        left.kill()
    for durable in (True, False):  # takes over what killed users left running, and stops it
        if list(data_dir.glob("*/pg*/postmaster.pid")):
            EmbeddedPostgres.start(data_dir, durable=durable).stop()


def ask(url: str, statement: str) -> object:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        return connection.scalar(text(statement))


def server_process(data_dir: Path) -> int:
    (pid_file,) = data_dir.glob("*/pg*/postmaster.pid")
    return int(pid_file.read_text().split()[0])


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url.replace("+psycopg2", "")).close()
    except psycopg2.OperationalError:
        return False
    return True


def test_three_processes_at_once_on_an_empty_directory_share_one_server_that_the_last_one_stops(data_dir, user):
    users = [user() for _ in range(3)]
    (url,) = {each.url() for each in users}
    assert users[0].stop() == "others remain"
    assert users[1].stop() == "others remain"
    assert answers(url)
    assert users[2].stop() == "last"
    assert not answers(url)


def test_a_server_whose_owner_was_killed_is_adopted_and_stopped_by_the_next_user(data_dir, user):
    owner = user()
    url = owner.url()
    pid = server_process(data_dir)
    owner.kill()
    assert answers(url)
    with EmbeddedPostgres.start(data_dir, durable=False) as adopted:
        assert adopted.url == url
        assert server_process(data_dir) == pid
    assert not answers(url)
    left = {path.name for path in data_dir.iterdir()}
    assert left == {"throw-away.lock", "throw-away.users"}, "a throw-away server leaves no data behind"


def test_a_process_killed_while_it_starts_leaves_nothing_that_hinders_the_next(data_dir, user):
    starting = user(durable=True)
    while not list(data_dir.glob("postgres/pg*.new/PG_VERSION")):  # initdb is at work
        assert starting.process.poll() is None
    starting.kill()
    with EmbeddedPostgres.start(data_dir) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_data_survives_a_restart_and_a_killed_server_with_its_pid_file(data_dir):
    with EmbeddedPostgres.start(data_dir) as server:
        ask(server.url, "CREATE TABLE kept (answer int); INSERT INTO kept VALUES (42) RETURNING answer")
        assert ask(server.url, "SHOW fsync") == "on"
        os.kill(server_process(data_dir), signal.SIGKILL)
        server.ensure_running()
        assert ask(server.url, "SELECT answer FROM kept") == 42
    with EmbeddedPostgres.start(data_dir) as server:
        assert ask(server.url, "SELECT answer FROM kept") == 42
    # a pid file whose number belongs to some other process by now
    (cluster,) = data_dir.glob("postgres/pg[0-9]*")
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster}\n")
    with EmbeddedPostgres.start(data_dir) as server:
        assert ask(server.url, "SELECT answer FROM kept") == 42


def test_a_data_directory_that_only_its_user_can_reach_serves_and_stays_closed(data_dir):
    data_dir.parent.chmod(0o700)
    with EmbeddedPostgres.start(data_dir, durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1
        home = (data_dir / "throw-away").resolve()
    assert data_dir.parent.stat().st_mode & 0o777 == 0o700
    assert not home.exists()


def test_a_path_that_is_too_long_for_a_socket_serves_as_well(data_dir):
    with EmbeddedPostgres.start(data_dir.parent / ("it's long; %41 ü " * 8), durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["$(true)", "a,b"])
def test_a_path_that_a_shell_or_the_client_would_read_as_more_than_a_name_is_refused(data_dir, name):
    with pytest.raises(EmbeddedPostgresError, match="JOBS_DATA_DIR"):
        EmbeddedPostgres.start(data_dir.parent / name)


@pytest.mark.parametrize("path", ["/", "/..", "/dev/null", "/etc/passwd/below", "/proc/nothing", "/proc"])
def test_a_path_that_cannot_be_a_data_directory_is_refused_in_one_sentence(path):
    with pytest.raises(EmbeddedPostgresError, match="JOBS_DATA_DIR"):
        EmbeddedPostgres.start(Path(path))


def test_a_loop_of_links_is_refused_in_one_sentence(data_dir):
    data_dir.symlink_to(data_dir)
    with pytest.raises(EmbeddedPostgresError, match="JOBS_DATA_DIR"):
        EmbeddedPostgres.start(data_dir)


def test_libpq_s_own_programs_find_the_server(data_dir):
    with EmbeddedPostgres.start(data_dir.parent / "it's here", durable=False) as server:
        connection = psycopg2.connect(server.dsn)
        assert connection.info.dbname == "bayesian_jobs"
        connection.close()


@pytest.mark.parametrize("moment", ["it is being started", "it runs"])
def test_a_program_of_the_server_is_not_killed_half_way_when_we_are_told_to_stop(data_dir, monkeypatch, moment):
    def end(*_: object) -> None:
        raise SystemExit(143)

    data_dir.mkdir()
    started, gate, done = (data_dir / name for name in ("started", "gate", "done"))
    os.mkfifo(started)
    os.mkfifo(gate)
    told, start = Event(), subprocess.Popen.__init__

    def start_slowly(*args: object, **kwargs: object) -> None:
        start(*args, **kwargs)
        told.wait()

    def tell_us_to_stop() -> None:
        started.read_text()  # until the program runs
        os.kill(os.getpid(), signal.SIGUSR1)
        told.set()
        gate.write_text("go on\n")

    if moment == "it is being started":
        monkeypatch.setattr(subprocess.Popen, "__init__", start_slowly)
    else:
        told.set()
    before = signal.signal(signal.SIGUSR1, end)
    Thread(target=tell_us_to_stop, daemon=True).start()
    try:
        with pytest.raises(SystemExit):
            Account(os.geteuid(), os.getegid(), lesser=False).run(
                "sh", "-c", ': > "$0"; read line < "$1"; : > "$2"', started, gate, done
            )
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert done.exists()


def test_only_the_user_who_started_the_server_is_let_in(data_dir):
    with EmbeddedPostgres.start(data_dir, durable=False) as server:
        (socket_dir,) = data_dir.glob("*/socket")
        assert socket_dir.stat().st_mode & 0o777 == 0o700
        assert ask(server.url, "SHOW listen_addresses") == ""
        assert ask(server.url, "SELECT string_agg(auth_method, ' ') FROM pg_hba_file_rules") == "peer"
        (row,) = [ask(server.url, "SELECT sys_name FROM pg_ident_file_mappings")]
        assert row == subprocess.check_output(["id", "-un"], text=True).strip()


def test_without_any_postgresql_the_error_says_what_to_type(data_dir, monkeypatch):
    monkeypatch.setenv("JOBS_PG_BIN", "/nowhere")
    with pytest.raises(EmbeddedPostgresError, match="JOBS_PG_BIN=/nowhere"):
        EmbeddedPostgres.start(data_dir)


def test_data_of_another_major_version_is_not_passed_over_in_silence(data_dir):
    (data_dir / "postgres/pg13").mkdir(parents=True)
    with pytest.raises(EmbeddedPostgresError, match="No PostgreSQL 13 was found"):
        EmbeddedPostgres.start(data_dir)


def test_a_failed_start_says_what_the_server_said(data_dir):
    (data_dir / f"postgres/pg{major_of(find_binaries())}").mkdir(parents=True)
    with pytest.raises(EmbeddedPostgresError, match="is not a database cluster directory"):
        EmbeddedPostgres.start(data_dir)
