"""The programs a worker serves, by the name they are started under. Must not know what they do."""

from collections.abc import Callable, Mapping
from pathlib import Path

import bridge.program
import ipam.host_local
import ipam.static
import main.loopback.program
import meta.bandwidth.program
import meta.firewall.program
import meta.flannel.program
import meta.portmap.program
import meta.tuning.program
from cni.in_process import InProcessPrograms
from cni.program import Program

PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        bridge.program.PROGRAM,
        meta.bandwidth.program.PROGRAM,
        meta.firewall.program.PROGRAM,
        meta.flannel.program.PROGRAM,
        ipam.host_local.PROGRAM,
        main.loopback.program.PROGRAM,
        meta.portmap.program.PROGRAM,
        ipam.static.PROGRAM,
        meta.tuning.program.PROGRAM,
    )
}

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
