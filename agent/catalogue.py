"""The programs a worker serves, by the name they are started under. Must not know what they do."""

from collections.abc import Callable, Mapping
from pathlib import Path

from catalogue import CNI
from cni.in_process import InProcessPrograms
from cni.program import Program

PROGRAMS: Mapping[str, Program] = {name: program.load() for name, program in CNI.items()}

EXECUTABLES = ("tulle", "launcher")
"""What starts these programs, beside the file that holds the build's number: links in the plugin directory lead to one of them."""


def in_process(folder: Path) -> InProcessPrograms:
    """Return the programs that need no process of their own when one of them delegates to another; made before a request comes."""
    return InProcessPrograms(
        {name: _loader(program) for name, program in PROGRAMS.items()},
        [str(folder / name) for name in EXECUTABLES],
    )


def _loader(program: Program) -> Callable[[], Program]:
    return lambda: program
