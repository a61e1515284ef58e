"""Claims about the checks of what was left and held, and what runtimes find:

- the remedy follows the verdict; a broken file is named, and so is the reason why names do not resolve
- an address on two links is told with both, and so are two books that give out one subnet
- a runtime is asked for a configuration only where tulle init would write it one: doctor advises nothing that init forbids
"""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from cli.checks import DoctorInput, InapplicableError, orphans
from cli.inspect.address_holders import Holder
from cli.inspect.address_owners import Claim
from cli.inspect.cni_configs import KNOWN, Conflist, Runtime, RuntimeConfig
from cli.inspect.detect import HostFacts, Podman
from cli.inspect.orphans import DEAD, UNKNOWN, Orphan
from cni.attachment_id import AttachmentID

OWNER = AttachmentID("net", "id", "eth0")
NETAVARK = HostFacts(frozenset({"podman", "containerd", "nerdctl"}), Podman("netavark"))
PODMAN, CONTAINERD, NERDCTL = (RuntimeConfig(KNOWN[name], (), {}) for name in ("podman", "containerd", "nerdctl"))
CONFLIST = Claim("/etc/cni/net.d/10-tulle.conflist", "cni", "tulle")
NETWORK = Claim("/etc/containers/networks/tulle.json", "netavark", "tulle")
RUNTIME = Runtime("Podman", "/etc/cni/net.d", ("/opt/cni/bin",))
OURS = Conflist(
    "/etc/cni/net.d/10.conflist", "net", plugins=({"type": "bridge", "subnetFile": "/run/flannel/subnet.env"},)
)


def test_a_host_that_is_well_has_no_finding(well: DoctorInput) -> None:
    full = replace(
        well, runtimes=(RuntimeConfig(RUNTIME, (OURS,), {"bridge": "/opt/cni/bin/bridge"}),), machine=NETAVARK
    )
    checks = (orphans.reservations, orphans.duplicates, orphans.leaks, orphans.programs)
    assert [list(check(full)) for check in checks] == [[], [], [], []]


@pytest.mark.parametrize(("verdict", "words"), [(DEAD, "tulle gc removes it"), (UNKNOWN, "tulle gc keeps it")])
def test_the_remedy_follows_the_verdict(well: DoctorInput, verdict: str, words: str) -> None:
    (found,) = orphans.reservations(replace(well, remains=(Orphan("address 10.42.7.9", OWNER, verdict, "why"),)))
    assert (found.saw, words in found.remedy) == ("address 10.42.7.9 of net/id/eth0: why", True)


def test_rules_and_links_are_leaks_and_addresses_are_not(well: DoctorInput) -> None:
    remains = (Orphan("address 10.42.7.9", OWNER, DEAD, "why"), Orphan("link veth1", OWNER, UNKNOWN, "why"))
    assert [one.saw.split()[0] for one in orphans.leaks(replace(well, remains=remains))] == ["link"]


def test_a_configuration_that_cannot_be_read_is_named(well: DoctorInput) -> None:
    broken = Conflist("/etc/cni/net.d/20.conflist", problem="it cannot be read: no JSON")
    (found,) = orphans.programs(replace(well, runtimes=(RuntimeConfig(RUNTIME, (OURS, broken), {}),)))
    assert found.saw == "/etc/cni/net.d/20.conflist: it cannot be read: no JSON"


def test_without_a_runtime_there_is_nothing_to_look_at(well: DoctorInput) -> None:
    with pytest.raises(InapplicableError, match="--conf-dir"):
        list(orphans.programs(well))


def test_a_runtime_with_our_driver_needs_no_configuration(well: DoctorInput) -> None:
    driven = RuntimeConfig(RUNTIME, (), {}, "/usr/local/libexec/netavark/tulle")
    assert list(orphans.programs(replace(well, runtimes=(driven,)))) == []


def test_the_reason_why_names_do_not_resolve_is_told(well: DoctorInput) -> None:
    (found,) = orphans.names(replace(well, nameless="aardvark-dns is not installed"))

    assert found.saw == "names do not resolve: aardvark-dns is not installed"
    assert list(orphans.names(replace(well, nameless=""))) == []


def test_without_names_there_is_nothing_to_look_at(well: DoctorInput) -> None:
    with pytest.raises(InapplicableError, match="Podman driver"):
        list(orphans.names(well))


def test_an_address_on_two_links_is_told_with_both(well: DoctorInput) -> None:
    held = tuple(
        Holder(IPv4Address(f"10.42.7.{last}"), link) for last, link in ((2, "veth1"), (3, "veth2"), (2, "veth3"))
    )
    (found,) = orphans.duplicates(replace(well, holders=held))
    assert found.saw == "10.42.7.2 stands on veth1 and on veth3"


def test_two_books_of_one_subnet_are_told_whoever_wrote_them(well: DoctorInput) -> None:
    (found,) = orphans.duplicates(replace(well, machine=replace(NETAVARK, claims=(CONFLIST, NETWORK))))
    assert found.saw.startswith(
        f"{CONFLIST.path} and {NETWORK.path} give out addresses of this host's subnet by two books"
    )


@pytest.mark.parametrize(
    ("runtimes", "claims", "advised"),
    [
        ((PODMAN, CONTAINERD), (), ["tulle init podman"]),
        ((PODMAN, CONTAINERD), (NETWORK,), []),
        ((PODMAN, CONTAINERD, NERDCTL), (NETWORK,), []),
        ((PODMAN, CONTAINERD), (CONFLIST,), []),
        ((PODMAN,), (CONFLIST,), []),
        ((CONTAINERD,), (NETWORK,), []),
        ((CONTAINERD, NERDCTL), (), ["tulle init containerd", "tulle init nerdctl"]),
        ((PODMAN, CONTAINERD, NERDCTL), (), ["tulle init podman", "tulle init containerd", "tulle init nerdctl"]),
    ],
)
def test_what_init_forbids_is_not_advised(
    well: DoctorInput, runtimes: tuple[RuntimeConfig, ...], claims: tuple[Claim, ...], advised: list[str]
) -> None:
    seen = replace(well, runtimes=runtimes, machine=replace(NETAVARK, claims=claims))
    assert [found.remedy for found in orphans.programs(seen)] == advised


def test_settings_of_a_runtime_that_cannot_be_read_are_told(well: DoctorInput) -> None:
    found = next(iter(orphans.programs(replace(well, runtimes=(PODMAN,), unread="/etc/x cannot be read: why"))))
    assert found.saw == "/etc/x cannot be read: why"
