"""Claims about `make install` and `make uninstall` as a person types them, on a pretend machine of their own:

- after installing, the programs answer where people and runtimes find them, man(1) finds their pages, and `tulle init` writes what `tulle lint` finds right
- after uninstalling, every file and folder is as it was before, but for the runtimes' folders
"""

from collections.abc import Iterator

import pytest

from tests.lab.daemon import ROOT
from tests.lab.world import Place, World

COVERED = ("/usr/local", "/opt", "/etc/cni", "/etc/default", "/var/lib")


@pytest.fixture
def machine() -> Iterator[Place]:
    world = World()
    try:
        place = world.add_host("machine")
        for folder in COVERED:
            place.run("mkdir", "-p", folder)
            place.run("mount", "-t", "tmpfs", "tmpfs", folder)
        place.run("mkdir", "-p", "/etc/cni/net.d", "/usr/local/bin")
        yield place
    finally:
        world.close()


def everything(machine: Place) -> str:
    return machine.run("find", *COVERED, "-printf", r"%p %y %m %l\n")


def test_what_is_installed_answers_and_goes_without_a_trace(machine: Place) -> None:
    before = everything(machine)
    make = ("make", "-s", "-C", str(ROOT), "PREFIX=/usr/local", "CNI_BIN=/opt/cni/bin")

    machine.run(*make, "install", "SYSTEMD=1", within=120)
    assert machine.run("/usr/local/bin/tulle", "--version").startswith("tulle ")
    assert machine.run("man", "-M", "/usr/local/share/man", "-w", "tulled").endswith("/man8/tulled.8.gz\n")
    machine.run("/usr/local/bin/tulle", "init", "nerdctl")
    assert "no mistakes" in machine.run("/usr/local/bin/tulle", "lint", "/etc/cni/net.d/10-tulle.conflist")

    machine.run(*make, "uninstall", within=120)
    assert everything(machine) == before
