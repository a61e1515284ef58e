"""Claims about the disk of the system, made from this host's packages:

- a package brings what it depends on, and only what is installed
- Python brings its bytecode, manuals stay behind
- a link made by update-alternatives comes along when its program does
- the stamp changes when a package of ours does
"""

import sys
import sysconfig
from pathlib import Path

import pytest

from build.guest import system


def test_a_package_brings_what_it_depends_on() -> None:
    assert {"iproute2", "libc6", "libmnl0"} <= set(system.closure(["iproute2"]))


def test_only_installed_packages_are_named() -> None:
    closed = system.closure(["iproute2"])

    assert len(system.versions(closed)) == len(closed)


def test_python_brings_its_bytecode_and_no_manuals() -> None:
    number = sysconfig.get_python_version()
    found = {str(path) for path in system.files([f"libpython{number}-minimal"])}

    assert f"/usr/lib/python{number}/os.py" in found
    assert f"/usr/lib/python{number}/__pycache__/os.{sys.implementation.cache_tag}.pyc" in found
    assert not [path for path in found if path.startswith("/usr/share/doc/")]


def test_a_link_is_copied_as_a_link_and_a_promise_passed_over(tmp_path: Path) -> None:
    source, tree = tmp_path / "source", tmp_path / "tree"
    source.mkdir()
    (source / "link").symlink_to("target")

    for name in ("link", "absent"):
        system.place(source / name, tree)

    copied = tree / source.relative_to("/")
    assert [path.name for path in copied.iterdir()] == ["link"]
    assert (copied / "link").readlink() == Path("target")


def test_a_chain_of_links_comes_along_when_its_program_does(tmp_path: Path) -> None:
    programs, tree = tmp_path / "bin", tmp_path / "tree"
    programs.mkdir()
    (programs / "nft-variant").write_text("")
    (tmp_path / "choice").symlink_to(programs / "nft-variant")
    (programs / "iptables").symlink_to(tmp_path / "choice")
    (programs / "stranger").symlink_to("/usr/bin/env")
    system.place(programs / "nft-variant", tree)

    assert list(system.alternatives(programs, tree)) == [programs / "iptables", tmp_path / "choice"]


@pytest.mark.parametrize("name", ["pytest-9.dist-info", "newer.py"])
def test_the_stamp_changes_with_a_python_package(tmp_path: Path, name: str) -> None:
    site, kernel = tmp_path / "site", tmp_path / "kernel"
    for folder in (site, kernel / "lib/modules/6.1"):
        folder.mkdir(parents=True)
    before = system.stamp(["libc6"], site, kernel)

    (site / name).touch()

    assert system.stamp(["libc6"], site, kernel) != before
