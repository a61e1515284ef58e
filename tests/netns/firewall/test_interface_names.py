"""Claims about interfaces with names that need quoting, on both backends, for `firewall` and `portmap`.

* The specification allows every character but / : and blanks in a container's interface: ADD, CHECK, DEL and GC succeed, nothing is left,
  and the next container gets the same port.
* Any policy keeps a bridge apart whatever the kernel lets it be called; the rules stand once, and mean that bridge alone.
* A bridge that a backend has no word for is refused before anything is written, with the remedy.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.netns.firewall.conftest import Container, Runtime

IFNAMES = ["it's", 'a"b', "\\", '"', "a\u2063b", "-j", "--comment", "!", "a*", "@x", "a+", "ü", "#", "\x01"]
MAPPING = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}


def renamed(container: Container, ifname: str) -> dict[str, Any]:
    interfaces = [*container.result["interfaces"][:2], {"name": ifname, "sandbox": container.space.path}]
    return {**container.result, "interfaces": interfaces}


def keys(runtime: Runtime, container: Container, ifname: str) -> dict[str, Any]:
    memory = str(runtime.directory / "memory")
    mappings = {"portMappings": [MAPPING]}
    return {"prevResult": renamed(container, ifname), "runtimeConfig": mappings, "dataDir": memory}


def left(runtime: Runtime) -> list[str]:
    """What names containers: rules of both programs and backends, and what portmap remembers."""
    lines = [
        line
        for family in ("iptables", "ip6tables")
        for line in runtime.host.run(family, "-t", "nat", "-S").splitlines()
    ]
    tables = [runtime.host.run("nft", "list", "ruleset")] if runtime.config["backend"] == "nftables" else []
    remembered = [path.name for path in (runtime.directory / "memory").glob("*")]
    return [
        *runtime.left(),
        *(line for line in lines if "CNI-DN-" in line),
        *(line for text in tables for line in text.splitlines() if "dnat" in line and "comment" in line),
        *remembered,
    ]


@pytest.mark.parametrize("verb", ["DEL", "GC"])
@pytest.mark.parametrize("program", ["firewall", "portmap"])
def test_a_container_may_call_its_interface_as_it_likes(each: Runtime, program: str, verb: str) -> None:
    container, other = each.container(5), each.container(6)
    for ifname in IFNAMES:
        asked = keys(each, container, ifname)
        added = each.call("ADD", container, program, ifname, **asked)
        assert "code" not in added, (ifname, added)
        assert each.call("CHECK", container, program, ifname, **asked) == {}, ifname
        if verb == "DEL":
            assert each.call("DEL", container, program, ifname, **asked) == {}, ifname
        else:
            listed: dict[str, Any] = {
                "cniVersion": "1.1.0",
                "cni.dev/valid-attachments": [],
                "dataDir": asked["dataDir"],
            }
            assert each.call("GC", None, program, **listed) == {}, ifname
        assert left(each) == [], ifname
        assert each.call("DEL", container, program, ifname, **asked) == {}, ifname
        next_one = keys(each, other, "eth0")
        assert "code" not in each.call("ADD", other, program, "eth0", **next_one), ifname
        assert each.call("DEL", other, program, "eth0", **next_one) == {}


BRIDGE_BYTES = st.binary(min_size=1, max_size=15).filter(
    lambda name: not set(name) & set(b"\0/:\t\n\v\f\r \xa0%") and name not in (b".", b"..", b"lo", b"all", b"default")
)
"""What the kernel takes (net/core/dev.c), but for names with a pattern's sign and of directories of its own."""


def utf8(name: bytes) -> bool:
    return name.decode(errors="replace").encode() == name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=BRIDGE_BYTES.filter(utf8).map(bytes.decode))
@example(name="it's")
@example(name='"')
@example(name="a\\b")
@example(name="!")
@example(name="-j")
@example(name="a*")
@example(name="@x")
@example(name="a+")
@pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
def test_a_policy_keeps_a_bridge_apart_whatever_it_is_called(each: Runtime, policy: str, name: str) -> None:
    backend = each.config["backend"]
    unspeakable = name.endswith("+") if backend == "iptables" else name.startswith("@") or name.endswith("\\*")
    container = Container(each.make_space("c5"), "br1", 5)
    bridged = {**container.result, "interfaces": [{"name": name}, *container.result["interfaces"][1:]]}
    asked: dict[str, Any] = {"prevResult": bridged, "ingressPolicy": policy}
    added = each.call("ADD", container, **asked)
    if unspeakable:
        assert (added["code"], "backend" in added["remedy"], each.left()) == (7, True, [])
        return
    assert "code" not in added, added
    before = [each.legacy(4), each.legacy(6), each.modern()]
    assert each.call("CHECK", container, **asked) == {}
    assert "code" not in each.call("ADD", container, **asked)
    assert [each.legacy(4), each.legacy(6), each.modern()] == before
    assert each.call("DEL", container, **asked) == {}
    assert each.left() == []
