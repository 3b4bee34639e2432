"""Pages of a listing: bounded in entries and in bytes, whatever the entries hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from bayesian_jobs.api import media

MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
CHUNK_ROWS: Final = 50
"""How many rows are in memory at once; a row holds a request's body at most, or a traceback."""

Row = Mapping[str, Any]
Position = TypeVar("Position")


def rows(
    read: Callable[[int, Position | None], Sequence[Row]],
    position: Callable[[Row], Position],
    after: Position | None,
    count: int,
) -> Iterator[Row]:
    """The first `count` rows after a position, read chunk by chunk and only as far as they are asked for.

    `read` takes how many rows to read, and after which position; no connection is held between two chunks.
    """
    while count > 0:
        wanted = min(count, CHUNK_ROWS)
        found = read(wanted, after)
        yield from found
        if len(found) < wanted:
            return
        after = position(found[-1])
        count -= wanted


def encode(
    name: str,
    found: Iterator[Row],
    limit: int,
    describe: Callable[[Row], dict[str, Any]],
    cursor: Callable[[Row], str],
) -> bytes:
    """The JSON of a page of at most `limit` entries and, unless its only entry is larger, MAX_PAGE_BYTES.

    `found` yields one row more than `limit` if there are more.
    """
    entries: list[bytes] = []
    size = 0
    last: Row = {}
    following = None
    for row in found:
        entry = media.encode(describe(row))
        size += len(entry)
        if entries and (len(entries) == limit or size > MAX_PAGE_BYTES):
            following = cursor(last)
            break
        entries.append(entry)
        last = row
    frame = media.encode({f"{name}_count": len(entries), "next": following})
    return b'{"%s":[%s],%s' % (name.encode(), b",".join(entries), frame[1:])
