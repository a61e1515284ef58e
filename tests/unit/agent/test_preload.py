"""Claim: after everything was imported, loading any program again loads no module, nor does a refusal; what requests need is tested end to end."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from agent import preload
from agent.catalogue import PROGRAMS
preload.import_everything()
before = set(sys.modules)
for program in PROGRAMS.values():
    program.load()
import cni.dispatch, cni.invoke, traceback, ctypes
from kernel.errors import KernelError
assert cni.dispatch.refusal(KernelError(1, "creating bridge br0")).remedy
print(sorted(set(sys.modules) - before), "asyncio" in sys.modules)
"""


def test_nothing_is_left_to_load() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")
