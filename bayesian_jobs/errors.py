"""Every error this project raises on purpose, a sentence each.

BayesianJobsError
├── InvalidOptions       one or more options of a request cannot be used; nothing was stored
├── NotFound             JobNotFound, RunNotFound, HandlerNotFound, TokenNotFound
├── InvalidMessage       a Dramatiq message that the database cannot keep
├── NameTaken            JobExists, TokenExists
├── InvalidToken         a request's token entitles to nothing
├── WrongState           a job or run is in a state in which this cannot be done to it
├── KeyReused            an Idempotency-Key was sent with another request before
├── ConditionFailed      a job is not what the request expects it to be
├── HandlerUnusable      a handler class cannot serve as one
├── FlowNotFound         no configured flow has this name
├── TaskNotFound         no task of a flow has this name
├── RequestRefused       a request of a client or a command was refused, or not answered
├── SettingsError        a setting of the process cannot be used
├── ServerTooOld         the PostgreSQL server is older than the service can work on
├── BrokerLost           Redis or RabbitMQ cannot be reached, or refuses; trying again may help
└── EmbeddedPostgresError  the PostgreSQL that starts by itself could not be started
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class BayesianJobsError(Exception):
    """The root of the tree."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one option: which, the value that was given, and why it cannot be used."""

    option: str
    value: object
    reason: str

    def __str__(self) -> str:
        return f"{self.option}: {shortened(self.value)}: {self.reason}"


class InvalidOptions(BayesianJobsError):
    """Options that cannot be used, all of them at once; nothing was stored."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class InvalidValue(ValueError):
    """A value that cannot be read; the caller knows the option's name and makes a Fault of it."""


class NotFound(BayesianJobsError):
    """Nothing has this name."""


class JobNotFound(NotFound):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"No such job with id {shortened(job_id)}")


class RunNotFound(NotFound):
    def __init__(self, run_id: str) -> None:
        super().__init__(f"No such run with id {shortened(run_id)}")


class FlowStartNotFound(NotFound):
    def __init__(self, flow_id: str) -> None:
        super().__init__(f"No start of a flow has the id {shortened(flow_id)}")


class HandlerNotFound(NotFound):
    """No handler has this name or this endpoint."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"No such handler {shortened(name)} (known: {names})")


class HandlerUnusable(BayesianJobsError):
    """A handler class cannot serve as one: which class, which part of it, and why."""

    def __init__(self, handler: str, part: str, reason: str) -> None:
        super().__init__(f"Handler {handler}: {part}: {reason}")


class TokenNotFound(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"No such token {shortened(name)}")


class InvalidMessage(BayesianJobsError):
    def __init__(self, actor: str, reason: str) -> None:
        super().__init__(f"A message for actor {shortened(actor)} cannot be kept: {reason}")


class NameTaken(BayesianJobsError):
    """Something else has this name already."""


class JobExists(NameTaken):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"A job with id {shortened(job_id)} already exists")


class TokenExists(NameTaken):
    def __init__(self, name: str) -> None:
        super().__init__(f"A token of the name {shortened(name)} exists already; revoked ones keep theirs for a while")


class InvalidToken(BayesianJobsError):
    """A token that is unknown, revoked or expired."""


class WrongState(BayesianJobsError):
    """A job or run is in a state in which this cannot be done to it; the text says what would help."""


class ConditionFailed(BayesianJobsError):
    """A job is not, or no longer, what the request expects it to be; nothing was changed."""


class KeyReused(BayesianJobsError):
    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {shortened(key)} was sent with another request before; choose a new one")


class FlowNotFound(BayesianJobsError):
    def __init__(self, flow_name: str, known: Sequence[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"No flow {shortened(flow_name)} is configured (known flows: {names})")


class TaskNotFound(BayesianJobsError):
    def __init__(self, flow_name: str, task_name: str, known: Sequence[str]) -> None:
        flow, task = shortened(flow_name), shortened(task_name)
        super().__init__(f"Flow {flow} has no task {task} (known tasks: {', '.join(known)})")


class RequestRefused(BayesianJobsError):
    """What a client or a command asked for was refused by the API, or nobody answered: then `status`, that of HTTP, is
    None. `errors`: what is wrong with which option, as the API's problem document lists it."""

    def __init__(self, text: str, status: int | None = None, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.errors = tuple(errors)


class SettingsError(BayesianJobsError):
    def __init__(self, setting: str, value: object, reason: str) -> None:
        super().__init__(f"{setting}={shortened(value)}: {reason}")


class ServerTooOld(BayesianJobsError):
    def __init__(self, major: int, oldest: int) -> None:
        super().__init__(f"The server is PostgreSQL {major}, which is too old: upgrade it to {oldest} or later")


class TablesBusy(BayesianJobsError):
    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"For {seconds:.0f} s others have held tables that the migration needs; nothing has changed. Somebody has a"
            " transaction open: pg_stat_activity tells by xact_start which. Migrate again when it has ended"
        )


class BrokerLost(BayesianJobsError):
    """Redis or RabbitMQ cannot be reached, or refuses; trying again may help."""


class EmbeddedPostgresError(BayesianJobsError):
    """The PostgreSQL that starts by itself could not be started; the text says what to do."""


def shortened(value: object, limit: int = 200) -> str:
    """The value as a message may quote it: one line, escaped, cut at `limit` characters."""
    text = ascii(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
