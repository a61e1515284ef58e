"""Claims about the mistakes that people make: `tulle lint` finds each, at its place, with what was meant; and nothing else in the same file.

- in a conflist; several of them in one entry are all found
- in a hosts file, a network config, tulled's environment file and a lease file, each judged by what it is
- shipped configurations, and what others' programs may have of their own, have none
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from build.programs import ROOT
from cli.commands import lint
from cli.linting.chain import Installed

BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "web0",
    "isGateway": True,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
}
PORTMAP: dict[str, Any] = {"type": "portmap", "capabilities": {"portMappings": True}}
HERE = Installed(("/opt/cni/bin",), frozenset(("bridge", "ptp", "host-local", "portmap", "firewall", "my-own")))


def found(document: Any, installed: Installed = HERE) -> list[tuple[str, str]]:
    text = document if isinstance(document, str) else json.dumps(document)
    return [(one.path, f"{one.problem}: {one.remedy}") for one in lint.mistakes_of(text.encode(), installed)]


def listed(*plugins: Any, **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": "web", "plugins": list(plugins), **keys}


def bridge(**changed: Any) -> dict[str, Any]:
    return listed({**copy.deepcopy(BRIDGE), **changed}, PORTMAP)


def ipam(**changed: Any) -> dict[str, Any]:
    return bridge(ipam={**BRIDGE["ipam"], **changed})


def renamed(document: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if key == old else key: value for key, value in document.items()}


CONFLISTS: list[tuple[Any, str, str]] = [
    (bridge(type="brigde"), "$.plugins[0].type", 'did you mean "bridge"?'),
    (listed(BRIDGE, {**PORTMAP, "type": "port-map"}), "$.plugins[1].type", 'did you mean "portmap"?'),
    (bridge(type="macvlan"), "$.plugins[0].type", "install it"),
    (ipam(type="hostlocal"), "$.plugins[0].ipam.type", 'did you mean "host-local"?'),
    (renamed(listed(BRIDGE, PORTMAP), "plugins", "plugin"), "$.plugin", 'did you mean "plugins"?'),
    (renamed(listed(BRIDGE, PORTMAP), "name", "nmae"), "$.nmae", 'did you mean "name"?'),
    (renamed(listed(BRIDGE, PORTMAP), "cniVersion", "cniVerison"), "$.cniVerison", 'did you mean "cniVersion"?'),
    (listed(renamed(BRIDGE, "type", "tpye"), PORTMAP), "$.plugins[0].tpye", 'did you mean "type"?'),
    (bridge(isDefaultGatway=True), "$.plugins[0].isDefaultGatway", 'did you mean "isDefaultGateway"?'),
    (bridge(ipMasqerade=True), "$.plugins[0].ipMasqerade", 'did you mean "ipMasq'),
    (bridge(hairpinmod=True), "$.plugins[0].hairpinmod", 'did you mean "hairpinMode"?'),
    (bridge(subnetfle="/run/flannel/subnet.env"), "$.plugins[0].subnetfle", 'did you mean "subnetFile"?'),
    (ipam(datadir2="/x"), "$.plugins[0].ipam.datadir2", 'did you mean "dataDir"?'),
    (
        ipam(ranges=[[{"subnet": "10.1.0.0/24", "gatway": "10.1.0.1"}]]),
        "$.plugins[0].ipam.ranges[0][0].gatway",
        'did you mean "gateway"?',
    ),
    (ipam(routes=[{"dst": "0.0.0.0/0", "gww": "10.1.0.1"}]), "$.plugins[0].ipam.routes[0].gww", 'did you mean "gw"?'),
    (
        bridge(capabilities={"portMapping": True}),
        "$.plugins[0].capabilities.portMapping",
        'did you mean "portMappings"?',
    ),
    (listed(PORTMAP, BRIDGE), "$.plugins[0]", "put portmap behind bridge"),
    (listed({"type": "firewall"}, BRIDGE), "$.plugins[0]", "put firewall behind bridge"),
    (listed(BRIDGE, {"type": "portmap"}), "$.plugins[1].capabilities", 'add "capabilities": {"portMappings": true}'),
    (bridge(bridge="a-name-of-sixteen"), "$.plugins[0].bridge", "15"),
    (listed(BRIDGE, {**BRIDGE, "type": "ptp"}), "$.plugins[1]", "a list of its own"),
    (
        ipam(ranges=[[{"subnet": "10.1.0.0/24", "gateway": "10.2.0.1"}]]),
        "$.plugins[0].ipam.ranges[0][0].gateway",
        "outside",
    ),
    (bridge(mtu="1450"), "$.plugins[0].mtu", "a whole number"),
    (bridge(isGateway="true"), "$.plugins[0].isGateway", "true or false without quotes"),
    (bridge(vlan=5000), "$.plugins[0].vlan", "between"),
    (ipam(ranges=[[{"subnet": "10.1.0.5/24"}]]), "$.plugins[0].ipam.ranges[0][0].subnet", "host bits"),
    (ipam(ranges=[{"subnet": "10.1.0.0/24"}]), "$.plugins[0].ipam.ranges[0]", "a list"),
    (ipam(ranges=[[{"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}]]), "$.plugins[0].ipam", "10.2.0.1"),
    (ipam(routes=[{"dst": "0.0.0.0"}]), "$.plugins[0].ipam.routes[0].dst", "length"),
    (listed(BRIDGE, PORTMAP, cniVersion="1.2"), "$.cniVersion", "1.0.0"),
    (listed(BRIDGE, PORTMAP, name="my net"), "$.name", "letters"),
]


@pytest.mark.parametrize(("document", "path", "words"), CONFLISTS, ids=[case[1] + case[2] for case in CONFLISTS])
def test_a_mistake_of_a_conflist_is_found_and_no_other(document: Any, path: str, words: str) -> None:
    ((place, said),) = found(document)
    assert (place.startswith(path), words in said) == (True, True), (place, said)


def test_several_mistakes_of_one_entry_are_all_found() -> None:
    wrong = {"subnet": "10.1.0.0/33", "rangeStrat": "10.1.0.5", "gateway": "nowhere", "rangeEnd": 5}
    document = bridge(type="brigde", mtu="x", isDefaultGatway=True, ipam={"type": "host-local", "ranges": [[wrong]]})
    entry = "$.plugins[0].ipam.ranges[0][0]"
    assert {path for path, _ in found(document)} == {
        "$.plugins[0].type",
        "$.plugins[0].mtu",
        "$.plugins[0].isDefaultGatway",
        f"{entry}.subnet",
        f"{entry}.rangeStrat",
        f"{entry}.gateway",
        f"{entry}.rangeEnd",
    }


def test_a_host_address_that_is_elsewhere_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "addresses", lambda: frozenset({"192.0.2.11"}))
    ports = [{"hostPort": 80, "containerPort": 80, "hostIP": address} for address in ("192.0.2.11", "192.0.2.99")]
    document = listed(BRIDGE, {**PORTMAP, "runtimeConfig": {"portMappings": ports}})
    (told,) = lint.mistakes_of(json.dumps(document).encode(), HERE)
    assert (told.path, told.warning) == ("$.plugins[1].runtimeConfig.portMappings[1].hostIP", True)


def test_a_host_address_that_is_none_is_a_mistake() -> None:
    document = listed(
        BRIDGE, {**PORTMAP, "runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80, "hostIP": "x"}]}}
    )
    (told,) = lint.mistakes_of(json.dumps(document).encode(), HERE)
    assert (told.path, told.warning) == ("$.plugins[1].runtimeConfig.portMappings[0].hostIP", False)


def test_a_key_that_stands_twice_is_told() -> None:
    ((path, said),) = found('{"cniVersion": "1.0.0", "name": "a", "name": "b", "type": "my-own"}')
    assert (path, said.startswith('the key "name" stands twice')) == ("$", True)


@pytest.mark.parametrize(
    "document",
    [
        bridge(),
        listed({"type": "my-own", "brigde": "x", "isGatway": 1}),
        listed(BRIDGE, {"type": "my-own"}, PORTMAP),
        bridge(args={"cni": {"isp": 1}}),
        listed(BRIDGE, PORTMAP, disableGC=True),
    ],
)
def test_what_is_somebody_elses_is_no_mistake(document: Any) -> None:
    assert found(document) == []


def test_without_plugin_directories_only_a_near_name_is_a_mistake() -> None:
    assert found(bridge(type="macvlan"), Installed()) == []
    assert found(listed({"type": "calico"}), Installed()) == []
    assert [path for path, _ in found(bridge(type="brigde"), Installed())] == ["$.plugins[0].type"]


def test_shipped_configurations_have_none() -> None:
    everything = Installed()
    for path in sorted((ROOT / "conf").glob("*.conflist")):
        assert (path.name, found(path.read_text(), everything)) == (path.name, [])


NETWORK: dict[str, Any] = {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan", "VNI": 1}}
HOSTS: dict[str, Any] = {
    "Network": NETWORK,
    "Hosts": [
        {"PublicIP": "192.0.2.11", "Subnet": "10.42.1.0/24"},
        {"PublicIP": "192.0.2.12", "Subnet": "10.42.2.0/24", "Name": "two"},
    ],
}


def hosts(**second: Any) -> dict[str, Any]:
    return {**HOSTS, "Hosts": [HOSTS["Hosts"][0], {**HOSTS["Hosts"][1], **second}]}


@pytest.mark.parametrize(
    ("document", "paths", "words"),
    [
        (HOSTS, [], ""),
        (hosts(PublicIP="192.0.2"), ["$.Hosts[1].PublicIP"], "192.0.2.1"),
        (hosts(PublicIP="host-b"), ["$.Hosts[1].PublicIP"], "not an IPv4 address"),
        (hosts(Subnet="10.43.2.0/24"), ["$.Hosts[1].Subnet"], "10.42.0.0/16"),
        (hosts(Subnet="10.42.1.0/24"), ["$.Hosts[1].Subnet"], "already that of Hosts[0]"),
        (hosts(PublicIP="192.0.2", Subnet="10.42.2.0"), ["$.Hosts[1].PublicIP", "$.Hosts[1].Subnet"], ""),
        (hosts(PublicIP="10.42.9.9"), ["$.Hosts[1].PublicIP"], "the network of the containers"),
        (hosts(PubilcIPv6="2001:db8::1"), ["$.Hosts[1].PubilcIPv6"], 'did you mean "PublicIPv6"?'),
        ({**HOSTS, "Network": {**NETWORK, "Backend": {"Type": "vxlna"}}}, ["$.Network.Backend.Type"], "vxlan"),
        ({"Hosts": HOSTS["Hosts"]}, ["$.Network"], "Network"),
        ({"Network": NETWORK, "Host": HOSTS["Hosts"]}, ["$.Host"], 'did you mean "Hosts"?'),
    ],
)
def test_a_hosts_file_is_judged_as_one(document: dict[str, Any], paths: list[str], words: str) -> None:
    told = found(document)
    assert [path for path, _ in told] == paths
    assert all(words in said for _, said in told)


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ({**NETWORK, "Backend": {"Type": "vxlan", "VIN": 5}}, "$.Backend.VIN", 'did you mean "VNI"?'),
        ({**NETWORK, "Backend": {"Type": "vxlan", "VNI": "5"}}, "$.Backend.VNI", "whole number"),
        ({**NETWORK, "Bakcend": {}}, "", ""),
        ({"Network": "10.42.0.0/16"}, "$.Backend", "vxlan"),
        ({"Network": "10.42.0.0/33", "Backend": {"Type": "vxlan"}}, "$.Network", "10.42.0.0/16"),
        ({**NETWORK, "SubnetLen": 40}, "$.SubnetLen", "30"),
        ({**NETWORK, "SubnetLne": 25}, "$.SubnetLne", 'did you mean "SubnetLen"?'),
        ({**NETWORK, "Backend": {"Type": "wiregaurd"}}, "$.Backend.Type", "wireguard"),
    ],
)
def test_a_network_config_is_judged_as_one(document: dict[str, Any], path: str, words: str) -> None:
    told = found(document)
    assert [place for place, _ in told] == ([path] if path else [])
    assert all(words in said for _, said in told)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("TULLED_STORE=file:/etc/tulle/hosts.json\n# a comment\n", "", ""),
        ("TULLED_STROE=file:/x\n", "$.TULLED_STROE", "did you mean TULLED_STORE?"),
        ("TULED_STORE=file:/x\n", "$.TULED_STORE", "did you mean TULLED_STORE?"),
        ("TULLED_FROBNICATE=1\n", "$.TULLED_FROBNICATE", "tulled --help"),
        ("TULLED_STORE=files:/x\n", "$.TULLED_STORE", "write etcd, sqlite:PATH or file:PATH"),
        ("TULLED_IP_MASQ=yess\n", "$.TULLED_IP_MASQ", "true"),
        ("TULLED_STORE = file:/x\n", "$['line 1']", "without blanks around ="),
        ("export TULLED_V=1\n", "$['line 1']", "without export"),
        ("TULLED_V=1\nTULLED_ETCD_PASSWORD=hunter2\n", "$", "--etcd-password without --etcd-username"),
        ("TULLED_STORE=file:/x\nTULLED_ETCD_ENDPOINTS=http://192.0.2.1:2379\n", "$", "--etcd-endpoints"),
        ("TULLED_ETCD_PASWORD=hunter2\n", "$.TULLED_ETCD_PASWORD", "did you mean TULLED_ETCD_PASSWORD?"),
    ],
)
def test_tulleds_environment_file_is_judged_as_one(text: str, path: str, words: str) -> None:
    told = found(text)
    assert [place for place, _ in told] == ([path] if path else [])
    assert all(words in said and "hunter2" not in said for _, said in told)


def test_the_sample_of_the_environment_file_has_none() -> None:
    assert found((ROOT / "build" / "systemd" / "tulled.default").read_text()) == []


def test_assignments_of_another_program_are_not_taken_for_tulleds() -> None:
    ((path, said),) = found("# adduser\nDSHELL=/bin/bash\nFIRST_UID=1000\n")
    assert (path, said.startswith("error decoding JSON")) == ("$", True)


def test_a_lease_file_is_judged_as_one() -> None:
    good = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    assert found(good) == []
    ((path, said),) = found(good.replace("FLANNEL_MTU=1450\n", ""))
    assert (path, "FLANNEL_MTU" in said) == ("$", True)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "the file is empty"),
        ('{"name": "web",}', "take the comma before it out"),
        ('{"plugins": [1,\n]}', "take the comma before it out"),
        ("{'name': 'web'}", 'write "double quotes"'),
        ('{"name": "web" "type": "bridge"}', "put a comma before it"),
        ('// mine\n{"name": "web"}', "JSON has no comments"),
        ('{"name": "web", // mine\n "type": "bridge"}', "JSON has no comments"),
        ('{"name": "web"', "the file ends too early"),
        ('{"name": ', "the file ends too early"),
        ('{"name": web}', "see line 1: '{\"name\": web}'"),
    ],
)
def test_what_is_no_json_is_told_by_what_stands_there(text: str, remedy: str) -> None:
    ((path, said),) = found(text)
    assert (path, remedy in said) == ("$", True), said


@pytest.mark.parametrize("depth", [65, 900, 5000, 100_000])
def test_what_is_nested_deeply_is_one_mistake(depth: int) -> None:
    for start, end in (("[", "]"), ('{"type":', "}"), ('{"plugins":[', "]}")):
        inner = "1" if start.endswith(":") else ""
        ((_, said),) = found(start * depth + inner + end * depth)
        assert "nested" in said


def test_a_directory_is_its_configurations_whatever_else_lies_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import os  # noqa: PLC0415 - for this test alone

    from cli.main import main  # noqa: PLC0415 - as above

    (tmp_path / "1.conflist").write_text(json.dumps(listed(BRIDGE, PORTMAP)))
    (tmp_path / "notes.txt").write_text("no configuration")
    os.mkfifo(tmp_path / "2.conf")
    (tmp_path / "3.json").symlink_to("/dev/zero")
    (tmp_path / "4.json").symlink_to(tmp_path / "4.json")
    (tmp_path / "5.json").mkdir()
    with (tmp_path / "6.json").open("wb") as large:
        large.truncate(2**30)
    (tmp_path / "7\x1b[2J.json").write_bytes(b"\xff")
    assert main(["lint", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.count("cannot be read: ") == 5
    assert ("notes.txt" in said, "\x1b" in said) == (False, False)
