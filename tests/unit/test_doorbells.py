"""What becomes of a BROKER_URL, and of messages of strangers, without any broker."""

import sys
from datetime import UTC, datetime

import pytest
from dramatiq.message import Message

from bayesian_jobs.broker.transports import make_transport
from bayesian_jobs.broker.transports.transport import ACTOR, message_of, run_of
from bayesian_jobs.errors import SettingsError
from bayesian_jobs.store.doorbells import Doorbell

RUN = "018f2f6e-0000-7000-8000-000000000000"
AT = datetime(2026, 11, 26, 12, 0, 0, 123456, UTC)


def stranger(*args, actor=ACTOR):
    return Message(queue_name="default", actor_name=actor, args=args, kwargs={}, options={})


def test_a_doorbell_names_its_run():
    message = message_of(Doorbell("mail", RUN, AT, 3), "prefixed.mail")
    assert run_of(Message.decode(message.encode())) == (RUN, AT)
    assert (message.queue_name, message.options["broker_priority"]) == ("prefixed.mail", 6)


@pytest.mark.parametrize(
    "message",
    [
        stranger(RUN, AT.isoformat(), actor="send_mail"),
        stranger("'; DROP TABLE runs; --", AT.isoformat()),
        stranger(RUN, "yesterday"),
        stranger(RUN, "2026-11-26T12:00:00"),
        stranger(RUN, 5),
        stranger(5, AT.isoformat()),
        stranger(RUN),
        stranger(),
        None,
    ],
)
def test_what_is_no_doorbell_names_no_run(message):
    assert run_of(message) is None


@pytest.mark.parametrize(("url", "extra"), [("redis://:s3cret@db", "redis"), ("amqps://me:s3cret@db", "rabbitmq")])
def test_without_its_client_a_broker_is_refused_with_what_to_install(url, extra, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("bayesian_jobs.broker.transports.")]:
        monkeypatch.delitem(sys.modules, name)
    for client in ("redis", "pika"):
        monkeypatch.setitem(sys.modules, client, None)
        monkeypatch.delitem(sys.modules, f"dramatiq.brokers.{extra}", raising=False)
    advice = rf"^BROKER_URL='.*': needs .* pip install 'bayesian-jobs\[{extra}\]'$"
    with pytest.raises(SettingsError, match=advice) as refused:
        make_transport(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://:s3cret@db?socket_timeout=soon", "amqp://me:s3cret@db?heartbeat=soon"])
def test_what_the_client_does_not_take_is_refused_without_the_password(url):
    with pytest.raises(SettingsError, match=r"^BROKER_URL='.*': the client of \w+ refuses it: ") as refused:
        make_transport(url)
    assert "s3cret" not in str(refused.value)
