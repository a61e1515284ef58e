"""Compiles the launcher's fuzzer with sanitizers and runs it: `python -m tests.fuzz SECONDS [SEED]` (`make fuzz`)."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from build.launcher import make
from tests.lab import launchers

FUZZER = Path(__file__).parent / "unit" / "build" / "launcher" / "fuzz.c"


def compiled(folder: Path) -> Path:
    """Return the fuzzer: the launcher's files but for its main(), and a model of them."""
    sources = [source for source in make.SOURCES if source.stem != "main"]
    return make.compiled(folder / "fuzz", launchers.FACTS, make.SANITIZED, [*sources, FUZZER])


def main(seconds: str, seed: str = "") -> int:
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([compiled(Path(folder)), seconds, seed or str(time.time_ns())], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
