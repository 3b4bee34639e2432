"""The PostgreSQL broker under Dramatiq's own worker and actors."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import dramatiq
import pytest
from dramatiq.errors import QueueNotFound
from sqlalchemy import text
from waiting import wait_for

from bayesian_jobs.broker.postgres import PostgresBroker
from bayesian_jobs.errors import InvalidMessage
from bayesian_jobs.lifecycle.service import change_state
from bayesian_jobs.presence.bell import Bell, heard_payloads
from bayesian_jobs.store.closing import close_left_open
from bayesian_jobs.store.engine import make_engine

LONG = 20_000


@pytest.fixture
def broker(database_url) -> Iterator[PostgresBroker]:
    broker = PostgresBroker(make_engine(database_url, "broker", hot=True))
    yield broker
    broker.close()


@contextmanager
def working(broker, threads=4, queues=None) -> Iterator[dramatiq.Worker]:
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50, queues=queues)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def actor(broker, function: Callable, **options) -> dramatiq.Actor:
    return dramatiq.actor(function, broker=broker, **options)


def test_a_message_is_a_queued_run_without_a_job(broker, service):
    @dramatiq.actor(broker=broker, queue_name="mail")
    def greet(name, greeting="hello"): ...

    message = greet.send("Ada", greeting="hi")
    (run,) = service.runs()
    assert (run["run_id"], run["actor"], run["queue"]) == (message.message_id, "greet", "mail")
    assert (run["state"], run["job_no"]) == ("queued", None)
    assert (run["message"]["args"], run["message"]["kwargs"]) == (["Ada"], {"greeting": "hi"})


def test_a_message_is_processed_and_recorded_as_succeeded(broker, service):
    seen = []
    greet = actor(broker, lambda *args, **kwargs: seen.append((args, kwargs)), actor_name="greet")
    greet.send("Ada", greeting="hi")
    with working(broker):
        broker.join("default", timeout=LONG)
    assert seen == [(("Ada",), {"greeting": "hi"})]
    (run,) = service.runs()
    assert (run["state"], run["attempt"]) == ("succeeded", 1)


def test_a_message_that_is_sent_to_a_waiting_worker_wakes_it(broker, service):
    seen = threading.Event()
    greet = actor(broker, seen.set, actor_name="greet")
    with working(broker):
        wait_for(lambda: service.execute_sql("SELECT FROM processes WHERE kind = 'worker'") != [])
        greet.send()
        assert seen.wait(3), "sooner than the slow poll"
        broker.join("default", timeout=LONG)


def test_many_messages_are_each_processed_once(broker, service):
    seen, lock = [], threading.Lock()

    @dramatiq.actor(broker=broker)
    def collect(number):
        with lock:
            seen.append(number)

    for number in range(200):
        collect.send(number)
    with working(broker, threads=8):
        broker.join("default", timeout=LONG)
    assert sorted(seen) == list(range(200))
    assert set(service.states()) == {"succeeded"}


def test_no_more_messages_are_claimed_than_there_are_threads(broker, service):
    go, begun = threading.Event(), threading.Semaphore(0)

    @dramatiq.actor(broker=broker)
    def wait():
        begun.release()
        go.wait(20)

    for _ in range(6):
        wait.send()
    with working(broker, threads=2):
        for _ in range(2):
            assert begun.acquire(timeout=10)
        assert sorted(service.states()) == ["queued"] * 4 + ["running"] * 2
        go.set()
        broker.join("default", timeout=LONG)


def test_a_delay_is_kept_in_the_row_and_kept_to(broker, service):
    done = threading.Event()
    later = actor(broker, done.set, actor_name="later")
    later.send_with_options(delay=300)
    (run,) = service.runs()
    assert run["claim_at"] - run["queued_at"] >= timedelta(milliseconds=299)
    with working(broker):
        broker.join("default", timeout=LONG)
    (run,) = service.runs()
    assert done.is_set()
    assert run["started_at"] - run["queued_at"] >= timedelta(milliseconds=299)


def test_a_message_that_fails_for_good_is_recorded_with_its_failure_entry(broker, service, caplog):
    @dramatiq.actor(broker=broker, max_retries=0)
    def fail(number):
        raise ValueError("boom")

    fail.send(3)
    with working(broker):
        broker.join("default", timeout=LONG)
    (run,) = service.runs()
    assert (run["state"], run["reason"]) == ("failed", "ValueError: boom")
    assert "raise ValueError" in run["traceback"]
    (entry,) = service.execute_sql("SELECT kwargs FROM jobs WHERE handler = 'ErrorHandler'")
    assert entry.kwargs["failed_job_handler"] == "fail"


def test_retries_of_dramatiq_are_kept_in_the_same_run(broker, service, caplog):
    attempts = []

    @dramatiq.actor(broker=broker, max_retries=3, min_backoff=10, max_backoff=20)
    def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")

    flaky.send()
    with working(broker):
        broker.join("default", timeout=LONG)
    (run,) = service.runs()
    assert (run["state"], run["attempt"], run["failures"]) == ("succeeded", 3, 2)
    assert run["message"]["options"]["retries"] == 2


def test_pipelines_of_dramatiq_work(broker, service):
    seen = []

    @dramatiq.actor(broker=broker)
    def double(number):
        return number * 2

    @dramatiq.actor(broker=broker)
    def keep(number):
        seen.append(number)

    dramatiq.pipeline([double.message(21), keep.message()], broker=broker).run()
    with working(broker):
        wait_for(lambda: seen == [42])
        broker.join("default", timeout=LONG)


def test_a_run_for_an_actor_that_the_worker_does_not_know_goes_back_for_one_that_does(broker, service, database_url):
    known = actor(broker, lambda: None, actor_name="known")
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state, claim_at, message) VALUES"
        """ (gen_random_uuid(), 'unknown', 'default', now(), 'queued', now(), '{"args":[],"kwargs":{},"options":{}}')"""
    )
    known.send()
    with working(broker):
        wait_for(
            lambda: (
                {run["actor"]: run["state"] for run in service.runs()} == {"unknown": "queued", "known": "succeeded"}
            )
        )
        (unknown,) = [run for run in service.runs() if run["actor"] == "unknown"]
        wait_for(lambda: service.execute_sql("SELECT FROM runs WHERE actor = 'unknown' AND attempt = 1") != [])
    assert unknown["failures"] == 0


def test_a_stopped_worker_finishes_what_it_executes_and_leaves_the_rest_queued(broker, service):
    begun, go = threading.Event(), threading.Event()

    @dramatiq.actor(broker=broker)
    def slow():
        begun.set()
        go.wait(20)

    slow.send()
    slow.send()
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_for(lambda: not broker.handover.is_open)
    go.set()
    stopping.join(20)
    assert sorted(service.states()) == ["queued", "succeeded"]
    ((ended,),) = service.execute_sql("SELECT ended_at IS NOT NULL FROM processes WHERE kind = 'worker'")
    assert ended


def test_what_does_not_end_in_time_is_handed_back_and_counted_as_nobodys_fault(broker, service):
    begun, go = threading.Event(), threading.Event()

    @dramatiq.actor(broker=broker)
    def endless():
        begun.set()
        go.wait(20)

    endless.send()
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    assert begun.wait(10)
    worker.stop(timeout=100)
    (run,) = service.runs()
    assert (run["state"], run["failures"], run["recoveries"]) == ("queued", 0, 0)
    go.set()


def test_a_worker_whose_session_is_ended_goes_on(broker, service):
    seen, lock = [], threading.Lock()

    @dramatiq.actor(broker=broker)
    def collect(number):
        with lock:
            seen.append(number)

    with working(broker):
        for number in range(50):
            collect.send(number)
            if number % 10 == 5:
                service.execute_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'bayesian-jobs broker' AND query LIKE '%%' AND state = 'idle'"
                )
        wait_for(lambda: set(service.states()) == {"succeeded"})
    assert set(seen) == set(range(50))
    assert {run["attempt"] for run in service.runs()} <= {1, 2}


def test_a_flushed_queue_has_no_queued_runs_any_more(broker, service):
    greet = actor(broker, lambda: None, actor_name="greet")
    greet.send()
    broker.flush_all()
    assert service.states() == ["cancelled"]


def test_a_message_that_json_cannot_keep_is_refused(broker, service):
    greet = actor(broker, lambda *_: None, actor_name="greet")
    for bad in (object(), "\0", float("nan"), "\ud800", 2**64):
        with pytest.raises(InvalidMessage, match="greet"):
            greet.send(bad)
    with pytest.raises(InvalidMessage, match="message_id"):
        broker.enqueue(greet.message().copy(message_id="not-a-uuid"))
    assert service.runs() == []


def test_a_queue_that_nobody_declared_is_refused(broker):
    message = dramatiq.Message(queue_name="nowhere", actor_name="x", args=(), kwargs={}, options={})
    with pytest.raises(QueueNotFound):
        broker.enqueue(message)
    with pytest.raises(QueueNotFound):
        broker.consume("nowhere")


def test_a_result_that_the_database_refuses_fails_its_run_and_keeps_no_other_from_being_recorded(
    broker, service, caplog, monkeypatch
):
    @dramatiq.actor(broker=broker, max_retries=0)
    def fail(number):
        raise ValueError("boom")

    @dramatiq.actor(broker=broker)
    def work(): ...

    monkeypatch.setattr("bayesian_jobs.broker.postgres.describe_exception", lambda error: ("nul \0", "traceback"))
    fail.send(1)
    for _ in range(5):
        work.send()
    with working(broker):
        broker.join("default", timeout=LONG)
    assert {run["actor"]: run["state"] for run in service.runs()} == {"fail": "failed", "work": "succeeded"}
    (refused,) = [run for run in service.runs() if run["actor"] == "fail"]
    assert refused["reason"].startswith("Its outcome could not be recorded")


def test_a_retry_may_be_put_off_for_longer_than_the_database_can_tell(broker, service):
    @dramatiq.actor(broker=broker)
    def later():
        raise dramatiq.Retry(delay=10**16)

    later.send()
    with working(broker):
        wait_for(lambda: [run["attempt"] for run in service.runs() if run["state"] == "queued"] == [1])


def test_a_run_that_comes_back_to_the_worker_that_still_executes_it_keeps_the_result_of_its_new_attempt(
    broker, service
):
    go, begun = [threading.Event(), threading.Event()], threading.Semaphore(0)
    first, second = go

    @dramatiq.actor(broker=broker)
    def slow():
        turn = go.pop(0)
        begun.release()
        turn.wait(20)

    slow.send()
    with working(broker):
        assert begun.acquire(timeout=10)
        service.execute_sql("UPDATE runs SET state = 'queued', claim_at = now()")
        service.execute_sql("SELECT pg_notify('bayesian_jobs_runs', 'default')")
        assert begun.acquire(timeout=10)
        first.set()
        wait_for(lambda: service.execute_sql("SELECT FROM runs WHERE attempt = 2 AND state = 'running'") != [])
        second.set()
        broker.join("default", timeout=LONG)
    assert [(run["state"], run["attempt"]) for run in service.runs()] == [("succeeded", 2)]


def test_a_message_that_is_enqueued_twice_is_processed_twice(broker, service):
    seen = []
    greet = actor(broker, lambda: seen.append(1), actor_name="greet")
    message = greet.send()
    broker.enqueue(message)
    with working(broker):
        broker.join("default", timeout=LONG)
    assert len(seen) == 2
    assert service.states() == ["succeeded", "succeeded"]


def test_a_worker_that_has_nothing_to_claim_sleeps(broker, service):
    """All threads busy, and the time to look for more long past; then: runs due, but the service paused."""
    go, begun = threading.Event(), threading.Event()

    @dramatiq.actor(broker=broker)
    def slow():
        begun.set()
        go.wait(20)

    slow.send()
    with working(broker, threads=1):
        assert begun.wait(10)
        slow.send()
        assert rounds_in(broker, seconds=2) < 10
        change_state(service.engine, "paused")
        go.set()
        wait_for(lambda: "succeeded" in service.states())
        assert rounds_in(broker, seconds=2) < 20
        assert service.states().count("queued") == 1
        change_state(service.engine, "running")
        broker.join("default", timeout=LONG)


def test_a_worker_tells_from_which_queues_it_takes_runs(broker, service):
    actor(broker, lambda: None, actor_name="greet", queue_name="greetings")

    def told():
        return [row.queues for row in service.execute_sql("SELECT queues FROM processes WHERE ended_at IS NULL")]

    with working(broker, queues={"greetings"}):
        wait_for(lambda: told() == [["greetings"]])


def test_a_worker_that_consumes_no_queue_sleeps(broker):
    with working(broker, queues={"nobody declares this one"}):
        assert rounds_in(broker, seconds=1) < 10


def test_a_worker_whose_claims_are_refused_tries_again_and_again_with_a_pause(broker, service, caplog):
    seen = threading.Event()
    actor(broker, seen.set, actor_name="greet").send()
    service.execute_sql("ALTER TABLE service RENAME TO hidden")
    with working(broker):
        wait_for(lambda: "service" in caplog.text)
        assert rounds_in(broker, seconds=1) < 20
        service.execute_sql("ALTER TABLE hidden RENAME TO service")
        assert seen.wait(10)


def rounds_in(broker, seconds):
    """How often the claimer looks for something to do within a time."""
    rounds, do_round = [], broker.claimer._round
    broker.claimer._round = lambda connection: (rounds.append(1), do_round(connection))
    threading.Event().wait(seconds)
    broker.claimer._round = do_round
    return len(rounds)


def test_a_notification_that_came_with_an_earlier_reply_is_heard_at_once(service):
    with service.engine.connect() as connection:
        session = connection.connection.driver_connection
        connection.execute(text("LISTEN something"))
        connection.commit()
        service.execute_sql("NOTIFY something, 'now'")
        connection.execute(text("SELECT 1"))
        connection.commit()
        bell, rung = Bell(), threading.Event()
        rescue = threading.Timer(10, lambda: (rung.set(), bell.ring()))
        rescue.start()
        bell.sleep(20, session)
        rescue.cancel()
        bell.close()
        assert not rung.is_set()
        assert heard_payloads(session) == {"now"}


def test_runs_that_are_flushed_let_their_one_off_jobs_end(broker, service):
    service.add()
    service.dispatch()
    broker.declare_queue("default")
    broker.flush("default")
    with service.engine.begin() as connection:
        close_left_open(connection)
    assert service.job()["state"] == "finished"


@pytest.fixture
def unlogged() -> Iterator[None]:
    """Dramatiq logs an exception as it is, at which pytest's handler, and no other, raises."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("max_retries", [0, 1])
@pytest.mark.parametrize(
    "hostile", ["nul \0 and \ud800", "x" * 1_000_000, "a nameless type"], ids=["nul", "1 MB", "a nameless type"]
)
def test_an_actor_that_fails_in_whatever_way_has_failed(broker, service, unlogged, hostile, max_retries):
    class NamelessType(type):
        def __getattribute__(cls, name):
            raise ValueError(name)

    @dramatiq.actor(broker=broker, max_retries=max_retries, min_backoff=10, max_backoff=20)
    def fail():
        raise (NamelessType("Nameless", (Exception,), {}) if hostile == "a nameless type" else ValueError)(hostile)

    fail.send()
    with working(broker):
        broker.join("default", timeout=LONG)
    (run,) = service.runs()
    assert run["state"] == "failed"
    assert run["attempt"] == 1 if hostile == "a nameless type" else max_retries + 1
    assert len(run["traceback"]) <= 65_536
    assert len(service.execute_sql("SELECT FROM jobs WHERE handler = 'ErrorHandler'")) == 1


@pytest.mark.parametrize(
    "message",
    [
        pytest.param('{"args": [' + "9" * 5000 + '], "kwargs": {}, "options": {}}', id="a number of 5000 digits"),
        pytest.param('{"args": [' + "[" * 3000 + "]" * 3000 + '], "kwargs": {}, "options": {}}', id="3000 levels"),
        pytest.param('{"kwargs": {"a": 1}}', id="no args"),
        pytest.param("[]", id="no object"),
    ],
)
def test_a_message_that_nobody_can_read_fails_and_keeps_no_other_from_being_processed(broker, service, caplog, message):
    seen = threading.Event()
    greet = actor(broker, seen.set, actor_name="greet")
    service.execute_sql(
        "INSERT INTO runs (run_id, actor, queue, scheduled_for, state, claim_at, message) VALUES"
        " (gen_random_uuid(), 'greet', 'default', now() - interval '1 hour', 'queued', now(), CAST(:message AS jsonb))",
        message=message,
    )
    greet.send()
    with working(broker):
        broker.join("default", timeout=LONG)
    assert service.execute_sql("SELECT state FROM runs ORDER BY scheduled_for") == [("failed",), ("succeeded",)]
    assert len(service.execute_sql("SELECT FROM jobs WHERE handler = 'ErrorHandler'")) == 1
