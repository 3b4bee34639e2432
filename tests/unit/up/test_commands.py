"""Which processes the service consists of."""

from bayesian_jobs.settings import Settings
from bayesian_jobs.up import commands


def test_the_service_is_an_api_a_scheduler_and_a_worker():
    assert [command.name for command in commands.service(Settings())] == ["api", "scheduler", "worker"]


def test_actors_of_ones_own_get_a_worker_of_their_own():
    *_, actors = commands.service(Settings(actors=("my.actors", "more.py")))
    assert actors.name == "actors"
    assert actors.arguments[2:] == ("bayesian_jobs", "worker", "--actors", "my.actors", "more.py")


def test_the_configuration_of_gunicorn_is_found():
    assert commands.gunicorn_configuration().is_file()
    assert commands.gunicorn()[-1] == str(commands.gunicorn_configuration())
