"""The program host-local.

Claims: it loads the verbs only when one is asked for; its verbs are all five of the specification.
"""

import subprocess
import sys

from ipam.host_local import PROGRAM


def test_verbs_are_all_five() -> None:
    assert PROGRAM.name == "host-local"
    assert set(PROGRAM.load()) == {"ADD", "CHECK", "DEL", "STATUS", "GC"}


def test_importing_the_program_loads_nothing_heavy() -> None:
    heavy = {"json", "ipaddress", "dataclasses", "enum", "typing", "ipam.plugin", "lease.file"}
    code = f"import sys; sys.path.insert(0, '.'); import ipam.host_local; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_verbs_load_no_foreign_and_no_heavy_module() -> None:
    heavy = {"asyncio", "logging", "pathlib", "subprocess", "typing", "pyroute2", "socket", "tempfile"}
    code = (
        "import sys; sys.path.insert(0, '.'); from ipam.host_local import PROGRAM; PROGRAM.load(); from cni import dispatch;"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
