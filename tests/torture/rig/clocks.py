"""Wall clocks that the rig can shift while their processes run."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shim:
    """The library that a process preloads so that its clock can be shifted. None was built where there is no cc."""

    library: Path | None

    @classmethod
    def build(cls, place: Path) -> "Shim":
        compiler = shutil.which("cc")
        if compiler is None:
            return cls(None)
        library = place / "clock_shim.so"
        source = Path(__file__).with_name("clock_shim.c")
        command = [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"]
        subprocess.run(command, check=True)
        library.chmod(0o755)
        return cls(library)

    def clock(self, path: Path) -> "Clock":
        path.write_bytes(bytes(8))
        path.chmod(0o644)
        return Clock(self.library, path)


@dataclass(frozen=True, slots=True)
class Clock:
    """The wall clock of one process and its children."""

    library: Path | None
    path: Path

    @property
    def environment(self) -> dict[str, str]:
        if self.library is None:
            return {}
        return {"LD_PRELOAD": str(self.library), "CLOCK_OFFSET_FILE": str(self.path)}

    def shift(self, seconds: float) -> None:
        """Let it be `seconds` ahead of the machine's, or behind it."""
        with self.path.open("r+b") as file:
            file.write(int(seconds * SECOND).to_bytes(8, "little", signed=True))
