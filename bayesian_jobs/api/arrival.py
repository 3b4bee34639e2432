"""A request as it arrives, piece by piece: whether there is enough of it to be answered without waiting for more.

This decides only for how long to wait. What a request says, and whether it is well-formed, the HTTP server's own parser
decides once it has the bytes; so whatever looks odd here is enough.
"""

import re
from typing import Final

from bayesian_jobs.api.media import MAX_BYTES

MAX_HEAD: Final = 64 * 1024
MAX_RAW_BODY: Final = 2 * MAX_BYTES
"""Of a chunked body: more than MAX_BYTES in chunks of a sensible size."""
LONGEST_CHUNK_LINE: Final = 1024

_HEAD_END: Final = b"\r\n\r\n"
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?")


class Arrival:
    """`data`: what has arrived, the beginning of a following request included."""

    def __init__(self, begun: bytes = b"") -> None:
        self.data = bytearray()
        self._body_at: int | None = None
        self._ends_at: int | None = None
        self._next_chunk: int | None = None
        self._seen = 0
        self.expects_continue = False
        self.add(begun)

    def add(self, data: bytes) -> None:
        self.data += data

    @property
    def head_is_too_large(self) -> bool:
        return self._body_at is None and len(self.data) > MAX_HEAD

    def is_enough(self) -> bool:
        """Whether the request is whole, or so large or so malformed that it will be refused."""
        if self._body_at is None and not self._find_head():
            return self._is_hopeless()
        if self._next_chunk is not None:
            return self._is_chunked_enough()
        return self._ends_at is None or len(self.data) >= self._ends_at

    def _is_hopeless(self) -> bool:
        """A bare line feed ends no line: such a head never ends."""
        return self.data.count(b"\n") != self.data.count(b"\r\n")

    def _find_head(self) -> bool:
        # One empty line may stand before the request, and is not the end of its head.
        begin = 2 if self.data.startswith(b"\r\n") else 0
        found = self.data.find(_HEAD_END, max(begin, self._seen - 3))
        self._seen = len(self.data)
        if found < 0:
            return False
        self._body_at = found + len(_HEAD_END)
        self._read_head(bytes(self.data[begin:found]), self._body_at)
        return True

    def _read_head(self, head: bytes, body_at: int) -> None:
        fields = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
        named = [(name.lower(), value.strip(b" \t").lower()) for name, _, value in fields]
        lengths = [value for name, value in named if name == b"content-length"]
        codings = [value for name, value in named if name == b"transfer-encoding"]
        if codings == [b"chunked"] and not lengths:
            self._next_chunk = body_at
        elif len(lengths) == 1 and lengths[0].isdigit() and not codings and int(lengths[0][:20]) <= MAX_BYTES:
            self._ends_at = body_at + int(lengths[0])
        waits = self._next_chunk is not None or (self._ends_at is not None and self._ends_at > body_at)
        self.expects_continue = waits and (b"expect", b"100-continue") in named

    def _is_chunked_enough(self) -> bool:
        assert self._body_at is not None
        assert self._next_chunk is not None
        if len(self.data) - self._body_at > MAX_RAW_BODY:
            return True
        while self._next_chunk < len(self.data):
            line_end = self.data.find(b"\r\n", self._next_chunk, self._next_chunk + LONGEST_CHUNK_LINE)
            if line_end < 0:
                return len(self.data) - self._next_chunk >= LONGEST_CHUNK_LINE or b"\n" in self.data[self._next_chunk :]
            size = _CHUNK_SIZE.fullmatch(self.data, self._next_chunk, line_end)
            if size is None:
                return True
            if int(size[1], 16) == 0:
                return self._trailer_has_ended(line_end)
            data_end = line_end + 2 + int(size[1], 16)
            if len(self.data) >= data_end + 2 and self.data[data_end : data_end + 2] != b"\r\n":
                return True
            self._next_chunk = data_end + 2
        return False

    def _trailer_has_ended(self, line_end: int) -> bool:
        """`line_end`: where the line of the last chunk, of size 0, ends."""
        return self.data.find(_HEAD_END, line_end) >= 0 or len(self.data) - line_end > MAX_HEAD
