"""The advisory locks, all in one place so that no two meanings share a key."""

JOBS = 0x6A6F6273  # "jobs"

SERVICE = JOBS + 1
"""Shared: whoever creates or starts runs. Exclusive: whoever pauses the service. When the pause has its lock, no
transaction that still saw the service running is left; so what it answers is obeyed."""

LOCK_SERVICE = f"SELECT pg_advisory_xact_lock_shared({SERVICE}); "
"""Sent in front of a statement that depends on the state of the service: what it sees then stays so until the
transaction ends."""

SENDERS = JOBS + 3
"""Whoever notes which runs are told of through Redis or RabbitMQ. Of two at once the later one, whose snapshot is from
before the other's commit, would lock the same runs once more, only to find them noted; and the workers, told of them
meanwhile, would pass by what is locked."""

LOCK_SENDERS = f"SELECT pg_advisory_xact_lock({SENDERS}); "
"""Sent in front of the statement, so that its snapshot is from when all others have committed."""

PARTITIONS = JOBS + 2
"""Whoever makes or drops partitions."""

PRESENCE = JOBS << 32
"""Plus a process_no: held by the session of that process for as long as it lives."""
