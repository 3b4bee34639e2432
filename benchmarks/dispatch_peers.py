"""Due jobs turned into what will be executed: by one scheduler of this project, and by other schedulers."""

from benchmarks import dispatch, fill
from benchmarks.beside import Company, Peer
from benchmarks.harness import Server, database
from benchmarks.report import Table
from benchmarks.services import Services

TITLE = "dispatch-peers: jobs due at one instant, on intervals, through one scheduler process"
REPETITIONS = 3
PRELOAD = ""

OURS = "bayesian-jobs"
PEERS = (
    Peer(name="APScheduler 3", script="apscheduler3", number=2_000),
    Peer(name="APScheduler 4.0.0a6", script="apscheduler4", number=1_000),
    Peer(
        name="Celery beat, django-celery-beat",
        script="celery_beat",
        number=500,
        service="redis",
    ),
)


def measure(server: Server, repetitions: int) -> Table:
    table = Table()
    with Services(server.directory) as services:
        company = Company(PEERS, server, services, table)
        for _ in range(repetitions):
            with database(server) as bench:
                fill.due_jobs(bench, dispatch.JOBS)
                table.note(OURS, "jobs/s", dispatch.scheduler(bench))
            for peer, answer in company.answers("dispatch"):
                table.note(peer.name, "jobs/s", peer.number / answer["seconds"])
    for peer in company.present:
        table.ratio(OURS, peer.name)
    return table
