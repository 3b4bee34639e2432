# /// script
# dependencies = ["dramatiq[rabbitmq]==2.2.1", "pika==1.4.4"]
# ///
"""Dramatiq on RabbitMQ, the broker that its documentation recommends.

https://dramatiq.io/guide.html and https://dramatiq.io/reference.html#dramatiq.brokers.rabbitmq.RabbitmqBroker

Queues are durable and messages persistent, as Dramatiq declares them; what is acknowledged is gone, and an
acknowledgement waits for no disk. RabbitMQ tells only how many messages nobody has taken yet: measured until there is
none, when those that the threads have before them (two each at most) are still to be done; whether they were, is seen
when the worker is gone.
"""

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.peers import dramatiq_workers, errand

ASKED = errand.received()
dramatiq.set_broker(RabbitmqBroker(url=ASKED.service))
NOTHING = dramatiq.actor(dramatiq_workers.nothing)


def main() -> None:
    connection = pika.BlockingConnection(pika.URLParameters(ASKED.service))
    channel = connection.channel()

    def left() -> int:
        return channel.queue_declare("default", passive=True).method.message_count

    for _ in range(ASKED.number):
        NOTHING.send()
    errand.wait_until(lambda: left() == ASKED.number, every=0.02)
    seconds = dramatiq_workers.execute(__spec__.name, lambda: left() < ASKED.number, lambda: left() == 0)
    errand.answer(done=ASKED.number - left(), seconds=seconds)
    connection.close()


if __name__ == "__main__":
    main()
