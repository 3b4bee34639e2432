# /// script
# dependencies = ["dramatiq==1.18.0", "dramatiq-pg==0.12.0", "psycopg2-binary==2.9.13"]
# ///
"""Dramatiq on PostgreSQL by dramatiq-pg, with its own defaults; it works with Dramatiq 1 only.

https://gitlab.com/dalibo/dramatiq-pg/blob/master/docs/index.rst

A message is claimed and acknowledged one by one, each a transaction; an acknowledged one stays as `done` for a month,
so that an outcome is kept. The messages are written in bulk, as `send` would write them.
"""

import json

import dramatiq
import psycopg2
from dramatiq_pg import PostgresBroker
from dramatiq_pg.schema import generate_init_sql
from psycopg2.extras import Json, execute_values

from benchmarks.peers import dramatiq_workers, errand

ASKED = errand.received()
BROKER = PostgresBroker(url=ASKED.database)
dramatiq.set_broker(BROKER)
NOTHING = dramatiq.actor(dramatiq_workers.nothing)
INSERT = "INSERT INTO dramatiq.queue (queue_name, message_id, state, message) VALUES %s"
BEGUN = "SELECT EXISTS (SELECT FROM dramatiq.queue WHERE state <> 'queued')"
LEFT = "SELECT count(*) FROM dramatiq.queue WHERE state IN ('queued', 'consumed')"
DONE = "SELECT count(*) FROM dramatiq.queue WHERE state = 'done'"


def main() -> None:
    session = psycopg2.connect(ASKED.database)
    session.autocommit = True
    cursor = session.cursor()
    cursor.execute(generate_init_sql())
    messages = [NOTHING.message() for _ in range(ASKED.number)]
    rows = [("default", each.message_id, "queued", Json(json.loads(each.encode()))) for each in messages]
    execute_values(cursor, INSERT, rows)
    cursor.execute("ANALYZE")

    def told(statement: str) -> int:
        cursor.execute(statement)
        return cursor.fetchone()[0]

    seconds = dramatiq_workers.execute(__spec__.name, lambda: told(BEGUN), lambda: told(LEFT) == 0)
    errand.answer(done=told(DONE), seconds=seconds)
    session.close()


if __name__ == "__main__":
    main()
