"""Claims about the chained programs on file systems that take no writes, each mounted for the test in private namespaces.

* portmap's memory only makes things nicer: on a read-only and on a full disk ADD publishes and says on stderr what it lacks, CHECK, DEL
  without mappings and GC finish, and nothing is left in the kernel or, half written, on the disk.
* tuning sets parameters all the same; properties, which DEL has to put back, and flannel's state are refused with path and remedy.
* DEL of what was added before the disk stopped taking writes finishes.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.disks import Disk

MAPPINGS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "sandbox": "/x"}],
    "ips": [{"address": "10.9.0.2/24", "interface": 0}, {"address": "fd00:9::2/64", "interface": 0}],
}
LEASE = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"
REMEDIES = {"read-only": "mount it read-write", "full": "df -i"}


class Programs(Disk):
    """A disk and a network of their own, and programs that remember things below its folder."""

    said = ""

    def ask(self, verb: str, program: str, **keys: Any) -> dict[str, Any]:
        """Return a program's document, an empty one when it printed none; `said` is what it wrote on stderr."""
        config = {"cniVersion": "1.1.0", "name": "net", "type": program, "dataDir": f"{self.folder}/state", **keys}
        names = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS_OVERRIDE": "1"}
        paths = {"CNI_NETNS": f"/proc/{self.holder.pid}/ns/net", "CNI_PATH": str(self.folder)}
        told = self.run(
            *(sys.executable, "-m", "build.entry", program),
            check=False,
            env={**os.environ, **names, **paths},
            input=json.dumps(config),
        )
        self.said = told.stderr
        document: dict[str, Any] = json.loads(told.stdout or "{}")
        return document

    def break_it(self, how: str) -> None:
        if how == "full":
            self.fill()
        else:
            self.make_read_only()

    def left(self) -> list[str]:
        """What names the container: rules of portmap, files of any state."""
        rules = (
            self.run("iptables-save").stdout
            + self.run("ip6tables-save").stdout
            + self.run("nft", "list", "ruleset").stdout
        )
        files = self.run("find", f"{self.folder}/state", "-type", "f", check=False).stdout.split()
        return [line for line in rules.splitlines() if "10.9.0.2" in line or "fd00:9::2" in line] + files


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path, network=True)
    yield made
    made.close()


@pytest.mark.parametrize("how", ["read-only", "full"])
@pytest.mark.parametrize("backend", ["iptables", "nftables"])
@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_portmap_needs_no_disk(disk: Programs, how: str, backend: str, verb: str) -> None:
    disk.break_it(how)
    keys: dict[str, Any] = {"backend": backend, "prevResult": RESULT}
    assert "ips" in disk.ask("ADD", "portmap", runtimeConfig=MAPPINGS, **keys)
    assert f"portmap's memory {disk.folder}/state" in disk.said
    assert disk.ask("CHECK", "portmap", runtimeConfig=MAPPINGS, **keys) == {}
    assert disk.left()
    nobody: dict[str, Any] = {"cni.dev/valid-attachments": []}
    mappings = MAPPINGS if how == "full" else {}
    ended = disk.ask("GC", "portmap", **nobody) if verb == "GC" else disk.ask("DEL", "portmap", runtimeConfig=mappings)
    assert (ended, disk.left()) == ({}, [])


@pytest.mark.parametrize("how", ["read-only", "full"])
def test_portmap_takes_away_what_it_published_before(disk: Programs, how: str) -> None:
    assert "ips" in disk.ask("ADD", "portmap", runtimeConfig=MAPPINGS, prevResult=RESULT)
    disk.break_it(how)
    assert disk.ask("DEL", "portmap") == {}
    assert not any("10.9.0.2" in line for line in disk.left())
    if how == "read-only":
        assert "it stays" in disk.said
        disk.make_writable()
        assert disk.ask("DEL", "portmap") == {}
    assert disk.left() == []


@pytest.mark.parametrize("how", ["read-only", "full"])
def test_tuning_sets_parameters_and_refuses_what_del_has_to_put_back(disk: Programs, how: str) -> None:
    disk.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "veth0")
    disk.run("mkdir", f"{disk.folder}/state")
    disk.break_it(how)
    keys: dict[str, Any] = {"sysctl": {"net.ipv4.ip_local_port_range": "4000 5000"}, "prevResult": RESULT}
    assert "ips" in disk.ask("ADD", "tuning", **keys)
    assert "will not put the parameters back" in disk.said
    assert [disk.ask(verb, "tuning", **keys) for verb in ("CHECK", "DEL")] == [{}, {}]
    refused = disk.ask("ADD", "tuning", mtu=1300, **keys)
    assert (refused["code"], f"{disk.folder}/state/" in refused["msg"], REMEDIES[how] in refused["remedy"]) == (
        5,
        True,
        True,
    )
    assert "mtu 1500" in disk.run("ip", "link", "show", "eth0").stdout
    assert disk.left() == []


def test_tuning_finishes_where_the_file_cannot_be_removed(disk: Programs) -> None:
    disk.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "veth0")
    assert "ips" in disk.ask("ADD", "tuning", mtu=1300, prevResult=RESULT)
    disk.make_read_only()
    assert disk.ask("DEL", "tuning") == {}
    assert "mtu 1500" in disk.run("ip", "link", "show", "eth0").stdout
    assert f"{disk.folder}/state/c1_eth0.json" in disk.said


@pytest.mark.parametrize("how", ["read-only", "full"])
def test_flannels_state_is_refused_with_path_and_remedy(disk: Programs, how: str) -> None:
    delegate = f"{disk.folder}/probe"
    disk.run(
        "sh",
        "-c",
        f"printf '%s' '{LEASE}' > {disk.folder}/lease; printf '#!/bin/sh\\ncat >/dev/null; echo {{}}' > {delegate}; chmod +x {delegate}",
    )
    keys: dict[str, Any] = {"subnetFile": f"{disk.folder}/lease", "delegate": {"type": "probe"}}
    disk.run("mkdir", f"{disk.folder}/state")
    disk.break_it(how)
    refused = disk.ask("ADD", "flannel", **keys)
    assert (refused["code"], f"{disk.folder}/state/" in refused["msg"], REMEDIES[how] in refused["remedy"]) == (
        5,
        True,
        True,
    )
    assert (disk.ask("DEL", "flannel", **keys), disk.left()) == ({}, [])
