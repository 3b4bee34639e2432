"""Reading YAML strictly: what cannot be meant is told with line and key, all of it at once, and nothing ever hangs."""

import os
import sys
from pathlib import Path

import pytest

from bayesian_jobs.lifecycle.yaml_files import LARGEST_FILE, MOST_FLAWS, UnusableFile, read_yaml

AMBIGUOUS = "is text to some and true or false to others: write true or false, or put it in quotes"
TAGGED = "is not allowed: put in quotes what is to be text"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def flaws(file: Path) -> list[str]:
    with pytest.raises(UnusableFile) as refused:
        read_yaml(file)
    assert {flaw.file for flaw in refused.value.flaws} == {file.name}
    told = [str(flaw) for flaw in refused.value.flaws]
    assert all(line.isprintable() for line in told)
    return told


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-01-01", "2026-01-01"),
        ("a: 2026-01-01 05:00:00", "2026-01-01 05:00:00"),
        ("a: 5:00:00", "5:00:00"),
        ("a: 12:30:45.5", "12:30:45.5"),
        ("a: 010", "010"),
        ("a: 0x1f", "0x1f"),
        ("a: 1_000", "1_000"),
        ("a: .inf", ".inf"),
        ("a: .nan", ".nan"),
        ("a: =", "="),
        ("a: '5'", "5"),
        ("a: y", "y"),
        ("a: 'yes'", "yes"),
        ("a: 5", 5),
        ("a: -0.5", -0.5),
        ("a: 1e3", 1000.0),
        ("a: True", True),
        ("a: false", False),
        ("a: ~", None),
        ("a:", None),
        ("a: &unused [x]", ["x"]),
        ("\ufeffa: 1", 1),
        ("a: 1\r\n", 1),
        ("---\na: 1\n...\n", 1),
    ],
)
def test_a_value_is_what_its_writer_sees(file: Path, text: str, value: object) -> None:
    file.write_text(text)
    found = read_yaml(file).value["a"]
    assert (type(found), found) == (type(value), value)


def test_every_place_has_its_line(file: Path) -> None:
    file.write_text("# first\na: 1\nb:\n  c:\n    - x: 1\n      y: 2\n    - {z: 3}\n")
    document = read_yaml(file)
    places = ("", "a", "b", "b.c", "b.c[0].y", "b.c[1].z")
    assert [document.line_of(place) for place in places] == [2, 2, 3, 4, 6, 7]
    beyond = ("nothing", "b.nothing", "b.c[7]", "b.c[1].z.deeper", "b.c[0].a.b.c", "[", "…")
    assert [document.line_of(place) for place in beyond] == [2, 3, 4, 7, 5, 2, 2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2\nb: {c: 1, c: 2}", ["line 2: the key 'a' stands twice", "line 3: b: the key 'c' stands twice"]),
        ("a: 1\n'a': 2", ["line 2: the key 'a' stands twice"]),
        ("yes: 1", ["line 1: the key 'yes' is not text: put it in quotes"]),
        ("a:\n  ~: y", ["line 2: a: the key '~' is not text: put it in quotes"]),
        ("a:\n  ? [b]\n  : c", ["line 2: a: a key is not text"]),
        ("a: 1\nb: [on]", [f"line 2: b[0]: on: {AMBIGUOUS}"]),
        ("a: NO", [f"line 1: a: NO: {AMBIGUOUS}"]),
        ("a: 1\nb: *a", ["line 2: aliases are not allowed"]),
        ("a: &a {x: 1}\nb: {<<: *a}", ["line 2: aliases are not allowed"]),
        ("a: 1\nb: !!str 5", [f"line 2: the tag 'tag:yaml.org,2002:str' {TAGGED}"]),
        ("!!python/object:os.system {}", [f"line 1: the tag 'tag:yaml.org,2002:python/object:os.system' {TAGGED}"]),
        ("a: !e%1B%0A x", [rf"line 1: the tag '!e\x1b\n' {TAGGED}"]),
        ("a: !!float .nan", [f"line 1: the tag 'tag:yaml.org,2002:float' {TAGGED}"]),
        ("a: 1\nb: " + "9" * 5000, ["line 2: a number of so many digits is not allowed"]),
        ("a: 1\n---\nb: 1", ["line 2: expected a single document in the stream, but found another document"]),
        (
            "a: 1\n\tb: 2",
            [r"line 2: while scanning for the next token, found character '\t' that cannot start any token"],
        ),
        ("a: 1\nb: [", ["line 2: while parsing a flow node, expected the node content, but found '<stream end>'"]),
        ("a: 1\nb: c: d", ["line 2: mapping values are not allowed here"]),
        ("a: 1\nb: \x01", ["line 2: holds the character U+0001, which YAML does not allow"]),
        ("a: " + "[" * 60_000, ["is nested too deeply"]),
        ("- " * 60_000, ["is nested too deeply"]),
        ("x" * (LARGEST_FILE + 1), [f"is larger than {LARGEST_FILE} bytes"]),
    ],
    ids=lambda value: ascii(value[:30]) if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_meant_is_told_with_line_and_key_all_of_it(file: Path, text: str, told: list[str]) -> None:
    file.write_text(text)
    assert flaws(file) == told


def test_a_bomb_of_aliases_is_refused_before_it_goes_off(file: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    file.write_text("\n".join(lines))
    assert flaws(file) == ["line 2: aliases are not allowed"]


def test_of_a_huge_file_no_more_is_read_than_may_be(file: Path) -> None:
    file.touch()
    os.truncate(file, 2**36)
    assert flaws(file) == [f"is larger than {LARGEST_FILE} bytes"]


def test_of_many_flaws_the_first_are_told_and_the_others_counted(file: Path) -> None:
    file.write_text("a: 1\n" * 1000)
    told = flaws(file)
    assert len(told) == MOST_FLAWS + 1
    assert told[-1] == f"and {999 - MOST_FLAWS} more"


@pytest.mark.parametrize(("content", "line"), [(b"\xff\xfea\0", 1), (b"a: 1\nb: \xe4\n", 2), (b"a: \xed\xa0\x80", 1)])
def test_what_is_not_utf_8_is_told_with_its_line(file: Path, content: bytes, line: int) -> None:
    file.write_bytes(content)
    assert flaws(file) == [f"line {line}: is not text in UTF-8"]


@pytest.mark.parametrize("key", ["\x1b[2J", "a\nb", "x" * 1000])
def test_a_hostile_key_stays_one_short_line(file: Path, key: str) -> None:
    escaped = key.replace("\x1b", r"\x1b").replace("\n", r"\n")
    file.write_text(f'"{escaped}": {{a: 1, a: 2}}')
    (told,) = flaws(file)
    assert len(told) < 300


def test_a_directory_a_pipe_and_a_device_are_no_files_and_are_not_waited_for(file: Path) -> None:
    file.mkdir()
    assert flaws(file) == ["cannot be read: Is a directory"]
    file.rmdir()
    for make in (lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero")):
        make()
        assert flaws(file) == ["is not a regular file"]
        file.unlink()


def test_links_that_lead_nowhere_are_told(file: Path) -> None:
    file.symlink_to(file)
    assert flaws(file) == ["cannot be read: Too many levels of symbolic links"]
    file.unlink()
    file.symlink_to("nowhere")
    assert flaws(file) == ["cannot be read: No such file or directory"]


@pytest.mark.skipif(sys.platform != "linux", reason="its own memory is a file on Linux")
def test_a_file_that_cannot_be_read_is_told(file: Path) -> None:
    file.symlink_to("/proc/self/mem")
    assert flaws(file) == ["cannot be read: Input/output error"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(file: Path) -> None:
    file.write_text("a: 1")
    file.chmod(0)
    assert flaws(file) == ["cannot be read: Permission denied"]
