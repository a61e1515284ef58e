"""`tulle repair` as a person runs it after a firewall reload, on a pretend host with libcni's cache as libcni writes it. Claims:

- after `nft flush ruleset` CHECK names what is missing and the command; --dry-run tells it and changes nothing
- the command has masquerade, the guard against forged MACs, published ports and the firewall stand again, in both backends: traffic
  works and CHECK succeeds, with the same addresses and links
- masquerade of a bridge behind `flannel` is made again as well
- a second run touches nothing at all
- a container of Podman's network driver is named as such, with Podman's own command, and is no failure
- a container in no record is named with its link, one whose namespace is gone is left out, and a broken file stops nobody
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.daemon import DIST
from tests.lab.hosts import LAB, Host, Lab, forward, probe, serve
from tests.lab.runtime import PluginError, Runtime
from tests.lab.underlay import OUTSIDE

if TYPE_CHECKING:
    from subprocess import CompletedProcess

BACKENDS = {"iptables": 1, "nftables": 2}
PORT = 8080


def conflist(backend: str, number: int, folder: Path) -> dict[str, Any]:
    """Return a list whose every rule `backend` keeps, where nftables is not the only one that can."""
    subnet = f"10.9.{number}.0/24"
    bridge = {
        "type": "bridge",
        "bridge": f"br{number}",
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": True,
        "ipMasqBackend": backend,
        "macspoofchk": True,
        "ipam": {"type": "host-local", "subnet": subnet, "dataDir": str(folder / "book")},
    }
    portmap = {"type": "portmap", "backend": backend, "capabilities": {"portMappings": True}}
    portmap["dataDir"] = str(folder / "portmap")
    firewall = {"type": "firewall", "backend": backend, "ingressPolicy": "same-bridge"}
    return {"cniVersion": "1.0.0", "name": backend, "plugins": [bridge, portmap, firewall]}


LEASE = "FLANNEL_NETWORK=10.8.0.0/16\nFLANNEL_SUBNET=10.8.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"


def behind(folder: Path) -> dict[str, Any]:
    """Return a list of `flannel` alone, whose bridge masquerades because the lease says that the daemon does not."""
    (folder / "flannel.env").write_text(LEASE)
    plugin: dict[str, Any] = {"type": "flannel", "subnetFile": str(folder / "flannel.env")}
    plugin |= {"dataDir": str(folder / "flannel"), "delegate": {"bridge": "br3", "isDefaultGateway": True}}
    plugin["ipam"] = {"dataDir": str(folder / "book")}
    return {"cniVersion": "1.0.0", "name": "flannel", "plugins": [plugin]}


@dataclass
class Reloaded:
    lab: Lab
    host: Host
    runtimes: dict[str, Runtime]
    cache: Path

    def repair(self, *options: str) -> "CompletedProcess[str]":
        words = ("repair", "--cache", str(self.cache), "--cni-path", str(DIST / "cni"), *options)
        return self.host.place.attempt(DIST / "bin" / "tulle", *words)

    def seen(self, backend: str) -> str:
        """Return the address a page of the published port was asked from, empty when there was none."""
        port = str(PORT + BACKENDS[backend])
        address = str(self.host.standing.address.ip)
        job = self.lab.outside.start(sys.executable, "-IS", LAB / "probe.py", port, address, log=-1)
        return str(json.loads(job.communicate(timeout=30)[0])["seen"])

    def outward(self, backend: str) -> str:
        """Return the address under which a container is seen outside."""
        job = probe(self.host.containers[backend].place, [str(OUTSIDE.ip)])
        return str(json.loads(job.communicate(timeout=30)[0])["seen"])

    def remember(self, name: str, runtime: Runtime) -> None:
        """Keep a container's record as libcni would."""
        file, document = runtime.record(self.host.containers[name].attachment)
        (self.cache / "results" / file).write_text(json.dumps(document))

    def flush(self) -> None:
        self.host.place.run("nft", "flush", "ruleset")

    def rules(self) -> str:
        return self.host.place.run("nft", "--handle", "list", "ruleset")


@pytest.fixture(scope="module")
def reloaded() -> Iterator[Reloaded]:
    with Lab({"host-a": 1}) as lab:
        (host,) = lab.hosts.values()
        made = Reloaded(lab, host, {}, lab.workdir / "cni")
        (made.cache / "results").mkdir(parents=True)
        forward(host.place)
        serve(lab.outside)
        for backend, number in BACKENDS.items():
            runtime = host.conflist(conflist(backend, number, lab.workdir))
            mapping = {"hostPort": PORT + number, "containerPort": PORT, "protocol": "tcp"}
            runtime.capabilities = {"portMappings": [mapping]}
            made.runtimes[backend] = runtime
            host.add(backend, runtime).serve()
            made.remember(backend, runtime)
        yield made


def test_check_and_a_dry_run_name_what_is_missing(reloaded: Reloaded) -> None:
    assert [reloaded.outward(each) for each in BACKENDS] == [str(reloaded.host.standing.address.ip)] * 2
    assert [reloaded.seen(each) for each in BACKENDS] == [str(OUTSIDE.ip)] * 2
    reloaded.flush()
    for backend, runtime in reloaded.runtimes.items():
        with pytest.raises(PluginError, match=f"masquerade rules of {backend}/.*tulle repair"):
            runtime.check(reloaded.host.containers[backend].attachment)
    said = reloaded.repair("--dry-run")
    assert said.returncode == 1
    for backend in BACKENDS:
        name = f"{backend}/{backend}/eth0"
        assert f"{name}: bridge missing: masquerade rules of {name} are missing" in said.stdout
        assert f"{name}: portmap missing: port mappings of {name} are incomplete, missing: " in said.stdout
        assert f"{name}: firewall missing: firewall rules of {name} are incomplete, missing: " in said.stdout
    assert "dport" not in reloaded.rules()
    assert [reloaded.seen(each) for each in BACKENDS] == ["", ""]


def test_what_was_flushed_is_made_again(reloaded: Reloaded) -> None:
    links = reloaded.host.show("link", "show")
    reloaded.flush()
    chosen = reloaded.repair("--network", "nftables")
    assert (chosen.returncode, reloaded.seen("nftables"), reloaded.seen("iptables")) == (0, str(OUTSIDE.ip), "")
    said = reloaded.repair()
    assert said.returncode == 0, said.stdout + said.stderr
    assert "nftables/nftables/eth0: portmap stands" in said.stdout
    assert "iptables/iptables/eth0: portmap repaired: port mappings of" in said.stdout
    assert [reloaded.seen(each) for each in BACKENDS] == [str(OUTSIDE.ip)] * 2
    assert [reloaded.outward(each) for each in BACKENDS] == [str(reloaded.host.standing.address.ip)] * 2
    for backend, runtime in reloaded.runtimes.items():
        runtime.check(reloaded.host.containers[backend].attachment)
    assert reloaded.host.show("link", "show") == links


def test_what_stands_is_not_touched(reloaded: Reloaded) -> None:
    reloaded.repair()
    before = reloaded.rules()
    said = reloaded.repair("--json")
    states = [part["state"] for each in json.loads(said.stdout)["attachments"] for part in each["parts"]]
    assert (said.returncode, states) == (0, ["stands"] * 6)
    assert reloaded.rules() == before


def test_the_masquerade_of_a_bridge_behind_flannel_is_made_again(reloaded: Reloaded) -> None:
    runtime = reloaded.host.conflist(behind(reloaded.lab.workdir))
    reloaded.host.add("flannel", runtime)
    reloaded.remember("flannel", runtime)
    own = str(reloaded.host.standing.address.ip)
    assert reloaded.outward("flannel") == own
    reloaded.flush()
    missing = reloaded.repair("--dry-run", "--network", "flannel")
    assert (missing.returncode, "flannel/flannel/eth0: flannel missing: masquerade" in missing.stdout) == (1, True)
    said = reloaded.repair("--network", "flannel")
    assert (said.returncode, "flannel/flannel/eth0: flannel repaired: masquerade" in said.stdout) == (0, True), (
        said.stdout
    )
    assert reloaded.outward("flannel") == own
    runtime.check(reloaded.host.containers["flannel"].attachment)


def test_a_container_of_podmans_driver_is_named_with_podmans_own_command(reloaded: Reloaded) -> None:
    runtime = reloaded.host.conflist(conflist("nftables", 2, reloaded.lab.workdir) | {"name": "podman-door"})
    reloaded.host.add("driven", runtime)
    said = reloaded.repair("--network", "podman-door")
    reloaded.host.remove("driven", runtime)
    assert (said.returncode, said.stdout) == (
        0,
        "podman-door/driven/eth0: is Podman's, through its network driver; after a firewall reload run: podman network reload driven\n",
    )


def test_strangers_the_dead_and_broken_files_are_named_beside_what_is_repaired(reloaded: Reloaded) -> None:
    host, results = reloaded.host, reloaded.cache / "results"
    host.add("stranger", host.conflist(conflist("iptables", 1, reloaded.lab.workdir)))
    name, document = reloaded.runtimes["nftables"].record(host.containers["nftables"].attachment)
    dead = {**document, "containerId": "dead", "netns": "/run/netns/dead"}
    (results / name.replace("-nftables-", "-dead-")).write_text(json.dumps(dead))
    (results / "a-broken-file").write_text("{")
    reloaded.flush()
    said = reloaded.repair()
    assert said.returncode == 1
    assert "a-broken-file: cannot be read: error decoding JSON" in said.stdout
    assert "nftables/dead/eth0: left out: its network namespace /run/netns/dead is gone" in said.stdout
    assert "iptables/stranger/eth0: is in no record" in said.stdout
    assert "ip link delete veth" in said.stdout
    for backend, runtime in reloaded.runtimes.items():
        runtime.check(host.containers[backend].attachment)
