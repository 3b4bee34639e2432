"""A TCP proxy in front of PostgreSQL for one replica, which can do to its connections what networks do."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any

from rig.wire import Replies

CHUNK = 65536


class Mode(StrEnum):
    PASS = "pass"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"
    DELAY = "delay"
    THROTTLE = "throttle"


class Loop:
    """The thread that all proxies live in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Proxy:
    """Listens on a port of its own. Its methods may be called by any thread."""

    def __init__(self, loop: Loop, target: int) -> None:
        self._loop = loop
        self._target = target
        self._mode = Mode.PASS
        self._healed = asyncio.Event()
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.to_swallow = 0
        self.swallowed = 0
        loop.call(self._listen())

    def set_mode(self, mode: Mode) -> None:
        self._loop.call(self._set_mode(mode))

    def swallow(self, count: int) -> None:
        """Keep back the replies to the next `count` commits, and cut those connections."""
        self.to_swallow = count

    def reset(self) -> int:
        """End all connections with an RST. Returns how many there were."""
        number: int = self._loop.call(self._reset())
        return number

    def close(self) -> None:
        self._loop.call(self._close())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set_mode(self, mode: Mode) -> None:
        if Mode.REFUSE in (mode, self._mode) and mode != self._mode:
            await (self._refuse() if mode == Mode.REFUSE else self._listen())
        self._mode = mode
        if mode != Mode.BLACKHOLE:
            self._healed.set()
            self._healed = asyncio.Event()

    async def _refuse(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._reset()

    async def _reset(self) -> int:
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer)
        self._links.add(link)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target)
            link.writers.append(to_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, to_writer, None))
                group.create_task(self._pump(link, to_reader, writer, Replies()))
        except* OSError:
            pass  # One of the sides has gone: so goes the other.
        finally:
            link.reset()
            self._links.discard(link)

    async def _pump(
        self, link: "Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: Replies | None
    ) -> None:
        """Carry on what one side says, as the mode has it, until it has nothing more to say."""
        while data := await reader.read(CHUNK):
            while self._mode == Mode.BLACKHOLE:
                await self._healed.wait()
            if self._mode == Mode.DELAY:
                await asyncio.sleep(0.3)
            if replies is not None and replies.commits_in(data) and self.to_swallow > 0:
                self.to_swallow -= 1
                self.swallowed += 1
                link.reset()
                return
            if writer.is_closing():
                break
            if self._mode == Mode.THROTTLE:
                await self._trickle(data, writer)
            else:
                writer.write(data)
            await writer.drain()
        link.reset()

    @staticmethod
    async def _trickle(data: bytes, writer: asyncio.StreamWriter) -> None:
        """About 4 kB a second."""
        for begin in range(0, len(data), 400):
            if writer.is_closing():
                break
            writer.write(data[begin : begin + 400])
            await asyncio.sleep(0.1)


class Link:
    """The two sockets of one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writers = [writer]

    def reset(self) -> None:
        for writer in self.writers:
            if not writer.is_closing():
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
