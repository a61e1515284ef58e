"""Claims about what is found out, on staged machines:

- runtimes by their programs; Podman's backend from its settings, from what it chose, or from what is installed
- containerd's folders from its settings of either version; folders' configurations in containerd's order
- tulle's driver counts from Podman 4.5 on
- Docker's command is what the last of docker.service's files says, its drop-ins in the order of names, without ours
- our bridge is told from another's; settings that cannot be read are named, and none holds anybody up
- who gives out addresses of the subnet is found in CNI's folders, Podman's networks and Docker's settings, whoever wrote that
"""

import os
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from cli.inspect import detect
from cli.inspect.address_owners import Claim, Subnet
from cli.inspect.detect import PACKAGED, PODMAN_PLUGINS, Unreadable


def put(root: Path, path: str, text: str = "") -> Path:
    place = detect.under(root, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def test_a_bare_machine_has_nothing(tmp_path: Path) -> None:
    found = detect.look(tmp_path)
    assert (found.runtimes, found.podman.backend, found.podman.plugins) == (frozenset(), "cni", PODMAN_PLUGINS)
    assert (found.bridges, found.configs) == ({}, {"/etc/cni/net.d": ()})


def test_runtimes_are_known_by_their_programs(tmp_path: Path) -> None:
    put(tmp_path, "/usr/bin/podman")
    put(tmp_path, "/usr/local/bin/nerdctl")
    assert detect.look(tmp_path).runtimes == {"podman", "nerdctl"}


def test_podmans_backend_is_what_is_said_before_what_it_chose_before_what_is_there(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/podman/netavark")
    assert detect.look(tmp_path).podman.backend == "netavark"
    put(tmp_path, detect.STORAGE, "cni")
    assert detect.look(tmp_path).podman.backend == "cni"
    put(tmp_path, "/etc/containers/containers.conf", '[network]\nnetwork_backend = "netavark"\n')
    assert detect.look(tmp_path).podman.backend == "netavark"
    put(
        tmp_path,
        "/etc/containers/containers.conf.d/1.conf",
        '[network]\nnetwork_backend = "cni"\ncni_plugin_dirs = ["/x"]\n',
    )
    found = detect.look(tmp_path).podman
    assert (found.backend, found.plugins, found.told) == ("cni", ("/x",), True)


@pytest.mark.parametrize(
    "text",
    [
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/usr/lib/cni"\nconf_dir = "/x/net.d"\n',
        'version = 3\n[plugins."io.containerd.cri.v1.runtime".cni]\nbin_dirs = ["/usr/lib/cni"]\nconf_dir = "/x/net.d"\n',
    ],
)
def test_containerds_folders_are_its_settings(tmp_path: Path, text: str) -> None:
    put(tmp_path, detect.CONTAINERD, text)
    for name in ("b.conflist", "a.conf", "notes.txt", "Z.json"):
        put(tmp_path, f"/x/net.d/{name}")
    found = detect.look(tmp_path)
    assert (found.containerd_configs, found.containerd_plugins) == ("/x/net.d", ("/usr/lib/cni",))
    assert found.configs["/x/net.d"] == ("Z.json", "a.conf", "b.conflist")


@pytest.mark.parametrize(("version", "driven"), [((), False), ((4, 3), False), ((4, 5), True), ((6, 0), True)])
def test_a_driver_counts_where_podman_takes_drivers(tmp_path: Path, version: tuple[int, ...], driven: bool) -> None:
    assert not detect.look(tmp_path, version).podman.driven
    driver = detect.under(tmp_path, "/usr/local/libexec/netavark/tulle")
    driver.parent.mkdir(parents=True)
    driver.symlink_to("/usr/local/lib/tulle/tulle")
    assert detect.look(tmp_path, version).podman.driven is driven


def test_dockers_command_is_what_the_last_file_of_its_unit_says(tmp_path: Path) -> None:
    assert detect.look(tmp_path).docker == detect.Docker()
    put(
        tmp_path,
        "/lib/systemd/system/docker.service",
        "[Service]\nType=notify\nExecStart=/bin/dockerd \\\n  -H fd://\n",
    )
    assert detect.look(tmp_path).docker.command == "/bin/dockerd -H fd://"
    put(tmp_path, "/etc/systemd/system/docker.service.d/o.conf", "[Service]\nExecStart=\nExecStart=/bin/dockerd -D\n")
    put(tmp_path, "/usr/lib/systemd/system/docker.service.d/o.conf", "[Service]\nExecStart=\nExecStart=/bin/other\n")
    put(tmp_path, detect.DOCKER_DROP_IN, "[Service]\nExecStart=\nExecStart=/bin/dockerd -D $DOCKER_OPT_BIP\n")
    put(tmp_path, detect.DOCKER_DEFAULTS, '# DOCKER_OPTS="-b x"\nDOCKER_OPTS="--debug"\nHTTP_PROXY=x\n')
    put(tmp_path, detect.DOCKER_SETTINGS, '{"log-driver": "journald"}')
    assert detect.look(tmp_path).docker == detect.Docker(
        "/bin/dockerd -D", 'DOCKER_OPTS="--debug"', {"log-driver": "journald"}, settled=True
    )


def test_our_bridge_is_told_from_anothers(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/cni/bridge")
    for folder, to in (("/opt/cni/bin", "/usr/local/lib/tulle/launcher"), (PACKAGED, "../../../lib/tulle/launcher")):
        ours = detect.under(tmp_path, f"{folder}/bridge")
        ours.parent.mkdir(parents=True)
        ours.symlink_to(to)
    assert list(detect.look(tmp_path).bridges.items()) == [
        ("/usr/lib/cni", False),
        ("/opt/cni/bin", True),
        (PACKAGED, True),
    ]


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    put(tmp_path, detect.DOCKER_SETTINGS, "{no json")
    with pytest.raises(Unreadable, match=r"daemon\.json cannot be read"):
        detect.look(tmp_path)
    put(tmp_path, detect.CONTAINERD, "no = toml = file")
    with pytest.raises(Unreadable, match=r"config\.toml cannot be read"):
        detect.look(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        detect.CONTAINERD,
        detect.DOCKER_SETTINGS,
        "/etc/containers/containers.conf",
        "/etc/systemd/system/docker.service.d/o.conf",
        detect.DOCKER_DEFAULTS,
    ],
)
@pytest.mark.parametrize("kind", ["fifo", "deep", "bytes"])
def test_settings_that_are_no_text_hold_nobody_up(tmp_path: Path, path: str, kind: str) -> None:
    put(tmp_path, "/lib/systemd/system/docker.service", "[Service]\nExecStart=/bin/dockerd\n")
    place = put(tmp_path, path, "[" * 100_000)
    if kind == "fifo":
        place.unlink()
        os.mkfifo(place)
    elif kind == "bytes":
        place.write_bytes(b"\xff\xfe")
    if kind == "deep" and path.endswith(("o.conf", "docker")):
        assert detect.look(tmp_path).docker.command == "/bin/dockerd"
    else:
        with pytest.raises(Unreadable, match="cannot be read"):
            detect.look(tmp_path)


def test_configurations_that_are_none_claim_nothing_and_hold_nobody_up(tmp_path: Path) -> None:
    folder = put(tmp_path, "/etc/cni/net.d/1.conflist", '{"name": "web", "plugins": [{"subnetFile": "/l"}, 5]}').parent
    os.mkfifo(folder / "2.conflist")
    (folder / "3.json").symlink_to("/dev/zero")
    (folder / "4.conf").write_text("[" * 100_000)
    (folder / "5.conf").write_text('{"plugins": {"subnetFile": "/l"}}')
    Path(os.fsdecode(bytes(folder) + b"/6\xff.conf")).write_text('["subnetFile"]')
    networks = put(
        tmp_path, "/etc/containers/networks/a.json", '{"driver": "bridge", "subnets": [{"subnet": "nowhere"}]}'
    )
    networks.with_name("b.json").write_text(
        '{"name": "b", "driver": "bridge", "subnets": [5, {"subnet": "10.99.0.0/24"}]}'
    )
    networks.with_name("c.json").write_text('{"driver": "tulle", "subnets": [{"subnet": "10.42.7.0/24"}]}')
    found = detect.look(tmp_path, wanted=Subnet("/l", (IPv4Network("10.42.7.0/24"),))).claims
    assert found == (Claim("/etc/cni/net.d/1.conflist", "cni", "web"),)


def test_a_network_of_netavark_and_dockers_bridge_in_the_subnet_are_claims(tmp_path: Path) -> None:
    put(
        tmp_path,
        "/etc/containers/networks/web.json",
        '{"name": "web", "driver": "bridge", "subnets": [{"subnet": "10.42.7.0/24"}]}',
    )
    put(tmp_path, detect.DOCKER_SETTINGS, '{"bip": "10.42.7.1/24"}')
    found = detect.look(tmp_path, wanted=Subnet("/l", (IPv4Network("10.42.7.0/24"),))).claims
    assert [(one.path, one.book) for one in found] == [
        ("/etc/containers/networks/web.json", "netavark"),
        (detect.DOCKER_SETTINGS, "docker"),
    ]
