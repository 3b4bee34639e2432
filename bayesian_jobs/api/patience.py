"""gunicorn's threaded worker, with threads that never wait for a client.

As gunicorn has it, a thread reads the request and writes the answer itself: as many clients as there are threads, each
of which sends a byte now and then or does not read, keep the API from everybody else. Here the main thread waits for
all of them, by one selector. A thread gets a request when it is whole, and is free when it has put down the answer.

With TLS (gunicorn's --certfile) a thread has to do the handshake, so all is as gunicorn has it.
"""

import errno
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ, EVENT_WRITE
from socket import socket
from typing import Any, Final

from gunicorn.http import get_parser  # type: ignore[import-untyped]
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn  # type: ignore[import-untyped]

from bayesian_jobs.api.arrival import Arrival
from bayesian_jobs.api.outbox import Outbox
from bayesian_jobs.api.unreadable import RefusingWorker, refusal

REQUEST_SECONDS: Final = 15.0
"""How long a request may take to arrive, from its first byte on."""
ANSWER_SECONDS: Final = 60.0
"""How long a client may take to read an answer."""
LINGER_SECONDS: Final = 2.0
"""How long a client that was answered for good has to end as well, before the rest of the answer may be lost to it;"""
LINGER_BYTES: Final = 1024 * 1024
"""and how much it may send meanwhile."""
MOST_HELD: Final = 64 * 1024 * 1024
"""Bytes of unfinished requests and unread answers that one worker keeps; beyond, who holds most is dropped."""
CHUNK: Final = 64 * 1024

TOO_LATE: Final = refusal(HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time")
TOO_LARGE: Final = refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large")
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

Step = Callable[[], None]


class Client(TConn):  # type: ignore[misc]  # gunicorn has no types
    """One connection. While the main thread waits for it: `deadline`, by the monotonic clock; what to do then; and what
    to do when the answer has been sent."""

    sock: Outbox
    arrival: Arrival
    deadline: float
    too_late: Step
    sent: Step
    discarded: int = 0

    @property
    def held(self) -> int:
        return self.sock.unsent + len(self.arrival.data)


class PatientWorker(RefusingWorker):
    """Its connections are in the hands of one thread of the pool each, or else watched here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watched: dict[Client, None] = {}

    def accept(self, listener: socket) -> None:
        if self.cfg.is_ssl:
            super().accept(listener)
            return
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        conn = Client(self.cfg, Outbox(client), address, listener.getsockname())
        conn.initialized = conn.data_ready = True  # so that no thread waits for, or reads from, its socket
        self._receive(conn, b"", self.cfg.keepalive)

    def finish_request(self, conn: Client, fs: "Future[bool]") -> None:
        """A thread has answered: send that, and go on with the next request if the client may send one."""
        if not isinstance(conn, Client):
            super().finish_request(conn, fs)
            return
        goes_on = not fs.cancelled() and fs.exception() is None and fs.result()
        if goes_on:
            rest = conn.parser.unreader.take_buffered()
            idle = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
            conn.sent = partial(self._receive, conn, rest, idle)
        else:
            conn.sent = partial(self._linger, conn)
        conn.arrival = Arrival()
        self._send(conn)

    def murder_pending(self) -> None:
        """Called at least once a second: let no connection take longer than it may."""
        super().murder_pending()
        now = time.monotonic()
        for conn in [each for each in self._watched if each.deadline <= now]:
            self._unwatch(conn)
            conn.too_late()

    def _cap_keepalive(self, deadline: float) -> None:
        """This worker stops: whoever has not sent a request by then does not get an answer."""
        super()._cap_keepalive(deadline)
        for conn in self._watched:
            if not conn.sock.unsent:
                conn.deadline = min(conn.deadline, deadline)

    def _receive(self, conn: Client, begun: bytes, idle: float) -> None:
        """Wait for a request, of which some may be there: `idle` seconds for its first byte."""
        conn.arrival = Arrival(begun)
        if begun and conn.arrival.is_enough():
            self._answer(conn)
        elif begun:
            self._watch(conn, EVENT_READ, self._on_arrival, REQUEST_SECONDS, partial(self._refuse, conn, TOO_LATE))
        else:
            self._watch(conn, EVENT_READ, self._on_arrival, idle, partial(self._drop, conn))

    def _on_arrival(self, conn: Client) -> None:
        data = self._read(conn)
        if data is None:
            return
        arrival = conn.arrival
        if not arrival.data:
            conn.deadline = time.monotonic() + REQUEST_SECONDS
            conn.too_late = partial(self._refuse, conn, TOO_LATE)
        arrival.add(data)
        enough = arrival.is_enough()
        if arrival.head_is_too_large:
            self._unwatch(conn)
            self._refuse(conn, TOO_LARGE)
        elif enough or (not data and arrival.data):
            self._unwatch(conn)
            self._answer(conn)
        elif not data:
            self._drop(conn)
        elif arrival.expects_continue:
            arrival.expects_continue = False
            self._send_now(conn, CONTINUE)
        else:
            self._keep_within_bounds()

    def _answer(self, conn: Client) -> None:
        conn.parser = get_parser(self.cfg, iter([bytes(conn.arrival.data)]), conn.client)
        self.enqueue_req(conn)

    def _refuse(self, conn: Client, answer: bytes) -> None:
        conn.sock.sendall(answer)
        conn.arrival = Arrival()
        conn.sent = partial(self._linger, conn)
        self._send(conn)

    def _send_now(self, conn: Client, data: bytes) -> None:
        """A few bytes, to a client of which more is to come; what it does not take it has no use for."""
        conn.sock.sendall(data)
        try:
            conn.sock.flush()
        except OSError:
            self._drop(conn)

    def _send(self, conn: Client) -> None:
        try:
            done = conn.sock.flush()
        except OSError:
            self._drop(conn)
            return
        if done:
            conn.sent()
        else:
            self._watch(conn, EVENT_WRITE, self._on_writable, ANSWER_SECONDS, partial(self._drop, conn))
            self._keep_within_bounds()

    def _on_writable(self, conn: Client) -> None:
        try:
            done = conn.sock.flush()
        except OSError:
            self._drop(conn)
            return
        if done:
            self._unwatch(conn)
            conn.sent()

    def _linger(self, conn: Client) -> None:
        """Nothing follows. To close at once would take the answer away from a client that is still sending."""
        try:
            conn.sock.end()
        except OSError:
            self._drop(conn)
        else:
            self._watch(conn, EVENT_READ, self._on_rest, LINGER_SECONDS, partial(self._drop, conn))

    def _on_rest(self, conn: Client) -> None:
        data = self._read(conn)
        if data is None:
            return
        conn.discarded += len(data)
        if not data or conn.discarded > LINGER_BYTES:
            self._drop(conn)

    def _read(self, conn: Client) -> bytes | None:
        """None: there is nothing yet, or the connection is gone and dropped."""
        try:
            return conn.sock.receive(CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            self._drop(conn)
            return None

    def _watch(self, conn: Client, event: int, act: Callable[[Client], None], seconds: float, too_late: Step) -> None:
        conn.deadline = time.monotonic() + seconds
        conn.too_late = too_late
        self._watched[conn] = None
        self.poller.register(conn.sock, event, partial(self._on_event, conn, act))

    def _on_event(self, conn: Client, act: Callable[[Client], None], _: Any) -> None:
        if conn in self._watched:  # else it was dropped after the selector had told of it
            act(conn)

    def _unwatch(self, conn: Client) -> None:
        if conn in self._watched:
            del self._watched[conn]
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Client) -> None:
        self._unwatch(conn)
        self.nr_conns -= 1
        conn.sock.hang_up()

    def _make_room(self) -> None:
        """Drop who has kept us waiting longest: a request that comes whole is answered however many others wait."""
        waiting = [each for each in self._watched if not each.sock.unsent] or list(self._watched)
        if waiting:
            self._drop(waiting[0])

    def _keep_within_bounds(self) -> None:
        while self._watched and sum(each.held for each in self._watched) > MOST_HELD:
            self._drop(max(self._watched, key=lambda each: each.held))
