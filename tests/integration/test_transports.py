"""Redis and RabbitMQ carry doorbells; the run row is the truth, and is told of until the run has started."""

import gc
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import dramatiq
import pytest
from brokers import BrokerServer, RabbitmqServer, RedisServer
from ports import free_port
from waiting import wait_for

from bayesian_jobs.broker.postgres import PostgresBroker
from bayesian_jobs.broker.transports import make_transport
from bayesian_jobs.broker.transports import sender as sender_module
from bayesian_jobs.broker.transports import source as source_module
from bayesian_jobs.broker.transports.sender import Sender
from bayesian_jobs.errors import BrokerLost
from bayesian_jobs.lifecycle import edit
from bayesian_jobs.lifecycle.diagnosis import foundation
from bayesian_jobs.lifecycle.service import change_state
from bayesian_jobs.logs import QUIET
from bayesian_jobs.store.doorbells import Doorbell, note_doorbells, start_runs
from bayesian_jobs.store.engine import make_engine

LONG = 20_000
MINUTE = timedelta(minutes=1)
WAITING_FOR_LOCKS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory) -> Iterator[BrokerServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def rabbitmq_server(tmp_path_factory) -> Iterator[BrokerServer]:
    server = RabbitmqServer(tmp_path_factory.mktemp("rabbitmq"))
    server.start()
    yield server
    server.stop()


def needs(server: type[RedisServer | RabbitmqServer]) -> pytest.MarkDecorator:
    reason = f"there is no program {server.name} here (Debian: {server.name})"
    return pytest.mark.skipif(server.program is None, reason=reason)


# RabbitMQ is slow to start, and so one process of the tests has it.
BROKERS = [
    pytest.param("redis", marks=needs(RedisServer)),
    pytest.param("rabbitmq", marks=[needs(RabbitmqServer), pytest.mark.xdist_group("rabbitmq")]),
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(sender_module, "AGAIN_AFTER", timedelta(seconds=0.5))


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """As in the processes; and the tracebacks of what pika logs would keep its sockets from being collected."""
    logging.getLogger("pika").setLevel(QUIET["pika"])
    yield
    logging.getLogger("pika").setLevel(logging.NOTSET)


@pytest.fixture(params=BROKERS)
def server(request) -> BrokerServer:
    server: BrokerServer = request.getfixturevalue(f"{request.param}_server")
    server.clear()
    return server


@pytest.fixture
def transport(server):
    transport = make_transport(server.url)
    yield transport
    transport.close()


@pytest.fixture
def broker(database_url, server) -> Iterator[PostgresBroker]:
    broker = PostgresBroker(make_engine(database_url, "broker", hot=True), transport=make_transport(server.url))
    yield broker
    broker.close()


@pytest.fixture
def seen(broker) -> list[int]:
    """What the actor `note` has been called with."""
    numbers: list[int] = []
    dramatiq.actor(numbers.append, broker=broker, actor_name="note")
    return numbers


@contextmanager
def working(broker, threads=4) -> Iterator[dramatiq.Worker]:
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


@contextmanager
def sending(database_url, server) -> Iterator[Sender]:
    engine = make_engine(database_url, "scheduler", hot=True)
    sender = Sender(engine, make_transport(server.url))
    with sender.running():
        yield sender
    engine.dispose()


@pytest.fixture
def sent(service, transport):
    """Sends what is due, once, as a scheduler's sender does."""
    with service.engine.connect() as connection:
        yield lambda: Sender(service.engine, transport).send_due(connection)


def forget_when_to_send_again(service):
    service.execute_sql("UPDATE runs SET resend_at = clock_timestamp() WHERE claim_at IS NOT NULL")


def holds(transport, queue, doorbells):
    """RabbitMQ counts what it has put into a queue, a moment after it has taken it."""
    wait_for(lambda: transport.waiting(queue) == doorbells, f"{doorbells} doorbells in {queue}")


def next_doorbell(transport, queue="default"):
    with transport.speaking():
        consumer = transport.consume(queue, 1)
        try:
            for _ in range(20):
                message = next(consumer)
                if message is not None:
                    consumer.ack(message)
                    return message.args[0]
            return None
        finally:
            consumer.close()


def send(broker, *numbers, **options):
    for number in numbers:
        broker.actors["note"].send_with_options(args=(number,), **options)


def test_each_message_is_executed_once(service, broker, seen, database_url, server):
    with sending(database_url, server), working(broker):
        send(broker, *range(100))
        broker.join("default", timeout=LONG)
    assert sorted(seen) == list(range(100))
    assert {(run["state"], run["attempt"]) for run in service.runs()} == {("succeeded", 1)}


def test_a_worker_looks_for_no_run_that_it_is_not_told_of(service, broker, seen, transport, sent):
    with working(broker):
        send(broker, 1, 2)
        wait_for(lambda: service.execute_sql("SELECT FROM processes WHERE queues = '{default}'") != [])
        sent()
        broker.join("default", timeout=LONG)
        send(broker, 3)
        assert service.states() == ["succeeded", "succeeded", "queued"]


def test_a_run_is_told_of_when_it_may_start_and_not_before(service, broker, seen, transport, sent):
    send(broker, 1, delay=60_000)
    wait = sent()
    assert transport.waiting("default") == 0
    assert 0 < wait <= 60
    service.execute_sql("UPDATE runs SET claim_at = clock_timestamp()")
    sent()
    holds(transport, "default", 1)


def test_a_run_that_has_not_started_is_told_of_again_and_not_too_soon(service, broker, seen, transport, sent):
    send(broker, 1)
    sent()
    sent()
    holds(transport, "default", 1)
    forget_when_to_send_again(service)
    sent()
    holds(transport, "default", 2)


def test_a_doorbell_that_is_lost_is_only_a_delay(service, broker, seen, database_url, server, sent):
    send(broker, 1)
    sent()
    server.clear()
    with sending(database_url, server), working(broker):
        broker.join("default", timeout=LONG)
    assert seen == [1]


def test_a_doorbell_that_comes_twice_starts_its_run_once(service, broker, seen, transport, sent):
    send(broker, 1, 2)
    for _ in range(3):
        sent()
        forget_when_to_send_again(service)
    holds(transport, "default", 6)
    with working(broker):
        broker.join("default", timeout=LONG)
        wait_for(lambda: transport.waiting("default") == 0)
    assert sorted(seen) == [1, 2]
    assert [run["attempt"] for run in service.runs()] == [1, 1]


def test_a_run_that_one_batch_names_twice_starts_once(service):
    (run,) = added(service)
    told_of = (run["run_id"].upper(), run["scheduled_for"]), (run["run_id"], run["scheduled_for"])
    claim = started(service, *told_of)
    assert [each.run_id for each in claim.started] == [run["run_id"]]


def test_only_what_is_queued_due_and_of_a_queue_that_is_consumed_starts(service):
    (run,) = added(service)
    key = run["run_id"], run["scheduled_for"]
    assert started(service, (str(uuid4()), run["scheduled_for"])).started == []
    assert started(service, (run["run_id"], run["scheduled_for"] - MINUTE)).started == []
    assert started(service, key, queues=["other"]).started == []
    service.execute_sql("UPDATE runs SET claim_at = clock_timestamp() + interval '1 minute'")
    assert started(service, key).started == []
    service.execute_sql("UPDATE runs SET claim_at = clock_timestamp()")
    change_state(service.engine, "paused")
    assert started(service, key).started == []
    change_state(service.engine, "running")
    (first,) = started(service, key).started
    assert started(service, key).started == []
    assert service.finish(first)
    assert started(service, key).started == []


def test_a_run_that_may_not_start_any_more_is_rejected_as_by_a_claim(service):
    (run,) = added(service, misfire_grace_time="1 minute")
    service.execute_sql("UPDATE jobs SET misfire_grace_time = interval '1 us'")
    claim = started(service, (run["run_id"], run["scheduled_for"]))
    assert (claim.started, claim.rejected) == ([], [(run["run_id"], run["scheduled_for"])])
    service.reject(claim)
    assert service.states() == ["missed"]


def test_what_was_taken_back_from_a_dead_worker_starts_for_an_idle_thread_only(service):
    for number in range(4):
        service.add(f"job-{number}")
    service.dispatch()
    service.execute_sql("UPDATE runs SET recoveries = 1 WHERE job_id IN ('job-2', 'job-3')")
    keys = [(run["run_id"], run["scheduled_for"]) for run in service.runs()]
    claim = started(service, *keys, idle=1)
    assert sorted(run.recoveries for run in claim.started) == [0, 0, 1]


def test_a_run_is_not_locked_any_more_when_its_doorbell_is_sent(service, transport, monkeypatch):
    """A worker that is told of a run that is still locked would leave it."""
    (run,) = added(service)
    claims = []

    def start(doorbells):
        claims.append(started(service, *[(each.run_id, each.scheduled_for) for each in doorbells]))

    monkeypatch.setattr(transport, "send", start)
    with service.engine.connect() as connection:
        Sender(service.engine, transport).send_due(connection)
    assert [each.run_id for each in claims[0].started] == [run["run_id"]]


def test_a_sender_that_dies_before_it_has_sent_only_delays_the_run(service, transport, sent, monkeypatch):
    added(service)
    with monkeypatch.context() as dying:
        dying.setattr(transport, "send", lost)
        with pytest.raises(BrokerLost):
            sent()
    sent()
    assert transport.waiting("default") == 0  # It was noted before.
    forget_when_to_send_again(service)
    sent()
    holds(transport, "default", 1)


def lost(doorbells):
    raise BrokerLost("it is lost")


def test_of_two_senders_at_once_the_later_one_locks_nothing_that_the_first_has_noted(service):
    """Workers have been told of those, and would pass them by."""
    for number in range(20):
        service.add(f"job-{number}")
    service.dispatch()
    with service.engine.connect() as one, service.engine.connect() as other, ThreadPoolExecutor(1) as pool:
        first = note_doorbells(one, {"default": 12}, MINUTE)
        noting = pool.submit(note_doorbells, other, {"default": 20}, MINUTE)
        wait_for(lambda: service.execute_sql(WAITING_FOR_LOCKS))
        one.commit()
        second = noting.result()
        assert len(second) == 8
        unlocked = service.execute_sql("SELECT run_id::text FROM runs FOR UPDATE SKIP LOCKED")
    assert {run_id for (run_id,) in unlocked} == {each.run_id for each in first}


def test_the_most_urgent_runs_are_told_of_first_and_no_more_than_there_is_room_for(
    service, transport, sent, monkeypatch
):
    monkeypatch.setattr(sender_module, "ROOM", 2)
    for priority in (7, 2, 5):
        service.add(f"job-{priority}", priority=priority)
    service.dispatch()
    sent()
    holds(transport, "default", 2)
    told = [next_doorbell(transport) for _ in range(2)]
    by_id = {run["run_id"]: run["job_id"] for run in service.runs()}
    assert [by_id[run_id] for run_id in told] == ["job-2", "job-5"]
    sent()
    assert by_id[next_doorbell(transport)] == "job-7"


def test_while_the_service_is_paused_nobody_is_told_and_afterwards_all_are(
    service, broker, seen, database_url, server, transport, sent
):
    send(broker, 1, 2)
    sent()
    change_state(service.engine, "paused")
    with sending(database_url, server), working(broker):
        wait_for(lambda: transport.waiting("default") == 0)
        assert service.states() == ["queued", "queued"]
        change_state(service.engine, "running")
        broker.join("default", timeout=LONG)
    assert sorted(seen) == [1, 2]


def test_an_edit_that_moves_a_queued_run_to_another_queue_has_it_told_of_there(service, transport, sent):
    added(service)
    sent()
    assert transport.waiting("other") == 0
    edit.patch(service.engine, service.registry, "job", {"queue": "other"})
    sent()
    holds(transport, "other", 1)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # pika closes no connection that is lost.
def test_a_broker_that_is_lost_for_a_while_and_comes_back_empty_loses_and_doubles_nothing(
    service, broker, seen, database_url, server, caplog
):
    with sending(database_url, server), working(broker):
        send(broker, *range(20))
        wait_for(lambda: "succeeded" in service.states())
        server.stop()
        send(broker, *range(20, 40))
        wait_for(lambda: "the broker cannot be reached" in caplog.text)
        server.start()
        broker.join("default", timeout=LONG)
    assert sorted(seen) == list(range(40))
    assert {run["attempt"] for run in service.runs()} == {1}
    gc.collect()  # While the warning is ignored.


def test_what_was_to_be_started_when_the_connection_was_lost_is_tried_again_on_the_next_one(
    service, broker, seen, database_url, server, monkeypatch
):
    monkeypatch.setattr(sender_module, "AGAIN_AFTER", timedelta(hours=1))
    losing = iter([True])

    def start_runs_once_lost(connection, *arguments, **options):
        if next(losing, False):
            connection.connection.driver_connection.close()
        return start_runs(connection, *arguments, **options)

    monkeypatch.setattr(source_module, "start_runs", start_runs_once_lost)
    with sending(database_url, server), working(broker):
        send(broker, 1, 2, 3)
        broker.join("default", timeout=LONG)
    assert sorted(seen) == [1, 2, 3]


def test_what_is_no_doorbell_does_not_keep_doorbells_from_coming(
    service, broker, seen, database_url, server, transport, caplog
):
    garbage = (b"no JSON", b"[1]", b"{}", b"null", b"\xff", b"[" * 100_000, b'{"args": 1}')
    for number in range(30):  # more than may be on the way at once
        server.push("default", garbage[number % len(garbage)])
    transport.send([Doorbell("default", "no run", service.now(), 5)])
    with sending(database_url, server), working(broker):
        send(broker, 1)
        broker.join("default", timeout=LONG)
        wait_for(lambda: transport.waiting("default") == 0)
    assert seen == [1]
    assert "that is no doorbell of ours" in caplog.text


def test_a_worker_whose_threads_are_busy_leaves_the_doorbells_to_others(
    service, broker, database_url, server, transport, sent
):
    go, begun = threading.Event(), threading.Semaphore(0)

    @dramatiq.actor(broker=broker)
    def wait():
        begun.release()
        go.wait(20)

    for _ in range(6):
        wait.send()
    with working(broker, threads=2):
        sent()
        for _ in range(2):
            assert begun.acquire(timeout=10)
        wait_for(lambda: transport.waiting("default") == 4)
        assert sorted(service.states()) == ["queued"] * 4 + ["running"] * 2
        go.set()
        broker.join("default", timeout=LONG)


def test_the_doctor_tells_that_the_broker_does_not_answer_and_nothing_if_it_does(server):
    assert list(foundation.broker(server.url)) == []
    nobody = server.url.replace("://", "://me:s3cret@").replace("guest:guest@", "")
    nobody = nobody.replace(server.url.rsplit(":")[-1].split("/")[0], str(free_port()))
    (finding,) = foundation.broker(nobody)
    assert (finding.check, finding.severity) == ("broker", "wrong")
    assert finding.what.startswith(f"The broker {nobody.replace('s3cret', '***')} cannot be reached: ")
    assert finding.what.endswith(".")


def added(service, **options):
    service.add(**options)
    service.dispatch()
    return service.runs()


def started(service, *told_of, queues=("default",), idle=10):
    with service.engine.begin() as connection:
        return start_runs(connection, service.process(), told_of, queues=queues, idle=idle, holding=[], lease=MINUTE)
