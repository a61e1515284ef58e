"""Claims: the program flannel loads its verbs only when one is asked for, then nothing heavy; it has all five."""

import subprocess
import sys

from meta.flannel.program import PROGRAM


def loaded(code: str, heavy: set[str]) -> str:
    words = f"import sys; sys.path.insert(0, '.'); {code}; print(sorted({heavy!r} & set(sys.modules)))"
    return subprocess.run(
        [sys.executable, "-IS", "-c", words], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_verbs_are_all_five() -> None:
    assert (PROGRAM.name, set(PROGRAM.load())) == ("flannel", {"ADD", "CHECK", "DEL", "STATUS", "GC"})


def test_importing_the_program_loads_nothing_heavy() -> None:
    heavy = {"json", "ipaddress", "dataclasses", "enum", "typing", "meta.flannel.plugin", "lease.file"}
    assert loaded("import meta.flannel.program", heavy) == "[]"


def test_the_verbs_load_no_foreign_and_no_heavy_module() -> None:
    heavy = {"asyncio", "logging", "pathlib", "subprocess", "typing", "pyroute2", "socket", "tempfile", "kernel"}
    assert loaded("from meta.flannel.program import PROGRAM; PROGRAM.load(); from cni import dispatch", heavy) == "[]"
