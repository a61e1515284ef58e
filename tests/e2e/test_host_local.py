"""The built host-local, as a runtime runs it: a process, an environment, stdin and stdout.

Claims: it works from any directory with nothing but CNI_* in its environment; every refusal is one JSON document on stdout;
a lease goes from the daemon's file to the answer. Hostile input of the protocol itself is tested with cni.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LEASE = (
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_IPV6_NETWORK=fd00:42::/48\n"
    "FLANNEL_IPV6_SUBNET=fd00:42:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
)


@pytest.fixture
def ask(program: Callable[[str], Path], tmp_path: Path) -> Callable[..., tuple[int, Any]]:
    """Return a function that runs one verb and returns the exit code and the document on stdout."""

    def run(verb: str, ipam: Any, container: str = "abc", version: str = "1.1.0") -> tuple[int, Any]:
        config = {
            "cniVersion": version,
            "name": "blue",
            "type": "bridge",
            "ipam": {"dataDir": f"{tmp_path}/data", **ipam},
        }
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container,
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": "/none",
            "CNI_PATH": "/",
        }
        done = subprocess.run(
            [program("host-local")],
            input=json.dumps(config).encode(),
            capture_output=True,
            env=environ,
            cwd="/",
            check=False,
            timeout=30,
        )
        document: Any = json.loads(done.stdout) if done.stdout else None
        remedy = document.get("remedy", "") if done.returncode else ""
        assert done.stderr.decode().count("\n") == bool(remedy)  # a refusal's remedy, and nothing else
        assert remedy in done.stderr.decode()
        return done.returncode, document

    return run


Ask = Callable[..., tuple[int, Any]]


def test_a_life_without_a_lease(ask: Ask) -> None:
    ipam = {"subnet": "10.1.2.0/24", "routes": [{"dst": "0.0.0.0/0"}]}
    assert ask("STATUS", ipam) == (0, None)
    assert ask("ADD", ipam) == (
        0,
        {
            "cniVersion": "1.1.0",
            "ips": [{"address": "10.1.2.2/24", "gateway": "10.1.2.1"}],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    )
    assert ask("CHECK", ipam) == (0, None)
    assert ask("DEL", ipam) == (0, None)
    assert ask("CHECK", ipam)[1]["code"] == 102


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_every_version_gets_its_own_shape(ask: Ask, version: str) -> None:
    code, answer = ask("ADD", {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00::/64"}]]}, version=version)
    assert (code, answer["cniVersion"]) == (0, version)
    addresses = (
        [answer["ip4"]["ip"], answer["ip6"]["ip"]] if version < "0.3" else [each["address"] for each in answer["ips"]]
    )
    assert addresses == ["10.1.2.2/24", "fd00::2/64"]
    assert ask("DEL", {"ranges": [[{"subnet": "10.1.2.0/24"}]]}, version=version) == (0, None)


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_two_addresses_a_family_are_refused_before_0_3_0_by_add_and_del(ask: Ask, verb: str) -> None:
    ipam = {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.3.0/24"}]]}
    code, answer = ask(verb, ipam, version="0.2.0")
    assert (code, answer["msg"]) == (1, "CNI version 0.2.0 does not support more than 1 address per family")


def test_lease_goes_from_the_file_to_the_answer(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "subnet.env").write_text(LEASE)
    code, answer = ask("ADD", {"subnetFile": f"{tmp_path}/subnet.env"})
    assert code == 0
    assert answer["ips"] == [
        {"address": "10.42.1.2/24", "gateway": "10.42.1.1"},
        {"address": "fd00:42:0:1::2/64", "gateway": "fd00:42:0:1::1"},
    ]
    assert answer["routes"] == [{"dst": "10.42.0.0/16"}, {"dst": "fd00:42::/48"}]


def test_without_the_lease_add_says_where_it_looked_and_del_finishes(ask: Ask, tmp_path: Path) -> None:
    ipam = {"subnetFile": f"{tmp_path}/subnet.env"}
    code, answer = ask("ADD", ipam)
    assert (code, answer["code"]) == (1, 11)
    assert answer["msg"] == f"lease file {tmp_path}/subnet.env: there is none"
    assert "tulled" in answer["remedy"]
    assert ask("STATUS", ipam)[1]["code"] == 50
    assert ask("DEL", ipam) == (0, None)


def test_directory_that_cannot_be_made_is_one_document(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    code, answer = ask("ADD", {"subnet": "10.1.2.0/24"})
    assert (code, answer["code"]) == (1, 5)
    assert answer["msg"] == f"address book {tmp_path}/data/blue: Not a directory"
