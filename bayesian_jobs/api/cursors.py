"""Cursors of keyset paging: opaque to clients, checked when they come back."""

import base64
import json
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from bayesian_jobs.domain.job import LONGEST_JOB_ID
from bayesian_jobs.errors import Fault, InvalidOptions

# A character takes four bytes of UTF-8, or six as an escape of JSON; a quarter of the length of a request line.
_LONGEST_DOCUMENT: Final = len('["job", ""]') + 6 * LONGEST_JOB_ID
MAX_LENGTH: Final = 4 * (_LONGEST_DOCUMENT // 3 + 1)
_YEARS: Final = range(1970, 9001)


def job_cursor(job_id: str) -> str:
    """The cursor of the page that begins after this job."""
    return _encode(["job", job_id])


def run_cursor(scheduled_for: datetime, run_id: str) -> str:
    """The cursor of the page that begins after this run."""
    return _encode(["run", scheduled_for.isoformat(), run_id])


def read_job_cursor(cursor: str) -> str:
    """The last job_id of the page before: any that the database can hold. Raises InvalidOptions."""
    match _decode(cursor):
        case ["job", str(job_id)] if _is_comparable(job_id):
            return job_id
    raise _invalid(cursor)


def read_run_cursor(cursor: str) -> tuple[datetime, str]:
    """Fire time (in UTC) and run_id of the last run of the page before. Raises InvalidOptions."""
    match _decode(cursor):
        case ["run", str(scheduled_for), str(run_id)]:
            try:
                moment = datetime.fromisoformat(scheduled_for)
                identity = str(UUID(run_id))
            except ValueError as error:
                raise _invalid(cursor) from error
            if moment.tzinfo is not None and moment.year in _YEARS:
                return moment.astimezone(UTC), identity
    raise _invalid(cursor)


def entry_cursor(entry_no: int) -> str:
    """The cursor of the page that begins after this entry of the audit log."""
    return _encode(["entry", str(entry_no)])


def read_entry_cursor(cursor: str) -> int:
    """The number of the last entry of the page before. Raises InvalidOptions."""
    match _decode(cursor):
        case ["entry", str(number)] if number.isascii() and number.isdigit() and len(number) < 19:
            return int(number)
    raise _invalid(cursor)


def _is_comparable(job_id: str) -> bool:
    """Whether the database can compare it with its job_ids, which need not be printable."""
    if not 1 <= len(job_id) <= LONGEST_JOB_ID:
        return False
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in job_id)


def _encode(parts: list[str]) -> str:
    document = json.dumps(parts, ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(document).decode().rstrip("=")


def _decode(cursor: str) -> object:
    if len(cursor) > MAX_LENGTH:
        raise _invalid(cursor)
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, RecursionError) as error:
        raise _invalid(cursor) from error


def _invalid(cursor: str) -> InvalidOptions:
    return InvalidOptions([Fault("after", cursor, "is not a cursor that `next` of this list has given")])
