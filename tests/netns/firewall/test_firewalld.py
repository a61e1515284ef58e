"""Claims about the backend firewalld beside the real firewalld, on a bus and in namespaces of the test's own.

* ADD has firewalld send a container's packets to the zone's rules, in both families; CHECK agrees; DEL leaves no rule of it.
* After a reload, which forgets it, CHECK names both sources, and another ADD binds them again.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel import netns
from meta.firewall import zones
from tests.lab.dbus import message_bus_at
from tests.lab.waiting import until
from tests.lab.world import PATH
from tests.netns.firewall.conftest import Container, Runtime

pytestmark = pytest.mark.skipif(
    shutil.which("firewalld", path=PATH) is None and "CI" not in os.environ,
    reason="firewalld is not installed: make setup FOR=test",
)

# its log and its state stay in a mount namespace of its own
ALONE = "mount -t tmpfs none /var/log && mount -t tmpfs none /run && exec firewalld --nofork --nopid"


@pytest.fixture
def firewalld(runtime: Runtime, tmp_path: Path) -> Iterator[Runtime]:
    with message_bus_at(tmp_path) as address:
        environ = {"PATH": PATH, "DBUS_SYSTEM_BUS_ADDRESS": address}
        with netns.inside(runtime.host.namespace):
            daemon = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", ALONE],
                env=environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        with daemon:
            try:
                until(lambda: zones.runs(address), "firewalld answers", within=30)
                runtime.environ |= environ
                runtime.config["backend"] = "firewalld"
                yield runtime
            finally:
                daemon.terminate()


def chains(runtime: Runtime, container: Container) -> set[str]:
    """Return the rules of firewalld that name the container."""
    listed = runtime.host.run("nft", "list", "ruleset").splitlines()
    return {line.strip() for line in listed if container.four in line or container.six in line}


def test_the_containers_packets_go_to_the_zones_rules(firewalld: Runtime) -> None:
    container = firewalld.container()
    firewalld.add(container)
    assert {
        f"ip saddr {container.four} goto filter_FWD_trusted",
        f"ip6 saddr {container.six} goto filter_FWD_trusted",
    } <= chains(firewalld, container)
    assert firewalld.call("CHECK", container) == {}
    assert firewalld.call("DEL", container) == {}
    assert chains(firewalld, container) == set()


def test_a_reload_is_noticed_and_another_add_mends_it(firewalld: Runtime) -> None:
    container = firewalld.container()
    firewalld.add(container)
    reload = ("dbus-send", f"--bus={firewalld.environ['DBUS_SYSTEM_BUS_ADDRESS']}", "--print-reply")
    firewalld.host.run(*reload, f"--dest={zones.NAME}", zones.ZONES[1], f"{zones.NAME}.reload")
    answer = firewalld.call("CHECK", container)
    assert (answer["code"], answer["msg"].count("in firewalld's zone trusted")) == (102, 2)
    firewalld.add(container)
    assert firewalld.call("CHECK", container) == {}
