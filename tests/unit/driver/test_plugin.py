"""Claims about the verbs of the driver, with programs that only write down how they are called:

- setup attaches, then publishes, and answers with the addresses `bridge` told
- a setup whose ports are refused removes both and passes the refusal on
- a setup of a network made with --ipv6 is refused on a lease without IPv6, before anything is run
- teardown attempts every step and tells all failures
- trouble with names is said, and refuses nothing; with disable_dns nothing is kept of them
- create tells what the network is, and that there is no lease yet; for a rootless Podman it refuses, with what to type

What becomes of the kernel is looked at in tests/e2e/test_netavark.py.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CniError
from cni.json_object import JsonObject
from driver import plugin, register
from tests.unit.driver.conftest import Programs
from tests.unit.driver.recorded import CREATE, PLAIN, SETUP

NETNS = "/run/netns/one"
LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


def test_setup_attaches_then_publishes(programs: Programs) -> None:
    told = plugin.setup(JsonObject(SETUP), NETNS, programs.around())

    assert programs.calls() == [f"bridge ADD {NETNS} lan0", f"portmap ADD {NETNS} lan0"]
    assert told["interfaces"]["lan0"]["subnets"] == [{"ipnet": "10.42.7.9/24", "gateway": "10.42.7.1"}]


def test_without_ports_nothing_is_published(programs: Programs) -> None:
    document: dict[str, Any] = {**SETUP, "port_mappings": None}
    plugin.setup(JsonObject(document), NETNS, programs.around())

    assert programs.calls() == [f"bridge ADD {NETNS} lan0"]


def test_inside_an_internal_network_the_user_is_told_that_no_port_is_published(programs: Programs) -> None:
    said: list[str] = []
    internal = {**SETUP, "network": {**SETUP["network"], "internal": True}}
    plugin.setup(JsonObject(internal), NETNS, programs.around(said))

    assert programs.calls() == [f"bridge ADD {NETNS} lan0"]
    assert said[0] == "tulle: no port is published through tulle, which is internal"


def test_without_a_name_server_setup_says_why_and_goes_on(programs: Programs) -> None:
    said: list[str] = []
    told = plugin.setup(JsonObject(PLAIN | {"network_options": SETUP["network_options"]}), NETNS, programs.around(said))

    assert [told[key] for key in ("dns_server_ips", "dns_search_domains")] == [[], []]
    reason = "aardvark-dns is not installed; Debian has it in the package aardvark-dns"
    assert said == [f"tulle: names of containers do not resolve on tulle: {reason}"]


def test_a_setup_that_cannot_keep_names_says_so_and_goes_on(programs: Programs) -> None:
    said: list[str] = []
    Path(register.FOLDER).write_text("a file in the way")
    plugin.setup(JsonObject(PLAIN | {"network_options": SETUP["network_options"]}), NETNS, programs.around(said))

    assert [line.startswith("tulle: names of containers do not resolve on tulle: ") for line in said] == [True]


def test_without_names_nothing_is_kept_of_them(programs: Programs) -> None:
    nameless = {**SETUP, "network": {**SETUP["network"], "options": {"disable_dns": "true"}}}
    told = plugin.setup(JsonObject(nameless), NETNS, programs.around())

    assert (told["dns_server_ips"], Path(register.FOLDER).exists()) == ([], False)


def test_a_setup_whose_ports_are_refused_removes_all_of_it(programs: Programs) -> None:
    programs.refuse("portmap", "ADD", "host port 8080/tcp is taken")

    with pytest.raises(CniError, match="host port 8080/tcp is taken"):
        plugin.setup(JsonObject(SETUP), NETNS, programs.around())
    assert programs.calls()[2:] == [f"portmap DEL {NETNS} lan0", f"bridge DEL {NETNS} lan0"]


def test_what_a_refused_setup_could_not_remove_is_told_besides(programs: Programs) -> None:
    said: list[str] = []
    programs.refuse("portmap", "ADD", "host port 8080/tcp is taken")
    programs.refuse("bridge", "DEL", "the kernel is busy")

    with pytest.raises(CniError, match="taken"):
        plugin.setup(JsonObject(SETUP), NETNS, programs.around(said))
    assert ["the kernel is busy" in line for line in said] == [True]


def test_a_refused_attachment_is_nothing_to_remove(programs: Programs) -> None:
    programs.refuse("bridge", "ADD", "no lease")

    with pytest.raises(CniError, match="no lease"):
        plugin.setup(JsonObject(PLAIN), NETNS, programs.around())
    assert programs.calls() == [f"bridge ADD {NETNS} eth0"]


def test_a_promise_of_ipv6_needs_a_lease_with_it(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "subnet.env").write_text(LEASE)
    options = {"lease": str(tmp_path / "subnet.env")}
    promised = {**PLAIN, "network": {**PLAIN["network"], "ipv6_enabled": True, "options": options}}

    with pytest.raises(CniError, match=r"--ipv6, and the lease .*/subnet\.env has no IPv6 subnet"):
        plugin.setup(JsonObject(promised), NETNS, programs.around())
    assert programs.calls() == []


def test_teardown_attempts_every_step(programs: Programs) -> None:
    for name in ("portmap", "bridge"):
        programs.refuse(name, "DEL", f"{name} is busy")

    with pytest.raises(ExceptionGroup) as failed:
        plugin.teardown(JsonObject(SETUP), NETNS, programs.around())
    assert [str(each) for each in failed.value.exceptions] == ["portmap is busy", "bridge is busy"]


def test_create_tells_what_the_network_is_and_what_is_missing(programs: Programs, tmp_path: Path) -> None:
    said: list[str] = []
    missing = str(tmp_path / "none.env")
    plugin.create(JsonObject({**CREATE, "options": {"lease": missing}}), programs.around(said))

    assert "not isolated from each other" in said[0]
    assert said[1].startswith(f"tulle: containers cannot start on it yet: lease file {missing}: there is none")


@pytest.mark.parametrize(("user", "environ"), [(1000, {}), (0, {plugin.ROOTLESS: "1000"})])
def test_a_rootless_podman_is_refused_when_it_creates_the_network(
    programs: Programs, user: int, environ: dict[str, str]
) -> None:
    around = replace(programs.around(), user=user, environ=environ)
    with pytest.raises(CniError, match="this one is rootless: run it as root: sudo podman network create -d tulle"):
        plugin.create(JsonObject(CREATE), around)
    assert plugin.create(JsonObject(CREATE), replace(around, user=0, environ={plugin.ROOTLESS: "0"}))
