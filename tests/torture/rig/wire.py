"""What PostgreSQL says over the wire, as far as it tells that something was committed."""

WRITES = {b"INSERT", b"UPDATE", b"DELETE", b"MERGE"}


class Replies:
    """Follows what the server says in one session; for unencrypted sessions.

    A transaction was committed when the server is idle again (ReadyForQuery: I) and has told of a COMMIT; or of a
    statement that may have written, while no transaction was open before: it, or the several of one query, committed
    by themselves.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._idle = True
        self._tags: list[bytes] = []

    def commits_in(self, data: bytes) -> int:
        """How many commits the server tells of in the messages that `data` completes."""
        self._rest += data
        commits = 0
        while len(self._rest) >= 5 and len(self._rest) > (length := int.from_bytes(self._rest[1:5], "big")):
            kind, body = self._rest[:1], self._rest[5 : length + 1]
            self._rest = self._rest[length + 1 :]
            commits += self._hear(kind, body)
        return commits

    def _hear(self, kind: bytes, body: bytes) -> bool:
        if kind == b"C":
            self._tags.append(body.split(b" ")[0].rstrip(b"\0"))
        if kind != b"Z":
            return False
        was_idle, self._idle = self._idle, body == b"I"
        tags, self._tags = self._tags, []
        if not self._idle or b"ROLLBACK" in tags:
            return False
        return b"COMMIT" in tags or (was_idle and wrote(tags))


def wrote(tags: list[bytes]) -> bool:
    """Whether a query that committed by itself may have written. Some prepared statements that write answer SELECT, and
    are sent together with the lock that they need."""
    return not WRITES.isdisjoint(tags) or tags.count(b"SELECT") > 1
