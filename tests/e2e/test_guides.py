"""The guides, followed to the letter: their files and commands are taken from the pages themselves."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HANDLERS = ROOT / "docs/how-to/write-a-handler.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


class Reader:
    """Has the blocks of a page before them, in their order, and a terminal in a directory of their own."""

    def __init__(self, page: Path, up: Any) -> None:
        self.blocks = BLOCK.findall(page.read_text("utf-8"))
        self.up = up
        up.cwd = up.place
        up.settings = {name: up.settings[name] for name in ("JOBS_PORT", "JOBS_DATA_DIR")}

    def take(self, language: str) -> str:
        """The next block, which is of this language; outputs that are only shown are passed over."""
        while (block := self.blocks.pop(0))[0] != language:
            assert block[0] in ("json", "text"), f"not expected here: {block[1]}"
        return block[1]

    def starts(self, commands: str) -> subprocess.Popen[bytes]:
        """The service, in a terminal of its own. `export`s go before it, into the environment of both terminals."""
        *exports, command = commands.splitlines()
        self.up.settings |= dict(re.fullmatch(r"export (\w+)=(\S+)", line).groups() for line in exports)
        name, verb = command.split()
        assert verb == "up"
        self.up.command = [f"{sysconfig.get_path('scripts')}/{name}"]
        return self.up.start_and_wait()

    def types(self, commands: str) -> str:
        """What the commands print; they succeed. The port is that of this test, and nothing else is different."""
        path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
        environ = {"PATH": path, "HOME": str(self.up.place), "LANG": "C.UTF-8", **self.up.settings}
        done = subprocess.run(
            ["bash", "-e", "-c", commands.replace("34000", str(self.up.port))],
            cwd=self.up.place,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done
        return done.stdout

    def sees(self, commands: str, what: str) -> str:
        """Types the commands until their output shows it: the service needs a moment."""
        return self.up.wait_until(lambda: (said := self.types(commands)) and what in said and said, what)


@pytest.fixture
def reader(up) -> Reader:
    return Reader(HANDLERS, up)


def test_the_guide_to_handlers_leads_from_an_empty_file_to_a_run_in_the_history(reader, up):
    (file := up.place / "my_handlers.py").write_text(reader.take("python"))
    reader.types(reader.take("bash"))
    start = reader.take("bash")
    service = reader.starts(start)

    job = json.loads(reader.types(reader.take("bash")))["job"]
    assert (job["job_id"], job["handler"]) == ("tidy-up", "RemoveOldFiles")
    (run,) = json.loads(reader.sees(reader.take("bash"), '"state":"succeeded"'))["runs"]
    assert (run["job_id"], run["actor"], run["attempt"]) == ("tidy-up", "RemoveOldFiles", 1)
    assert run["progress"] == {"done": 1, "total": 1, "text": "old.zip"}
    assert f"job=tidy-up run={run['run_id']} removed 1 files from downloads" in up.log
    assert [each.name for each in (up.place / "downloads").iterdir()] == ["new.zip"]

    assert "weekly" in reader.types(reader.take("bash"))
    refused, shown = json.loads(reader.types(reader.take("bash"))), reader.take("json")
    assert f'"status":{refused["status"]},"detail":{json.dumps(refused["detail"])}' in shown

    file.write_text(f"{file.read_text()}\n\n{reader.take('python')}")
    service.terminate()
    service.wait(30)
    reader.starts(start)
    add, look = reader.take("bash").splitlines()
    reader.types(add)
    reader.sees(look, "succeeded")
    assert reader.take("toml")
    assert not [language for language, _ in reader.blocks if language in ("python", "bash")]
