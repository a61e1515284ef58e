"""The program loopback.

Claims: it has the reference's three verbs and speaks all seven versions; importing it loads nothing heavy.
"""

import subprocess
import sys

from cni.versions import SUPPORTED
from main.loopback.program import PROGRAM


def test_verbs_are_the_references() -> None:
    assert PROGRAM.name == "loopback"
    assert set(PROGRAM.load()) == {"ADD", "CHECK", "DEL"}
    assert PROGRAM.versions == SUPPORTED


def test_importing_the_program_loads_nothing_heavy() -> None:
    heavy = {"json", "ipaddress", "dataclasses", "enum", "typing", "main.loopback.plugin", "pyroute2"}
    code = f"import sys; sys.path.insert(0, '.'); import main.loopback.program; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
