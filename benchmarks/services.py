"""The servers that some peers need besides PostgreSQL, real ones on free ports, gone when the block ends."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pika
import psutil
import redis

from bayesian_jobs.up.child import leashed
from benchmarks.environments import Unavailable, last_words
from benchmarks.idle import free_port

PATIENCE = 60.0
# Debian's own command for it changes the account and keeps its files in /var; this is what it calls.
RABBITMQ = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/rabbitmq/sbin")
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class Services:
    """Each is started when its address is first asked for, and serves until the block ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._addresses: dict[str, str] = {}
        self._refused: dict[str, Unavailable] = {}
        self._stack = ExitStack()
        self._starters: dict[str, Callable[[Path], str]] = {
            "redis": self._redis,
            "redis, every write on disk": lambda place: self._redis(place, *DURABLE),
            "rabbitmq": self._rabbitmq,
        }

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def address(self, name: str) -> str:
        """Raises Unavailable when this machine lacks the program, or it does not come up: tried once, whoever asks."""
        if name in self._refused:
            raise self._refused[name]
        if name not in self._addresses:
            place = self._directory / name.replace(", ", "-").replace(" ", "-")
            place.mkdir()
            try:
                self._addresses[name] = self._starters[name](place)
            except Unavailable as error:
                self._refused[name] = error
                raise
        return self._addresses[name]

    def _redis(self, place: Path, *persistence: str) -> str:
        port = free_port()
        command = (program("redis-server", "redis-server"), "--bind", "127.0.0.1", "--port", str(port))
        self._start((*command, "--dir", str(place), *persistence), place, {})
        client = redis.Redis(port=port)
        self._stack.callback(client.close)
        wait_for(client.ping, redis.ConnectionError, place)
        return f"redis://127.0.0.1:{port}/0"

    def _rabbitmq(self, place: Path) -> str:
        server = program("rabbitmq-server", "rabbitmq-server", os.pathsep.join(RABBITMQ))
        names, distribution, port = (str(free_port()) for _ in range(3))
        environ = {
            "HOME": str(place),
            "ERL_EPMD_PORT": names,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(place / "none"),
            "RABBITMQ_MNESIA_BASE": str(place / "data"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
        }
        # the directory of names that it would start as a daemon, which would outlive it
        self._start((program("epmd", "erlang-base"), "-port", names, "-address", "127.0.0.1"), place, {})
        self._start((server,), place, environ)
        url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
        wait_for(lambda: pika.BlockingConnection(pika.URLParameters(url)).close(), pika.exceptions.AMQPError, place)
        return url

    def _start(self, command: tuple[str, ...], place: Path, environ: Mapping[str, str]) -> None:
        with (place / "output.log").open("ab") as log:
            started = psutil.Popen(
                leashed(command),
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._stack.callback(end_group, started)


def program(name: str, package: str, path: str = "") -> str:
    found = shutil.which(name, path=path or None) or shutil.which(name)
    if found is None:
        raise Unavailable(f"there is no {name} on this machine (Debian: apt-get install {package})")
    return found


def wait_for(reached: Callable[[], object], refusal: type[Exception], place: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            reached()
            return
        except refusal as error:
            if time.monotonic() > deadline:
                said = last_words((place / "output.log").read_text(errors="replace"))
                raise Unavailable(f"{place.name} did not come up: {said}") from error
            time.sleep(0.1)


def end_group(started: psutil.Popen) -> None:
    """It and all that it has started in its session: asked to stop, and killed when they do not."""
    signal_group(started.pid, signal.SIGTERM)
    with suppress(psutil.TimeoutExpired):
        started.wait(15)
    signal_group(started.pid, signal.SIGKILL)
    started.wait()


def signal_group(pid: int, what: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, what)
