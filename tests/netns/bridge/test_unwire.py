"""Claims about bridge.unwire: DEL finishes and leaves nothing; GC removes strangers only.

* DEL works twice, before any ADD, without namespace, with the namespace gone, and when IPAM fails.
* DEL never takes another attachment's interface.
* DEL takes the port by what the host keeps, whatever a container with NET_ADMIN made of its own end, and no neighbour's;
  CHECK tells of it. No address is freed while the port stands.
* GC keeps what the runtime lists, and removes nothing when it lists nothing.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bridge import unwire
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from kernel.netlink.requests import AddVeth
from tests.netns.bridge.conftest import Runtime, add
from tests.netns.spaces import Space


def test_del_leaves_nothing_that_names_the_attachment(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("DEL", container.path, ipMasq=True) == {}
    assert (runtime.veths(), runtime.masquerade(), container.network.link("eth0")) == ([], [], None)
    assert runtime.ipam_calls() == ["ADD c1", "DEL c1"]


@pytest.mark.parametrize("netns", ["", "/run/netns/no-such", "/etc/hostname"])
def test_del_finishes_without_the_namespace(runtime: Runtime, container: Space, netns: str) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("DEL", netns, ipMasq=True) == {}
    assert (runtime.veths(), runtime.masquerade(), runtime.ipam_calls()[-1]) == ([], [], "DEL c1")


def test_del_succeeds_twice_and_before_any_add(runtime: Runtime, container: Space) -> None:
    assert [runtime.call("DEL", container.path) for _ in range(2)] == [{}, {}]


def test_del_cleans_up_after_a_config_that_add_refuses(runtime: Runtime, container: Space) -> None:
    assert runtime.call("ADD", container.path, vlan=9999)["code"] == 7
    assert runtime.call("DEL", container.path, vlan=9999) == {}


def test_del_of_another_attachment_leaves_the_interface(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert runtime.call("DEL", container.path, container="c2") == {}
    assert runtime.veths() == ["net/c1/eth0"]


def test_del_goes_on_when_ipam_fails(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    (runtime.directory / "fake-ipam").write_text('#!/bin/sh\necho \'{"code": 42, "msg": "no"}\'; exit 1\n')
    answer = runtime.call("DEL", container.path, ipMasq=True)
    assert (answer["code"], answer["msg"]) == (42, "no")
    assert (runtime.veths(), runtime.masquerade()) == ([], [])


def test_gc_removes_strangers_and_keeps_the_rest(runtime: Runtime, make_space: Callable[[str], Space]) -> None:
    for name in ("c1", "c2"):
        assert "code" not in runtime.call("ADD", make_space(name).path, container=name, ipMasq=True)
    valid: dict[str, Any] = {
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
    }
    assert runtime.call("GC", "", ipMasq=True, **valid) == {}
    assert runtime.veths() == ["net/c1/eth0"]
    assert [rule["comment"][-2:] for rule in runtime.masquerade()] == ["c1"]


def test_gc_without_a_list_removes_nothing(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("GC", "", ipMasq=True, cniVersion="1.1.0") == {}
    assert (runtime.veths(), len(runtime.masquerade())) == (["net/c1/eth0"], 1)


Trick = Callable[[Space, Space, str, str], None]


def rename(container: Space, *_: object) -> None:
    container.run("ip", "link", "set", "eth0", "down")  # Linux before 6.2 renames no link that is up
    container.run("ip", "link", "set", "eth0", "name", "mine", "up")


def rename_and_put_a_bridge_in_its_place(container: Space, *_: object) -> None:
    rename(container)
    container.run("ip", "link", "add", "eth0", "type", "bridge")


def rename_and_put_a_cable_in_its_place(container: Space, _: Space, port: str, mac: str) -> None:
    rename(container)
    container.run("ip", "link", "add", "eth0", "address", mac, "type", "veth", "peer", "name", port)


def move_it_away(container: Space, nested: Space, *_: object) -> None:
    container.run("ip", "link", "set", "eth0", "netns", nested.path)


def move_it_and_forge_its_numbers(container: Space, nested: Space, port: str, mac: str) -> None:
    """A cable whose ends have the numbers of the true one, within the container."""
    end = container.network.link("eth0")
    assert end is not None
    move_it_away(container, nested)
    container.run(
        *("ip", "link", "add", "eth0", "index", str(end.index), "address", mac),
        *("type", "veth", "peer", "name", port, "index", str(end.peer)),
    )


TRICKS = [
    rename,
    rename_and_put_a_bridge_in_its_place,
    rename_and_put_a_cable_in_its_place,
    move_it_away,
    move_it_and_forge_its_numbers,
]


@pytest.mark.parametrize("trick", TRICKS)
def test_del_takes_the_port_whatever_the_container_made_of_its_end(
    runtime: Runtime, container: Space, make_space: Callable[[str], Space], trick: Trick
) -> None:
    nested = make_space("nested")
    result = add(runtime, container, ipMasq=True)
    trick(container, nested, result["interfaces"][1]["name"], result["interfaces"][2]["mac"])
    assert runtime.call("CHECK", container.path, ipMasq=True, prevResult=result)["code"] == 102
    assert runtime.call("DEL", container.path, ipMasq=True, prevResult=result) == {}
    assert (runtime.veths(), runtime.masquerade(), runtime.ipam_calls()[-1]) == ([], [], "DEL c1")
    assert {link.name for link in nested.network.links()} == {"lo"}


@pytest.mark.parametrize("trick", [rename, rename_and_put_a_bridge_in_its_place, rename_and_put_a_cable_in_its_place])
def test_a_port_without_our_name_is_taken_by_what_add_answered_and_where_it_leads(
    runtime: Runtime, container: Space, make_space: Callable[[str], Space], trick: Trick
) -> None:
    """The reference gives its ports no alias; a link that leads elsewhere stays, whatever the answer said."""
    result = add(runtime, container)
    port = result["interfaces"][1]["name"]
    runtime.host.run("ip", "link", "set", port, "alias", "")
    other = make_space("other")
    runtime.host.network.apply(AddVeth("veth9", "eth9", other.namespace))
    result["interfaces"].append({"name": "veth9"})
    trick(container, other, port, result["interfaces"][2]["mac"])
    assert runtime.call("DEL", container.path, prevResult=result) == {}
    assert {link.name for link in runtime.host.network.links() if link.kind == "veth"} == {"veth9"}


def test_a_cable_with_a_neighbours_numbers_does_not_take_the_neighbours_port(
    runtime: Runtime, container: Space, make_space: Callable[[str], Space]
) -> None:
    neighbour = make_space("neighbour")
    for name in ("br8", "br9"):  # so that neither the containers nor host and neighbour number their interfaces alike
        neighbour.run("ip", "link", "add", name, "type", "bridge")
    assert "code" not in runtime.call("ADD", neighbour.path, container="c2")
    theirs = neighbour.network.link("eth0")
    assert theirs is not None
    add(runtime, container)
    rename(container)
    cable = ("type", "veth", "peer", "name", "x", "index", str(theirs.peer))
    container.run("ip", "link", "add", "eth0", "index", str(theirs.index), *cable)
    assert runtime.call("DEL", container.path) == {}
    assert runtime.veths() == ["net/c2/eth0"]


def test_no_address_is_freed_while_the_port_stands(
    runtime: Runtime, container: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(runtime, container)

    def refused(network: Handle, index: int) -> None:
        raise KernelError(1, f"deleting link {index}")

    monkeypatch.setattr(unwire, "_delete_if_there", refused)
    assert runtime.call("DEL", container.path)["code"] == 100
    nobody: dict[str, Any] = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    assert runtime.call("GC", "", **nobody)["code"] == 100
    assert (runtime.veths(), runtime.ipam_calls()) == (["net/c1/eth0"], ["ADD c1"])
    monkeypatch.undo()
    assert runtime.call("DEL", container.path) == {}
    assert (runtime.veths(), runtime.ipam_calls()) == ([], ["ADD c1", "DEL c1"])
