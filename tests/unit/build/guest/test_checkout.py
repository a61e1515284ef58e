"""Claims about the disk of the checkout:

- what the guest is told survives any quoting, and pytest gets its arguments as they were typed
- sources go along as they lie here, histories, environments and caches do not
- the environment's packages are a link to the system's disk
"""

import subprocess
from pathlib import Path

import pytest

from build.guest import checkout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "it's a checkout"
    for name in ("kernel/netlink/handle.py", ".git/HEAD", ".venv/pyvenv.cfg", ".guest/system.ext4", ".mypy_cache/x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_the_arguments_arrive_as_they_were_typed(root: Path) -> None:
    told = checkout.start(root, ["tests/guest", "-k", "a or 'b'"], 100, colour=False)
    shell = told + 'printf "%s\\n" "$checkout" "$color" "$COLUMNS" "$@"'

    said = subprocess.run(["/bin/sh", "-eu", "-c", shell], check=True, capture_output=True, text=True).stdout

    assert said.splitlines() == [str(root), "no", "100", "tests/guest", "-k", "a or 'b'"]


def test_sources_go_along_and_caches_do_not(root: Path, tmp_path: Path) -> None:
    site = root / ".venv/lib/python3.11/site-packages"

    checkout.stage(root, tmp_path / "tree", site)

    found = {str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*") if not path.is_dir()}
    linked = {".venv/bin/python", ".venv/lib/python3.11/site-packages"}
    assert found == {"kernel/netlink/handle.py", ".venv/pyvenv.cfg", *linked}


def test_packages_are_a_link_to_the_systems_disk(root: Path, tmp_path: Path) -> None:
    site = root / ".venv/lib/python3.11/site-packages"

    checkout.stage(root, tmp_path / "tree", site)

    assert (tmp_path / "tree" / site.relative_to(root)).readlink() == Path("/guest/site-packages")
