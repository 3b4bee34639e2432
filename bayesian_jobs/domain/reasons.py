"""Why a fire time had no run, or a run no execution: one sentence each, kept in the ledger."""

from typing import Final

SKIPPED_OVERLAP: Final = "An earlier run of the job was still queued or executing."
SKIPPED_PAUSED: Final = "The job was paused."
SKIPPED_CHANGED: Final = "The job was changed before this fire time had been dispatched."
CANCELLED_PAUSED: Final = "The job was paused while the run was queued."
CANCELLED_DELETED: Final = "The job was deleted while the run was queued."
CANCELLED_INACTIVE: Final = "The job was paused or deleted before the run could start."
CANCELLED_REQUESTED: Final = "Somebody asked for it to be cancelled."
CANCELLED_FLUSHED: Final = "Its queue was flushed."
MISSED_IN_QUEUE: Final = "It waited in its queue for longer than the job's misfire_grace_time allows."
LOST: Final = "Its worker process died."
LOST_TOO_OFTEN: Final = "Its worker process died on every attempt; it is not tried again."
NOT_BEGUN: Final = "It was claimed ahead of its worker's threads, and none of them was free in time."
SHUT_DOWN: Final = "Its worker was shut down before it had ended."
