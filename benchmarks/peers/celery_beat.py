# /// script
# dependencies = [
#   "celery[redis]==5.7.0", "django-celery-beat==2.9.0", "django==5.2.19", "kombu==5.7.0", "redis==8.1.0",
#   "psycopg[binary]==3.3.9",
# ]
# ///
"""Celery beat with its database scheduler, django-celery-beat: entries in PostgreSQL, messages to Redis.

Of the two database schedulers for beat this is the one that Celery's own documentation names and its authors keep.
https://docs.celeryq.dev/en/stable/userguide/periodic-tasks.html#using-custom-scheduler-classes
https://django-celery-beat.readthedocs.io/en/latest/

Beat sends a message for each due entry and keeps in memory when that was, to be written every three minutes: a beat
that dies forgets it, and sends them again. Measured from the first message in Redis to the last one; reading the
entries is not counted. No worker takes the messages.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import django
import redis
from celery import Celery
from django.conf import settings

from benchmarks.peers import errand

ASKED = errand.received()
ADDRESS = urlsplit(ASKED.database)
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": ADDRESS.path[1:],
            "USER": ADDRESS.username,
            "HOST": parse_qs(ADDRESS.query)["host"][0],
            "PORT": parse_qs(ADDRESS.query)["port"][0],
        }
    },
    INSTALLED_APPS=["django_celery_beat"],
    USE_TZ=True,
    CELERY_BEAT_SCHEDULER="django_celery_beat.schedulers:DatabaseScheduler",
)
django.setup()
APP = Celery("peer", broker=ASKED.service)
APP.conf.update(beat_scheduler=settings.CELERY_BEAT_SCHEDULER, timezone="UTC")


@APP.task(name="nothing", ignore_result=True)
def nothing() -> None:
    return


def main() -> None:
    from django.core.management import call_command
    from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

    call_command("migrate", verbosity=0)
    client = redis.Redis.from_url(ASKED.service)
    client.flushall()
    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    last = datetime.now(UTC) - timedelta(hours=2)
    PeriodicTask.objects.all().delete()
    PeriodicTask.objects.bulk_create(
        PeriodicTask(name=str(each), task="nothing", interval=hourly, last_run_at=last) for each in range(ASKED.number)
    )
    PeriodicTasks.update_changed()

    def sent() -> int:
        return client.llen("celery")

    pid_file = Path(ASKED.directory) / "beat.pid"
    with errand.running("celery", f"--app={__spec__.name}.APP", "beat", f"--pidfile={pid_file}"):
        seconds = errand.seconds_between(lambda: sent() > 0, lambda: sent() >= ASKED.number)
    errand.answer(done=sent(), seconds=seconds)


if __name__ == "__main__":
    main()
