# /// script
# dependencies = ["dramatiq[redis]==2.2.1", "redis==8.1.0"]
# ///
"""Dramatiq on Redis.

https://dramatiq.io/guide.html and https://dramatiq.io/reference.html#dramatiq.brokers.redis.RedisBroker

Of a message that was acknowledged nothing is left, unless its actor stores results: then the return value is there for
ten minutes. How durable that is, is Redis's matter: as it comes, it writes a snapshot now and then; with `appendfsync
always` it answers when the write is on the disk, as PostgreSQL does.
https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
"""

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers import dramatiq_workers, errand

ASKED = errand.received()
BROKER = RedisBroker(url=ASKED.service)
RESULTS = ASKED.options.get("results", False)
BACKEND = RedisBackend(url=ASKED.service)
if RESULTS:
    BROKER.add_middleware(Results(backend=BACKEND))
dramatiq.set_broker(BROKER)
OPTIONS = {"store_results": True} if RESULTS else {}
NOTHING = dramatiq.actor(dramatiq_workers.nothing, **OPTIONS)
UNACKNOWLEDGED = "dramatiq:default.msgs"


def main() -> None:
    client = redis.Redis.from_url(ASKED.service)
    client.flushall()
    sent = [NOTHING.send() for _ in range(ASKED.number)]

    def left() -> int:
        return client.hlen(UNACKNOWLEDGED)

    seconds = dramatiq_workers.execute(__spec__.name, lambda: left() < ASKED.number, lambda: left() == 0)
    results = client.exists(*map(BACKEND.build_message_key, sent))
    errand.answer(done=results if RESULTS else ASKED.number - left(), seconds=seconds)


if __name__ == "__main__":
    main()
