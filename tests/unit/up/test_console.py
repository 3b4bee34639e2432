"""The one log of all processes."""

import io

from bayesian_jobs.up import console as consoles
from bayesian_jobs.up.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_names_are_padded_to_one_width():
    stream = io.StringIO()
    console = Console(stream)
    console.line("scheduler", "ticking")
    console.say("ready")
    assert stream.getvalue() == "scheduler | ticking\nup        | ready\n"


def test_control_characters_of_a_process_do_not_reach_the_terminal():
    stream = io.StringIO()
    Console(stream).line("worker", "a\x1b[2Jb\rc\td\x9be")
    assert stream.getvalue() == "worker    | a\ufffd[2Jb\ufffdc\td\ufffde\n"


def test_colour_is_used_on_a_terminal_that_wants_it_only(monkeypatch):
    for environ, stream, coloured in (
        ({}, Terminal(), True),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"TERM": "dumb"}, Terminal(), False),
        ({}, io.StringIO(), False),
    ):
        monkeypatch.setattr("sys.stdout", stream)
        consoles.on_stdout(environ).say("hello")
        assert ("\x1b[" in stream.getvalue()) is coloured, environ


def test_a_console_that_nobody_reads_says_so_instead_of_raising():
    console = Console(Broken())
    assert not console.broken
    console.say("hello")
    assert console.broken
    console.say("dropped")
