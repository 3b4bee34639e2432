"""What the proxy hears of commits in the replies of PostgreSQL."""

import socket
from threading import Thread

import pytest
from rig.proxy import Loop, Proxy
from rig.wire import Replies


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def told(*tags: bytes, then: bytes) -> bytes:
    return b"".join(message(b"C", tag + b"\0") for tag in tags) + message(b"Z", then)


IN_TRANSACTION = told(b"BEGIN", then=b"T")


@pytest.mark.parametrize(
    ("said", "commits"),
    [
        (told(b"INSERT 0 1", then=b"I"), 1),
        (told(b"SELECT 1", then=b"I"), 0),
        (told(b"SELECT 1", b"SELECT 3", then=b"I"), 1),
        (IN_TRANSACTION + told(b"UPDATE 1", then=b"T"), 0),
        (IN_TRANSACTION + told(b"UPDATE 1", then=b"T") + told(b"COMMIT", then=b"I"), 1),
        (IN_TRANSACTION + told(b"UPDATE 1", then=b"T") + told(b"ROLLBACK", then=b"I"), 0),
        (IN_TRANSACTION + told(b"UPDATE 1", b"COMMIT", then=b"I"), 1),
    ],
)
def test_it_counts_what_was_committed(said, commits):
    assert Replies().commits_in(said) == commits


def test_messages_may_come_in_any_pieces():
    replies, said = Replies(), IN_TRANSACTION + told(b"COMMIT", then=b"I")
    assert sum(replies.commits_in(bytes([each])) for each in said) == 1


@pytest.mark.parametrize(
    ("reply", "swallowed"), [(told(b"INSERT 0 1", then=b"I"), 1), (told(b"SELECT 1", then=b"I"), 0)]
)
def test_a_proxy_that_is_told_to_swallow_keeps_back_the_reply_to_a_commit_and_no_other(reply, swallowed):
    def answer():
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(reply)
            heard(connection)  # until the proxy has gone

    loop = Loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=answer, daemon=True).start()
        proxy = Proxy(loop, server.getsockname()[1])
        proxy.swallow(1)
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"a statement")
            assert heard(client) == (b"" if swallowed else reply)
        assert proxy.swallowed == swallowed
        proxy.close()
        loop.stop()


def heard(client):
    try:
        return client.recv(100)
    except ConnectionResetError:
        return b""
