"""Claims: the program firewall loads its verbs only when one is asked for; it has all five, and no packet library on the way."""

import subprocess
import sys

from meta.firewall.program import PROGRAM


def loaded(code: str, heavy: set[str]) -> str:
    words = f"import sys; sys.path.insert(0, '.'); {code}; print(sorted({heavy!r} & set(sys.modules)))"
    return subprocess.run(
        [sys.executable, "-IS", "-c", words], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_verbs_are_all_five() -> None:
    assert (PROGRAM.name, set(PROGRAM.load())) == ("firewall", {"ADD", "CHECK", "DEL", "STATUS", "GC"})


def test_importing_the_program_loads_nothing_heavy() -> None:
    heavy = {"json", "ipaddress", "dataclasses", "enum", "typing", "meta.firewall.plugin", "kernel"}
    assert loaded("import meta.firewall.program", heavy) == "[]"


def test_the_verbs_load_no_packet_library() -> None:
    heavy = {"asyncio", "jeepney", "logging", "pathlib", "subprocess", "pyroute2", "tempfile"}
    assert loaded("from meta.firewall.program import PROGRAM; PROGRAM.load(); from cni import dispatch", heavy) == "[]"
