"""When enough of a request has arrived: at its last byte, however it is cut; and for what never ends, soon."""

import random

import pytest

from bayesian_jobs.api.arrival import MAX_HEAD, MAX_RAW_BODY, Arrival
from bayesian_jobs.api.media import MAX_BYTES

HEAD = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = {
    "no body": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no fields": b"GET / HTTP/1.0\r\n\r\n",
    "an empty line first": b"\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length": HEAD + b"Content-Length: 10\r\n\r\n0123456789",
    "a length of 0": HEAD + b"content-length:0\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
    "a trailer": HEAD + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\nZ: \r\n\r\n",
    "ends of lines inside a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nb\r\n0\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
}
HOPELESS = {
    "a bare line feed": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "a length that is none": HEAD + b"Content-Length: ten\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "a length beyond the limit": HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BYTES + 1),
    "an absurd length": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "no size of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a negative size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a size that does not end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 2000,
    "a size that ends by a line feed": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\nabc",
    "no end of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef",
    "chunks beyond the limit": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * (MAX_RAW_BODY // 6 + 1),
    "a trailer that does not end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * MAX_HEAD,
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_request_is_enough_at_its_last_byte_however_it_is_cut(name: str) -> None:
    request, dice = WHOLE[name], random.Random(7)
    for longest in [1, 2, 3, 7, len(request)] * 5:
        arrival, sent = Arrival(), 0
        while sent < len(request):
            assert not arrival.is_enough(), request[:sent]
            size = dice.randint(1, longest)
            arrival.add(request[sent : sent + size])
            sent += size
        assert arrival.is_enough()
        assert bytes(arrival.data) == request


@pytest.mark.parametrize("name", HOPELESS)
def test_what_will_be_refused_is_not_waited_for(name: str) -> None:
    arrival = Arrival()
    for at in range(0, len(HOPELESS[name]), 1000):
        arrival.add(HOPELESS[name][at : at + 1000])
        arrival.is_enough()
    assert arrival.is_enough()


def test_a_following_request_is_no_part_of_the_first() -> None:
    arrival = Arrival(WHOLE["a length"] + b"GET")
    assert arrival.is_enough()
    assert not Arrival(b"GET").is_enough()


def test_a_head_without_end_is_too_large() -> None:
    arrival = Arrival(b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD)
    assert not arrival.is_enough()
    assert arrival.head_is_too_large


@pytest.mark.parametrize(("length", "expects"), [(b"5", True), (b"0", False), (b"99999999", False)])
def test_a_client_that_waits_for_leave_to_go_on_gets_it_if_its_body_is_wanted(length: bytes, expects: bool) -> None:
    arrival = Arrival(HEAD + b"Expect: 100-Continue\r\nContent-Length: %s\r\n\r\n" % length)
    arrival.is_enough()
    assert arrival.expects_continue == expects
