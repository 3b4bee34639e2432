# /// script
# dependencies = ["dramatiq==2.2.1", "dramatiq-postgres==1.4.0", "psycopg[binary]==3.3.9"]
# ///
"""Dramatiq on PostgreSQL by dramatiq-postgres, with its own defaults.

https://github.com/danielgatis/dramatiq-postgres

Messages are claimed in batches and acknowledged one by one, each a transaction. An acknowledgement deletes the message:
nothing tells afterwards that it was there. The messages are written in bulk, as `send` would write them.
"""

import json

import dramatiq
import psycopg
from dramatiq_postgres import PostgresBroker
from dramatiq_postgres.schema import generate_init_sql
from psycopg.types.json import Jsonb

from benchmarks.peers import dramatiq_workers, errand

ASKED = errand.received()
BROKER = PostgresBroker(url=ASKED.database)
dramatiq.set_broker(BROKER)
NOTHING = dramatiq.actor(dramatiq_workers.nothing)
INSERT = "INSERT INTO dramatiq.queue (queue_name, message_id, state, message) VALUES ('default', %s, 'queued', %s)"
BEGUN = "SELECT EXISTS (SELECT FROM dramatiq.queue WHERE state <> 'queued')"
LEFT = "SELECT count(*) FROM dramatiq.queue"


def main() -> None:
    with psycopg.connect(ASKED.database, autocommit=True) as session:
        session.execute(generate_init_sql())
        messages = [NOTHING.message() for _ in range(ASKED.number)]
        with session.transaction(), session.cursor() as cursor:
            cursor.executemany(INSERT, [(each.message_id, Jsonb(json.loads(each.encode()))) for each in messages])
        session.execute("ANALYZE")

        def told(statement: str) -> int:
            row = session.execute(statement).fetchone()
            return row[0] if row else 0

        seconds = dramatiq_workers.execute(__spec__.name, lambda: told(BEGUN), lambda: told(LEFT) == 0)
        errand.answer(done=ASKED.number - told(LEFT), seconds=seconds)


if __name__ == "__main__":
    main()
