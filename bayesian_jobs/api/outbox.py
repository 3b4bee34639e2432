"""A client's socket, as the threads that answer see it."""

import socket


class Outbox:
    """Threads put the answer in; the worker's main thread sends it, as fast as the client takes it. So no thread waits
    for a client. What a thread does to it does nothing to the socket."""

    def __init__(self, client: socket.socket) -> None:
        client.setblocking(False)
        self._client = client
        self._unsent = bytearray()

    # For threads, in place of a socket's own.

    def sendall(self, data: bytes) -> None:
        self._unsent += data

    def send(self, data: bytes) -> int:
        self._unsent += data
        return len(data)

    def setblocking(self, blocking: bool) -> None: ...

    def settimeout(self, seconds: float | None) -> None: ...

    def gettimeout(self) -> float:
        return 0.0

    def shutdown(self, how: int) -> None: ...

    def close(self) -> None: ...

    # For the main thread.

    def fileno(self) -> int:
        return self._client.fileno()

    @property
    def unsent(self) -> int:
        """How many bytes wait for the client to take them."""
        return len(self._unsent)

    def receive(self, size: int) -> bytes:
        """What has arrived; empty: the client sends nothing any more. Raises OSError."""
        return self._client.recv(size)

    def flush(self) -> bool:
        """Send what the client takes now; whether that was all. Raises OSError."""
        try:
            while self._unsent:
                sent = self._client.send(memoryview(self._unsent)[: 1 << 20])
                del self._unsent[:sent]
        except BlockingIOError:
            return False
        return True

    def end(self) -> None:
        """Tell the client that nothing follows. Raises OSError."""
        self._client.shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        self._unsent.clear()
        self._client.close()
