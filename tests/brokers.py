"""Real message brokers for tests, each a process of its own on free ports, with nothing of the machine's own."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pika
from ports import free_port
from redis import Redis, RedisError
from waiting import wait_for


class BrokerServer(Protocol):
    url: str

    def start(self) -> None:
        """Start it, and wait until it answers."""

    def stop(self) -> None:
        """End it at once, and lose all that it holds."""

    def freeze(self) -> None:
        """It neither answers nor ends until it is thawed."""

    def thaw(self) -> None: ...

    def clear(self) -> None:
        """Delete all messages."""

    def push(self, queue: str, message: bytes) -> None:
        """Have something come to whoever consumes this queue of the service."""


class RedisServer:
    name = "redis-server"
    program = shutil.which(name)

    def __init__(self, place: Path) -> None:
        self._place = place
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        command = [str(self.program), "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", "."]
        with (self._place / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._place, stdout=log, stderr=log)
        wait_for(self._answers, "an answer of redis-server")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def clear(self) -> None:
        with Redis.from_url(self.url) as client:
            client.flushall()

    def push(self, queue: str, message: bytes) -> None:
        number = uuid4().hex
        with Redis.from_url(self.url) as client:
            client.hset(f"bayesian-jobs:{queue}.msgs", number, message)
            client.rpush(f"bayesian-jobs:{queue}", number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server has ended; see redis.log"
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


class RabbitmqServer:
    """Started without the scripts around it, which want a user and directories of the machine's own."""

    name = "rabbitmq-server"
    program = next((path for path in ("/usr/lib/rabbitmq/bin/rabbitmq-server",) if Path(path).exists()), None)

    def __init__(self, place: Path) -> None:
        self._place = place
        self._port, self._mapper_port = free_port(), free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}"

    def start(self) -> None:
        home = self._place / uuid4().hex
        home.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": "tests@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "environment"),
            "RABBITMQ_CONFIG_FILE": str(home / "configuration"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }
        with (self._place / "rabbitmq.log").open("ab") as log:
            mapper = ["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"]
            self._mapper = subprocess.Popen(mapper, env=environment, stdout=log, stderr=log)
            self._process = subprocess.Popen(
                [str(self.program)], cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(self._answers, "an answer of rabbitmq-server", tries=4000)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None

    def freeze(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def clear(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            for queue in ("default", "other"):
                with connection.channel() as channel, suppress(pika.exceptions.ChannelClosedByBroker):
                    channel.queue_delete(f"bayesian_jobs.{queue}")

    def push(self, queue: str, message: bytes) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection, connection.channel() as channel:
            channel.basic_publish("", f"bayesian_jobs.{queue}", message)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "rabbitmq-server has ended; see rabbitmq.log"
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True
