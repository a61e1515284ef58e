"""Claims about `make demo` on the built programs:

- it ends with exit code 0 and its promised last line, in less than 30 s
- an interrupted one takes its world with it
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.daemon import ROOT
from tests.lab.waiting import until

DEMO = (sys.executable, "-m", "tests.lab.demo")


def test_every_path_is_reachable_and_nothing_is_left_within_thirty_seconds() -> None:
    started = time.monotonic()
    done = subprocess.run(DEMO, cwd=ROOT, env={}, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"demo: ([0-9]+) of \1 paths reachable, 0 left behind", done.stdout.splitlines()[-1])
    assert time.monotonic() - started < 30


def test_an_interrupted_demo_takes_its_world_with_it() -> None:
    with subprocess.Popen(DEMO, cwd=ROOT, env={}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout is not None
        world = next(line for line in demo.stdout if "tulled on host-a" in line)
        holders = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        demo.terminate()  # a shell that runs this in the background makes SIGINT ignored
        rest = demo.stdout.read()

    assert "leased" in world
    assert rest.splitlines()[-1] == "demo: stopped; its world is gone"
    assert holders
    until(lambda: not any(Path("/proc", pid).exists() for pid in holders), "every process of the world is gone")
