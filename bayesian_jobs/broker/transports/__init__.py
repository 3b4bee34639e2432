"""Redis and RabbitMQ, through Dramatiq's own brokers: they carry doorbells to the workers.

A doorbell is a tiny message that says which run is queued. It may be lost, and it may come twice: the run row is the
truth, and is told of again until the run has started.
"""

from bayesian_jobs.broker.transports.transport import Transport
from bayesian_jobs.errors import SettingsError
from bayesian_jobs.urls import BROKERS, url_of, without_password

__all__ = ["Transport", "make_transport"]


def make_transport(broker_url: str) -> Transport:
    """Connects to nothing yet. Raises SettingsError when its library is missing, or refuses the URL."""
    url = url_of(broker_url)
    kind = BROKERS[url.drivername] if url else ""
    try:
        match kind:
            case "Redis":
                from bayesian_jobs.broker.transports.redis import RedisTransport

                return RedisTransport(broker_url)
            case "RabbitMQ":
                from bayesian_jobs.broker.transports.rabbitmq import RabbitmqTransport

                return RabbitmqTransport(broker_url)
            case _:
                raise ValueError("no such kind of broker")
    except ImportError as error:
        extra = f"bayesian-jobs[{kind.lower()}]"
        raise SettingsError(
            "BROKER_URL", without_password(broker_url), f"needs a library that is missing: pip install '{extra}'"
        ) from error
    except ValueError as error:
        reason = f"the client of {kind} refuses it: {error}"
        raise SettingsError("BROKER_URL", without_password(broker_url), reason) from error
