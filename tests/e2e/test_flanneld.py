"""Claims about a network of real flannelds and one tulled on one etcd, for each backend both know:

- every host reaches every other one's container addresses, the flanneld that was there before tulled and the one that came after
- `tulle status` beside tulled shows both flannelds as peers that answer
- etcd holds one perfect lease a host, tulled's in the very form of flanneld's
- a flanneld that restarts keeps its subnet and reaches tulled again; tulled's lease is untouched
- tulled's lease ends while it is away: the flannelds forget its subnet; it comes back and is reached again
- after all this no flanneld has logged a warning or error that it would not log alone
"""

import os
import re
import signal
import subprocess  # noqa: TC003 - the type of the one job
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.test_etcd import OPTIONS, PREFIX
from tests.lab import daemon, reference
from tests.lab.hosts import Host, Lab
from tests.lab.member import URL, Member
from tests.lab.world import only_child, tool

BACKENDS = {
    "vxlan": r'"BackendType":"vxlan","BackendData":\{"VNI":1,"VtepMAC":"[0-9a-f:]{17}"\}\}',
    "host-gw": r'"BackendType":"host-gw"\}',
    "udp": r"",
}
ALONE = re.compile(r"no subnet found for key|no certificate|tls|cancell?ed")
"""What a flanneld says of itself when it starts and when it is stopped, with nobody else there."""
GATEWAY = "cni0"


class Flanneld:
    """A real flanneld on a pretend host, with the bridge a runtime would make."""

    def __init__(self, host: Host) -> None:
        self.host, self.log = host, host.workdir / f"{host.name}.flanneld"
        self._job: subprocess.Popen[str] | None = None

    def start(self) -> "Flanneld":
        """Start it, and give its gateway address to a bridge once the lease file is there."""
        flags = (f"--etcd-endpoints={URL}", "--iface=eth0", f"--subnet-file={daemon.SUBNET_FILE}", "-v=1")
        with self.log.open("a") as log:
            self._job = self.host.place.start(reference.program("flanneld"), *flags, log=log)
        self.host.wait(self._has_lease, f"a lease file of flanneld ({self.log})", 20)
        if not any(link["ifname"] == GATEWAY for link in self.host.show("link", "show")):
            self.host.place.ip(f"link add {GATEWAY} type bridge", f"link set {GATEWAY} up")
            self.host.place.ip(f"address add {self.gateway}/24 dev {GATEWAY}")
        return self

    def _has_lease(self) -> bool:
        return self.host.place.attempt(tool("test"), "-s", daemon.SUBNET_FILE).returncode == 0

    def stop(self) -> None:
        """End it as a service manager does."""
        assert self._job is not None
        os.kill(only_child(self._job.pid), signal.SIGTERM)
        self._job.wait(20)

    @property
    def gateway(self) -> str:
        """The address of this host that containers see."""
        return gateway(self.host)

    def complaints(self) -> list[str]:
        """Return the warnings and errors in its log, without those it has alone."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if re.match("[WEF][0-9]{4} ", line) and not ALONE.search(line)]


def gateway(host: Host) -> str:
    return host.lease()["FLANNEL_SUBNET"].partition("/")[0]


def subnet(host: Host) -> str:
    return gateway(host).rpartition(".")[0] + ".0/24"


class Mixed:
    """Two flannelds, one before and one after the tulled between them."""

    def __init__(self, lab: Lab, backend: str) -> None:
        self.lab, self.backend, self.etcd = lab, backend, Member(lab)
        self.first, self.ours, self.last = (lab.hosts[name] for name in ("host-a", "host-b", "host-c"))
        self.etcd.start()
        config = f'{{"Network":"10.42.0.0/16","EnableNFTables":true,"Backend":{{"Type":"{backend}"}}}}'
        self.etcd.ctl("put", f"{PREFIX}/config", config)
        self.before = Flanneld(self.first).start()
        self.ours.start_daemon(*OPTIONS).wait_ready()
        self.after = Flanneld(self.last).start()

    def reached(self, one: Host, other: Host) -> bool:
        """Say whether a packet from the one's container address comes back from the other's."""
        words = ("-c1", "-W1", "-I", gateway(one), gateway(other))
        return one.place.attempt(tool("ping"), *words).returncode == 0

    def all_reached(self) -> None:
        """Wait until every pair is, both ways."""
        hosts = (self.first, self.ours, self.last)
        for one in hosts:
            for other in hosts:
                if one is not other:
                    one.wait(partial(self.reached, one, other), f"{other.name} is reached from {one.name}", 20)

    def key(self) -> str:
        return f"{PREFIX}/subnets/{subnet(self.ours).replace('/', '-')}"

    def history(self, what: str) -> int:
        """Return a number etcd keeps for our key: create_revision, mod_revision, lease."""
        said = self.etcd.ctl("get", self.key(), "-w", "fields")
        found = re.search(rf'"{what}" : ([0-9]+)', said)
        assert found, said
        return int(found[1])

    def forgotten(self, host: Host) -> bool:
        return all(route["dst"] != subnet(self.ours) for route in host.show("route", "show"))


@pytest.fixture(scope="module", params=BACKENDS)
def mixed(request: pytest.FixtureRequest) -> Iterator[Mixed]:
    reference.program("flanneld")
    with Lab({"host-a": 1, "host-b": 1, "host-c": 1}) as lab:
        yield Mixed(lab, request.param)


def test_every_host_reaches_every_other_one(mixed: Mixed) -> None:
    mixed.all_reached()


def test_tulle_status_shows_every_flanneld_as_a_peer(mixed: Mixed) -> None:
    mixed.all_reached()
    said = mixed.ours.place.run(daemon.DIST / "bin" / "tulle", "status", "--", "--etcd-endpoints", URL)
    assert re.search(r"peers +2, 2 of them answer", said), said
    assert subnet(mixed.first) in said
    assert subnet(mixed.last) in said


def test_etcd_holds_one_perfect_lease_a_host(mixed: Mixed) -> None:
    entries = mixed.etcd.entries()
    del entries[f"{PREFIX}/config"]
    assert len(entries) == 3
    tail = BACKENDS[mixed.backend]
    form = r'\{"PublicIP":"192\.168\.1\.1[123]","PublicIPv6":null' + (f",{tail}" if tail else r"\}")
    assert all(re.fullmatch(form, value) for value in entries.values()), entries


def test_a_flanneld_that_restarts_keeps_its_subnet_and_our_lease(mixed: Mixed) -> None:
    theirs, ours = subnet(mixed.first), (mixed.history("CreateRevision"), mixed.history("ModRevision"))
    mixed.before.stop()
    mixed.first.place.run(tool("rm"), daemon.SUBNET_FILE)
    mixed.before.start()
    assert subnet(mixed.first) == theirs
    mixed.all_reached()
    assert (mixed.history("CreateRevision"), mixed.history("ModRevision")) == ours


def test_a_lease_of_ours_that_ends_is_forgotten_and_taken_again(mixed: Mixed) -> None:
    assert mixed.ours.daemon is not None
    mine = subnet(mixed.ours)
    mixed.ours.daemon.end(signal.SIGTERM)
    mixed.etcd.ctl("lease", "revoke", f"{mixed.history('Lease'):x}")
    if mixed.backend != "udp":  # its one route is the whole network's
        for host in (mixed.first, mixed.last):
            host.wait(partial(mixed.forgotten, host), "the subnet of the lease that ended is forgotten", 20)
    mixed.ours.start_daemon(*OPTIONS).wait_ready()
    assert subnet(mixed.ours) == mine
    mixed.all_reached()


def test_no_flanneld_has_complained(mixed: Mixed) -> None:
    assert mixed.before.complaints() == []
    assert mixed.after.complaints() == []
