"""Claims about the checks of what was left and what runtimes find: the remedy follows the verdict, a broken file is named, and so
is the reason why names do not resolve."""

from dataclasses import replace

import pytest

from cli.checks import Evidence, InapplicableError, leftovers
from cli.remains import DEAD, UNKNOWN, Remain
from cli.runtimes import Conflist, Runtime, Seen
from cni.owner import Owner

OWNER = Owner("net", "id", "eth0")
RUNTIME = Runtime("Podman", "/etc/cni/net.d", ("/opt/cni/bin",))
OURS = Conflist(
    "/etc/cni/net.d/10.conflist", "net", plugins=({"type": "bridge", "subnetFile": "/run/flannel/subnet.env"},)
)


def test_a_host_that_is_well_has_no_finding(well: Evidence) -> None:
    full = replace(well, runtimes=(Seen(RUNTIME, (OURS,), {"bridge": "/opt/cni/bin/bridge"}),))
    assert [list(check(full)) for check in (leftovers.reservations, leftovers.leaks, leftovers.programs)] == [
        [],
        [],
        [],
    ]


@pytest.mark.parametrize(("verdict", "words"), [(DEAD, "tulle gc removes it"), (UNKNOWN, "tulle gc keeps it")])
def test_the_remedy_follows_the_verdict(well: Evidence, verdict: str, words: str) -> None:
    (found,) = leftovers.reservations(replace(well, remains=(Remain("address 10.42.7.9", OWNER, verdict, "why"),)))
    assert (found.saw, words in found.remedy) == ("address 10.42.7.9 of net/id/eth0: why", True)


def test_rules_and_links_are_leaks_and_addresses_are_not(well: Evidence) -> None:
    remains = (Remain("address 10.42.7.9", OWNER, DEAD, "why"), Remain("link veth1", OWNER, UNKNOWN, "why"))
    assert [one.saw.split()[0] for one in leftovers.leaks(replace(well, remains=remains))] == ["link"]


def test_a_configuration_that_cannot_be_read_is_named(well: Evidence) -> None:
    broken = Conflist("/etc/cni/net.d/20.conflist", problem="it cannot be read: no JSON")
    (found,) = leftovers.programs(replace(well, runtimes=(Seen(RUNTIME, (OURS, broken), {}),)))
    assert found.saw == "/etc/cni/net.d/20.conflist: it cannot be read: no JSON"


def test_without_a_runtime_there_is_nothing_to_look_at(well: Evidence) -> None:
    with pytest.raises(InapplicableError, match="--conf-dir"):
        list(leftovers.programs(well))


def test_a_runtime_with_our_driver_needs_no_configuration(well: Evidence) -> None:
    driven = Seen(RUNTIME, (), {}, "/usr/local/libexec/netavark/tulle")
    assert list(leftovers.programs(replace(well, runtimes=(driven,)))) == []


def test_the_reason_why_names_do_not_resolve_is_told(well: Evidence) -> None:
    (found,) = leftovers.names(replace(well, nameless="aardvark-dns is not installed"))

    assert found.saw == "names do not resolve: aardvark-dns is not installed"
    assert list(leftovers.names(replace(well, nameless=""))) == []


def test_without_names_there_is_nothing_to_look_at(well: Evidence) -> None:
    with pytest.raises(InapplicableError, match="Podman driver"):
        list(leftovers.names(well))
