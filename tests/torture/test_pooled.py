"""Behind a PgBouncer in transaction mode: what is due runs, and what a killed worker held runs again."""

import pytest
from poolers import PGBOUNCER, pgbouncer_at
from sqlalchemy import make_url

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(PGBOUNCER is None, reason="there is no program pgbouncer here (Debian: pgbouncer)"),
]


@pytest.fixture
def pooled_fleet(fleet, database_url, tmp_path):
    with pgbouncer_at(make_url(database_url), tmp_path, "transaction", size=3) as url:
        fleet.settings |= {"DATABASE_URL": url.replace("+psycopg2", ""), "DATABASE_POOLED": "yes"}
        yield fleet
        fleet.stop()


def test_behind_a_pooler_the_run_of_a_killed_worker_is_done_by_another_and_each_once(pooled_fleet):
    fleet = pooled_fleet
    fleet.start_ready("scheduler")
    workers = {worker.pid: worker for worker in (fleet.start_ready("worker"), fleet.start_ready("worker"))}
    fleet.add(1, kwargs='{"seconds": 2}')
    (held,) = fleet.wait_until(lambda: fleet.marks("working"), "the long run is at work")
    fleet.add(20)
    fleet.kill(workers[held.pid])
    fleet.wait_until_all_ended()
    assert [mark.attempt for mark in fleet.marks("end") if mark.run_id == held.run_id] == [2]
    assert fleet.states() == {"succeeded": 21}
    fleet.check_each_effect_once()
