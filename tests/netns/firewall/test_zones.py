"""Claims about the backend firewalld, on a real message bus with a service of firewalld's name (docs/reference/cni.md 4.2, firewalld).

* ADD binds each address, /32 or /128, to the zone, twice without complaint; CHECK names what is not bound; DEL takes it away.
* It is chosen where the name is owned, and only there. DEL succeeds whatever is absent: the binding, firewalld, the bus.
* A policy stands in the kernel's rules beside it. A refusal undoes what this ADD bound, and says what, where and a remedy.
* STATUS tells of a firewalld that is not there.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from meta.firewall import dbus, zones
from tests.lab.dbus import Zones, firewalld_on, message_bus_at
from tests.netns.firewall.conftest import Runtime

BOUND = {"10.1.0.5/32": "trusted", "fd00:1::5/128": "trusted"}


@pytest.fixture
def bus(runtime: Runtime, tmp_path: Path) -> Iterator[str]:
    with message_bus_at(tmp_path) as address:
        runtime.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
        yield address


@pytest.fixture
def firewalld(bus: str) -> Iterator[Zones]:
    with firewalld_on(bus) as service:
        yield service


@pytest.mark.parametrize("backend", ["", "firewalld"])
def test_addresses_are_bound_checked_and_released(runtime: Runtime, firewalld: Zones, backend: str) -> None:
    container = runtime.container()
    runtime.config["backend"] = backend
    assert runtime.add(container)["ips"] == container.result["ips"]
    runtime.add(container)
    assert (firewalld.sources, runtime.left(), runtime.call("CHECK", container)) == (BOUND, [], {})
    assert firewalld.calls[:2] == [("addSource", "trusted", source) for source in BOUND]
    del firewalld.sources["fd00:1::5/128"]
    answer = runtime.call("CHECK", container)
    assert (answer["code"], "source fd00:1::5/128 in firewalld's zone trusted" in answer["msg"]) == (102, True)
    assert [runtime.call("DEL", container) for _ in range(2)] == [{}, {}]
    assert firewalld.sources == {}


def test_another_zone_is_used(runtime: Runtime, firewalld: Zones) -> None:
    container = runtime.container()
    runtime.add(container, firewalldZone="home")
    assert set(firewalld.sources.values()) == {"home"}
    assert (runtime.call("DEL", container, firewalldZone="home"), firewalld.sources) == ({}, {})


def test_a_policy_stands_in_the_kernel(runtime: Runtime, firewalld: Zones) -> None:
    container = runtime.container()
    runtime.add(container, ingressPolicy="same-bridge")
    assert firewalld.sources == BOUND
    assert any("CNI-ISOLATION-STAGE-2" in line for line in runtime.legacy())
    assert runtime.call("CHECK", container, ingressPolicy="same-bridge") == {}
    assert (runtime.call("DEL", container, backend="firewalld"), runtime.left(), firewalld.sources) == ({}, [], {})


def test_a_named_backend_asks_no_bus(runtime: Runtime, firewalld: Zones) -> None:
    container = runtime.container()
    runtime.add(container, backend="iptables")
    assert (runtime.call("DEL", container, backend="iptables"), firewalld.calls) == ({}, [])


def test_a_refusal_undoes_what_was_bound(runtime: Runtime, firewalld: Zones) -> None:
    container = runtime.container()
    firewalld.sources["fd00:1::5/128"] = "home"
    answer = runtime.call("ADD", container)
    assert "firewalld refuses addSource of fd00:1::5/128 in zone trusted: ZONE_CONFLICT" in answer["msg"]
    assert "firewalldZone" in answer["remedy"]
    assert firewalld.sources == {"fd00:1::5/128": "home"}
    assert "INVALID_ZONE" in runtime.call("ADD", container, firewalldZone="none")["msg"]
    assert runtime.call("DEL", container) == {}


@pytest.mark.parametrize("place", ["bus", "unix:path=/none", "nonsense"])
def test_status_and_del_where_something_is_absent(runtime: Runtime, bus: str, place: str) -> None:
    if place != "bus":
        runtime.environ["DBUS_SYSTEM_BUS_ADDRESS"] = place
    container = runtime.container()
    address = runtime.environ["DBUS_SYSTEM_BUS_ADDRESS"]
    assert not zones.runs(address)
    answer = runtime.call("ADD", container, backend="firewalld")
    assert (answer["code"], f"firewalld does not answer on the bus {address}" in answer["msg"]) == (5, True)
    answer = runtime.call("STATUS", cniVersion="1.1.0", backend="firewalld")
    assert (answer["code"], "systemctl start firewalld" in answer["remedy"]) == (50, True)
    assert runtime.call("DEL", container, backend="firewalld") == {}
    runtime.add(container)
    assert runtime.left() != []
    assert (runtime.call("DEL", container), runtime.left()) == ({}, [])


def test_status_succeeds_where_firewalld_runs(runtime: Runtime, firewalld: Zones) -> None:
    assert runtime.call("STATUS", cniVersion="1.1.0", backend="firewalld") == {}


def test_silence_has_a_deadline(runtime: Runtime, firewalld: Zones, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbus, "SECONDS", 0.3)
    firewalld.silent = True
    assert "no answer within 0.3 s" in runtime.call("ADD", runtime.container(), backend="firewalld")["msg"]
