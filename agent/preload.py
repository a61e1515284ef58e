"""Imports everything that any request may need before the first one comes: no module is loaded later.

If the directory of programs were replaced while the process runs, its next import would fail.
"""

import gc
import importlib
import io

from agent.catalogue import PROGRAMS

LAZY = (
    "cni.dispatch",
    "ctypes",
    "kernel.remedies",
    "meta.firewall.dbus",
    "traceback",
)
"""What the programs import only when it is needed, lest a cold start pay for it."""


def import_everything() -> None:
    """Load the verbs of every program and what they load in turn; then set all of it apart from garbage collection."""
    for program in PROGRAMS.values():
        program.load()
    for name in LAZY:
        importlib.import_module(name)
    io.TextIOWrapper(io.BytesIO(), "ascii").write("the codecs load with the first use")
    gc.collect()
    gc.freeze()
