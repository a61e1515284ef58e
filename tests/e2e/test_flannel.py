"""The built flannel, bridge and host-local as a runtime starts them, in private namespaces. Claims:

- one conflist on a host with a lease gives a container an address of the lease, of both families where the lease has them, with
  the lease's MTU and a route to every network; two containers reach each other
- CHECK, STATUS and GC reach bridge and host-local; DEL leaves no link, no claim and no memory, also without the lease and the namespace
- a DEL that failed frees the address when it is repeated
- flannel as its own delegate is refused at once, cold and warm, and the DEL that follows leaves nothing
- two attachments of one container are two memories; with ipam.subnetFile claims stand in the lease's book
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kernel import netns as namespaces
from tests.lab import warm
from tests.netns.spaces import Space

FOUR = "FLANNEL_NETWORK=10.42.0.0/16,10.99.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\n"
SIX = "FLANNEL_IPV6_NETWORK=fd00:42::/48\nFLANNEL_IPV6_SUBNET=fd00:42:0:7::1/64\n"
REST = "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


@dataclass
class Host:
    """A private host with the built programs, a lease file and one network whose every file lies below `folder`."""

    space: Space
    programs: Path
    folder: Path
    agent: str = ""

    @property
    def lease(self) -> Path:
        return self.folder / "subnet.env"

    def left(self) -> list[str]:
        """What names an attachment: claims, memories and host ends."""
        files = [*(self.folder / "claims" / "net").glob("[0-9f]*"), *(self.folder / "state").glob("*")]
        veths = [link.alias for link in self.space.network.links() if link.kind == "veth"]
        return sorted([path.name for path in files] + veths)

    def call(self, verb: str, netns: str = "", container: str = "c1", ifname: str = "eth0", **keys: Any) -> Any:
        """Run one verb and return its document, an empty one for none; a refusal carries `code`."""
        document = {
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "flannel",
            "subnetFile": str(self.lease),
            "dataDir": f"{self.folder}/state",
            "ipam": {"dataDir": f"{self.folder}/claims"},
            "delegate": {"bridge": "br0", "isDefaultGateway": True, "hairpinMode": True},
            **keys,
        }
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": ifname}
        environ |= {"CNI_PATH": str(self.programs), "PATH": os.defpath, "TULLE_AGENT": self.agent}
        with namespaces.inside(self.space.namespace):
            child = subprocess.Popen(
                [self.programs / "flannel"],
                env=environ,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        out, _ = child.communicate(json.dumps(document), timeout=60)
        return json.loads(out or "{}")


@pytest.fixture
def make_space() -> Iterator[Callable[[], Space]]:
    if os.geteuid() != 0:
        reason = "needs root (CAP_SYS_ADMIN) to make network namespaces"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with ExitStack() as stack:

        def make() -> Space:
            space = Space("flannel")
            stack.callback(space.close)
            return space

        yield make


@pytest.fixture
def host(make_space: Callable[[], Space], program: Callable[[str], Path], tmp_path: Path) -> Host:
    return Host(make_space(), program("flannel").parent, tmp_path)


@pytest.fixture
def container(make_space: Callable[[], Space]) -> Space:
    return make_space()


def routes(space: Space) -> set[str]:
    return {str(route.dst) for route in space.network.routes() if route.gateway}


@pytest.mark.parametrize(
    ("lease", "addresses", "networks"),
    [
        (FOUR, ["10.42.7.2/24"], {"0.0.0.0/0", "10.42.0.0/16", "10.99.0.0/16"}),
        (SIX, ["fd00:42:0:7::2/64"], {"::/0", "fd00:42::/48"}),
        (
            FOUR + SIX,
            ["10.42.7.2/24", "fd00:42:0:7::2/64"],
            {"0.0.0.0/0", "10.42.0.0/16", "10.99.0.0/16", "::/0", "fd00:42::/48"},
        ),
    ],
    ids=["v4", "v6", "dual stack"],
)
def test_a_life_on_a_lease(host: Host, container: Space, lease: str, addresses: list[str], networks: set[str]) -> None:
    host.lease.write_text(lease + REST)
    assert host.call("STATUS") == {}
    result = host.call("ADD", container.path)
    assert [each["address"] for each in result["ips"]] == addresses
    link = container.network.link("eth0")
    assert link is not None
    assert (link.mtu, routes(container)) == (1450, networks)
    assert host.call("CHECK", container.path, prevResult=result) == {}
    host.lease.unlink()
    assert (host.call("DEL", container.path), host.left()) == ({}, [])


def refused_and_taken_back(host: Host, container: Space) -> None:
    itself = {"type": "flannel"}
    refused = host.call("ADD", container.path, delegate=itself)
    assert (refused["code"], refused["msg"]) == (7, "flannel is its own delegate: flannel calls flannel")
    assert (host.call("DEL", container.path, delegate=itself), host.left()) == ({}, [])


def test_flannel_as_its_own_delegate_is_refused_at_once(host: Host, container: Space) -> None:
    host.lease.write_text(FOUR + REST)
    refused_and_taken_back(host, container)
    with warm.agent(host.folder, "--workers", "1") as agent:
        host.agent = str(agent.path)
        refused_and_taken_back(host, container)
        assert (agent.status().warm, agent.status().cold) == (2, 0)


def test_two_containers_reach_each_other(host: Host, make_space: Callable[[], Space]) -> None:
    host.lease.write_text(FOUR + SIX + REST)
    first, second = make_space(), make_space()
    host.call("ADD", first.path, "c1")
    result = host.call("ADD", second.path, "c2")
    for entry in result["ips"]:
        first.run("ping", "-c1", "-W5", entry["address"].partition("/")[0])


def test_del_needs_neither_lease_nor_namespace(host: Host, container: Space) -> None:
    host.lease.write_text(FOUR + REST)
    host.call("ADD", container.path)
    host.lease.unlink()
    assert (host.call("DEL"), host.left()) == ({}, [])
    assert host.call("DEL") == {}


def test_a_repeated_del_frees_what_the_first_could_not(host: Host, container: Space) -> None:
    host.lease.write_text(FOUR + REST)
    host.call("ADD", container.path)
    partial = host.folder / "partial"
    partial.mkdir()
    for name in ("flannel", "bridge"):
        (partial / name).symlink_to(host.programs / name)
    assert 'plugin "host-local"' in replace(host, programs=partial).call("DEL", container.path)["msg"]
    assert host.left() == ["10.42.7.2", "c1"]
    assert (host.call("DEL", container.path), host.left()) == ({}, [])


def test_two_attachments_of_one_container_are_two_memories(host: Host, container: Space) -> None:
    host.lease.write_text(FOUR + REST)
    for ifname in ("eth0", "net1"):
        host.call("ADD", container.path, ifname=ifname, delegate={"bridge": "br0"})
    host.call("DEL", container.path, ifname="net1")
    assert host.left() == ["10.42.7.2", "c1", "net/c1/eth0"]


def test_ipam_with_the_lease_file_shares_the_leases_book(host: Host, container: Space) -> None:
    host.lease.write_text(FOUR + REST)
    ipam = {"dataDir": f"{host.folder}/claims", "subnetFile": str(host.lease)}
    result = host.call("ADD", container.path, ipam=ipam)
    book = host.folder / "claims" / "10.42.7.0-24"
    assert [each["address"] for each in result["ips"]] == ["10.42.7.2/24"]
    assert [str(each["dst"]) for each in result["routes"]].count("10.42.0.0/16") == 1
    assert (book / "10.42.7.2").exists()
    assert (host.call("DEL", container.path, ipam=ipam), (book / "10.42.7.2").exists()) == ({}, False)


def test_gc_leaves_nothing_of_what_the_runtime_no_longer_knows(host: Host, make_space: Callable[[], Space]) -> None:
    host.lease.write_text(FOUR + REST)
    spaces = [make_space(), make_space()]
    for number, space in enumerate(spaces, start=1):
        host.call("ADD", space.path, f"c{number}")
    host.lease.unlink()
    keep = {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]}
    assert host.call("GC", "", "c1", "eth0", **keep) == {}
    assert host.left() == ["10.42.7.3", "c2", "net/c2/eth0"]


def test_without_a_lease_add_says_where_it_was_expected(host: Host, container: Space) -> None:
    answer = host.call("ADD", container.path)
    assert (answer["code"], answer["msg"]) == (11, f"lease file {host.lease}: there is none")
    assert (host.call("STATUS")["code"], host.left()) == (50, [])
