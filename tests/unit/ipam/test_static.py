"""The program static.

Claims: it has the reference's verbs and STATUS, speaks all seven versions, and loads the verbs only when one is asked for.
"""

import subprocess
import sys

from cni.versions import SUPPORTED
from ipam.static import PROGRAM


def test_verbs_are_the_references_and_status() -> None:
    assert PROGRAM.name == "static"
    assert set(PROGRAM.load()) == {"ADD", "CHECK", "STATUS"}
    assert PROGRAM.versions == SUPPORTED


def test_importing_the_program_loads_nothing_heavy() -> None:
    heavy = {"json", "ipaddress", "dataclasses", "enum", "typing", "ipam.static_addresses"}
    code = f"import sys; sys.path.insert(0, '.'); import ipam.static; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_verbs_load_no_foreign_and_no_heavy_module() -> None:
    heavy = {"asyncio", "logging", "pathlib", "subprocess", "typing", "pyroute2", "socket", "ipam.disk", "lease.file"}
    code = (
        "import sys; sys.path.insert(0, '.'); from ipam.static import PROGRAM; PROGRAM.load(); from cni import dispatch;"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
