"""Claims about what each runtime is given:

- a conflist of version 1.0.0 where the runtime looks; in an empty folder it is the first, beside others never unless asked for
- Podman is told to take tulle's programs where it would find others first, unless its settings name folders
- a runtime that finds another's bridge is told so
- a Podman that finds tulle's driver needs no file; what tulled is set to already is not asked for
- netavark's network says the lease, both families; its book, CNI's and Docker's never serve one subnet
- Docker has a drop-in where it has a service, with or without a lease yet, else its settings; where either says already how its
  bridge is to be, nothing is written, and neither is over somebody else's settings: the lines to add are told
"""

import json
from dataclasses import replace

import pytest

from cli.commands.init import CONFLIST
from cli.inspect.address_owners import CNI, DOCKER, NETAVARK, Claim
from cli.inspect.detect import DOCKER_DROP_IN, DOCKER_SETTINGS, PACKAGED, Docker, HostFacts, Podman
from cli.setup import runtimes
from cli.setup.runtimes import Impossible, RuntimeRequest
from lease import file

LEASE = file.parse(
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_IPV6_NETWORK=fd42::/48\n"
    "FLANNEL_IPV6_SUBNET=fd42:0:0:7::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
)
NET_D = "/etc/cni/net.d"
OURS = {"/opt/cni/bin": True}
SERVICE = Docker("/usr/bin/dockerd -H fd://")
BARE = HostFacts(frozenset(), Podman("cni"), bridges=OURS)


def wish(machine: HostFacts = BARE, *ours: str, first: bool = False) -> RuntimeRequest:
    return RuntimeRequest(machine, ours, CONFLIST.read_text(), lambda: LEASE, first)


def beside(*names: str) -> HostFacts:
    return replace(BARE, configs={NET_D: names})


def path(asked: RuntimeRequest) -> str:
    return runtimes.home("containerd", asked).files[0].path


def test_the_conflist_is_of_the_version_podman_4_takes() -> None:
    document = json.loads(runtimes.home("podman", wish()).files[0].content)
    assert (document["cniVersion"], document["name"]) == ("1.0.0", "tulle")
    assert [plugin["type"] for plugin in document["plugins"]] == ["bridge", "portmap"]


@pytest.mark.parametrize(
    ("others", "first", "name"),
    [
        ((), False, "10-tulle.conflist"),
        (("05-a.conf",), False, "10-tulle.conflist"),
        (("87-podman-bridge.conflist",), False, "99-tulle.conflist"),
        (("99-z.conflist",), False, "zz-tulle.conflist"),
        (("87-podman-bridge.conflist",), True, "10-tulle.conflist"),
        (("05-a.conf",), True, "00-tulle.conflist"),
    ],
)
def test_it_is_first_only_alone_or_when_asked_for(others: tuple[str, ...], first: bool, name: str) -> None:
    assert path(wish(beside(*others), first=first)) == f"{NET_D}/{name}"


def test_who_is_first_instead_is_told() -> None:
    notes = runtimes.home("containerd", wish(beside("05-a.conf"))).notes
    assert notes == (f"containerd takes {NET_D}/05-a.conf, the first; tulle init --first would put tulle there",)


def test_a_file_of_ours_keeps_its_name_and_is_moved_only_by_undoing() -> None:
    mine = f"{NET_D}/99-tulle.conflist"
    machine = beside("87-podman-bridge.conflist", "99-tulle.conflist")
    assert path(wish(machine, mine)) == mine
    with pytest.raises(
        Impossible, match=r"87-podman-bridge.conflist comes before 99-tulle.conflist: tulle init --undo"
    ):
        path(wish(machine, mine, first=True))


def test_no_free_name_is_told() -> None:
    with pytest.raises(Impossible, match="no name for tulle's configuration is free"):
        path(wish(beside("zzz.conflist", "zzzz.conf")))


def test_podman_is_told_where_tulles_programs_are() -> None:
    both = replace(BARE, bridges={"/usr/lib/cni": False, **OURS})
    written = runtimes.home("podman", wish(both)).files[1]
    assert written.path == "/etc/containers/containers.conf.d/50-tulle.conf"
    assert 'cni_plugin_dirs = ["/opt/cni/bin", "/usr/local/libexec/cni",' in written.content
    told = replace(both, podman=replace(both.podman, told=True))
    assert len(runtimes.home("podman", wish(told)).files) == 1
    assert "is not tulle's: put /opt/cni/bin first" in runtimes.home("podman", wish(told)).notes[0]
    assert len(runtimes.home("podman", wish()).files) == 1
    again = replace(both, podman=Podman("cni", ("/opt/cni/bin", *both.podman.plugins), told=True))
    assert len(runtimes.home("podman", wish(again, written.path)).files) == 2


def test_podman_is_led_to_the_folder_of_debians_package() -> None:
    packaged = replace(BARE, bridges={"/usr/lib/cni": False, PACKAGED: True})
    assert f'cni_plugin_dirs = ["{PACKAGED}", "/usr/local' in runtimes.home("podman", wish(packaged)).files[1].content
    told = runtimes.home("containerd", wish(packaged)).notes[-1]
    assert f"set bin_dir in /etc/containerd/config.toml to {PACKAGED}, or" in told


def test_containerd_that_finds_another_bridge_is_told() -> None:
    debian = replace(BARE, containerd_plugins=("/usr/lib/cni",), bridges={"/usr/lib/cni": False, **OURS})
    assert "make install CNI_BIN=/usr/lib/cni" in runtimes.home("containerd", wish(debian)).notes[-1]


def test_netavarks_network_says_the_lease() -> None:
    (written,) = runtimes.home("podman", wish(replace(BARE, podman=Podman("netavark")))).files
    document = json.loads(written.content)
    assert written.path == "/etc/containers/networks/tulle.json"
    assert (len(document["id"]), document["driver"], document["network_interface"]) == (64, "bridge", "tulle0")
    assert document["subnets"] == [
        {"subnet": "10.42.7.0/24", "gateway": "10.42.7.1"},
        {"subnet": "fd42:0:0:7::/64", "gateway": "fd42:0:0:7::1"},
    ]
    assert (document["options"], document["ipv6_enabled"], document["dns_enabled"]) == ({"mtu": "1450"}, True, False)


def test_what_tulled_is_set_to_already_is_not_asked_for() -> None:
    asked = wish(replace(BARE, podman=Podman("netavark")))
    assert "systemctl restart tulled" in runtimes.home("podman", asked).next
    assert runtimes.home("podman", replace(asked, keeps_source=True)).next == (
        "podman run --rm -it --network tulle IMAGE",
    )


def test_a_podman_that_finds_the_driver_needs_no_file() -> None:
    driven = runtimes.home("podman", wish(replace(BARE, podman=Podman("netavark", driven=True))))
    assert (driven.files, driven.next[0].partition("    ")[0]) == ((), "podman network create -d tulle tulle")


@pytest.mark.parametrize(
    ("runtime", "there"),
    [
        ("netavark", Claim(f"{NET_D}/10-tulle.conflist", CNI)),
        ("nerdctl", Claim("/etc/containers/networks/tulle.json", NETAVARK)),
        ("docker", Claim(f"{NET_D}/dropped-in.conflist", CNI)),
        ("netavark", Claim(DOCKER_DROP_IN, DOCKER)),
    ],
)
def test_one_subnet_has_one_book(runtime: str, there: Claim) -> None:
    with pytest.raises(Impossible, match=rf"{runtime} cannot share this host's subnet with .*: {there.path} is there"):
        runtimes.home(runtime, wish(replace(BARE, docker=SERVICE, claims=(there,))))


@pytest.mark.parametrize("runtime", ["podman", "containerd", "nerdctl"])
def test_nothing_is_written_beside_a_configuration_dropped_in_by_hand(runtime: str) -> None:
    there = replace(BARE, claims=(Claim(f"{NET_D}/05-web.conflist", CNI, "web"),))
    given = runtimes.home(runtime, wish(there))
    assert (given.files, given.notes[0].startswith(f"{NET_D}/05-web.conflist goes by this lease already")) == ((), True)
    assert runtime == "containerd" or "--network web IMAGE" in given.next[0]


def serving(docker: Docker) -> HostFacts:
    return replace(BARE, docker=docker)


def test_docker_is_given_a_drop_in_where_it_is_a_service() -> None:
    given = runtimes.home("docker", wish(serving(SERVICE)))
    assert [file.path for file in given.files] == [DOCKER_DROP_IN]
    assert [command.partition("    ")[0] for command in given.next[:4]] == [
        "echo TULLED_BRIDGE=docker0 >> /etc/default/tulled",
        "systemctl restart tulled",
        "ip link delete tulle0",
        "systemctl daemon-reload && systemctl restart docker",
    ]


def test_docker_needs_no_lease_yet_where_it_asks_at_every_start() -> None:
    def none() -> file.Lease:
        raise file.Unavailable("/no", "there is none", "start tulled")

    early = replace(wish(serving(SERVICE)), lease=none)
    assert "TULLED_IP_MASQ=true" in runtimes.home("docker", early).next[1]
    with pytest.raises(file.Unavailable):
        runtimes.home("docker", replace(early, machine=BARE))


def test_docker_without_a_service_is_given_settings_and_told_to_run_it_again() -> None:
    given = runtimes.home("docker", wish())
    assert [file.path for file in given.files] == [DOCKER_SETTINGS]
    assert "run tulle init docker again when tulled has taken another one" in given.notes[-1]
    ours = serving(Docker(settings=json.loads(given.files[0].content), settled=True))
    assert runtimes.home("docker", wish(ours, DOCKER_SETTINGS)) == given


def test_settings_of_others_are_left_alone_and_the_lines_to_add_are_told() -> None:
    with pytest.raises(Impossible, match=r'add to it by hand: "bip": "10.42.7.1/24", "ip-masq": false, "mtu": 1450'):
        runtimes.home("docker", wish(serving(Docker(settled=True))))


def test_a_bridge_that_was_settled_before_is_told() -> None:
    with pytest.raises(
        Impossible, match=r'daemon.json has "bip": "172.20.0.1/16", and dockerd takes that once: take it out'
    ):
        runtimes.home("docker", wish(serving(replace(SERVICE, settings={"bip": "172.20.0.1/16"}, settled=True))))
    later = serving(replace(SERVICE, settings={"mtu": 9000}, settled=True))
    with pytest.raises(Impossible, match=r'daemon.json has "mtu": 9000'):
        runtimes.home("docker", wish(later, DOCKER_DROP_IN))


def test_docker_takes_no_lease_without_ipv4() -> None:
    six = file.parse(
        "FLANNEL_IPV6_NETWORK=fd00::/48\nFLANNEL_IPV6_SUBNET=fd00::1/64\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
    )
    with pytest.raises(Impossible, match="has no IPv4 subnet"):
        runtimes.home("docker", replace(wish(serving(SERVICE)), lease=lambda: six))
