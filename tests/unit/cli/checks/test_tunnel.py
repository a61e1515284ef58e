"""Claims about the checks of ways to other hosts, where tests/e2e/test_doctor.py breaks nothing: who is asked, who cannot be."""

from dataclasses import replace

import pytest

from cli.checks import DoctorInput, InapplicableError, tunnel
from cli.inspect.reachability import Answers
from overlay.config import network
from overlay.firewall.drop_counters import Drops

ALL = (tunnel.entries, tunnel.macs, tunnel.reachable, tunnel.widths, tunnel.checksums)


def test_a_host_that_is_well_has_no_finding(well: DoctorInput) -> None:
    assert [list(check(well)) for check in ALL] == [[]] * len(ALL)


def test_a_host_that_refuses_the_port_has_no_tunnel(well: DoctorInput) -> None:
    silent = replace(well.answers, tunnel=frozenset(), refused=frozenset(well.answers.ways))
    (found,) = tunnel.reachable(replace(well, answers=silent))
    assert "nobody listens on UDP port 8472 there" in found.saw


@pytest.mark.parametrize(
    ("there", "back", "said", "do"),
    [
        (True, False, "it hears us, we do not hear it", "UDP port 8472 through from 192.0.2.2 to 192.0.2.1"),
        (False, True, "we hear it, it does not hear us", "UDP port 8472 through from 192.0.2.1 to 192.0.2.2"),
        (True, True, "each direction alone carries packets", "drops what is inside the tunnel"),
        (False, False, "which direction is blocked cannot be told from here", "run tulle doctor on that host, too"),
    ],
)
def test_a_direction_that_was_proved_condemns_the_other(
    well: DoctorInput, there: bool, back: bool, said: str, do: str
) -> None:
    ways = frozenset(well.answers.ways)
    halves = (ways if there else frozenset(), ways if back else frozenset())
    answers = replace(well.answers, tunnel=frozenset(), halved=ways, there=halves[0], back=halves[1])
    (found,) = tunnel.reachable(replace(well, answers=answers))
    assert said in found.saw
    assert do in found.remedy


def test_without_a_tunnel_no_direction_is_spoken_of(well: DoctorInput) -> None:
    (found,) = tunnel.reachable(replace(well, answers=replace(well.answers, tunnel=frozenset())))
    assert "direction" not in found.saw


def test_a_lease_that_cannot_be_used_is_a_finding(well: DoctorInput) -> None:
    plan = well.survey.plan
    assert plan is not None
    left = replace(plan, desired=replace(plan.desired, unusable=("10.42.9.0/24: no MAC",)))
    (found,) = tunnel.entries(replace(well, survey=replace(well.survey, plan=left)))
    assert found.saw == "a lease cannot be used: 10.42.9.0/24: no MAC"


def test_a_guard_that_does_not_stand_is_a_finding(well: DoctorInput) -> None:
    (found,) = tunnel.guarded(replace(well, survey=replace(well.survey, drops=None)))
    assert "table inet tulle-guard-1 does not stand" in found.saw
    assert list(tunnel.guarded(replace(well, survey=replace(well.survey, drops=Drops({}, ()))))) == []


def test_a_guard_that_is_switched_off_is_not_missed(well: DoctorInput) -> None:
    off = replace(well.survey, settings=replace(well.survey.settings, tunnel_guard=False))
    with pytest.raises(InapplicableError, match="switched off"):
        list(tunnel.guarded(replace(well, survey=off)))


def test_a_wrong_mac_is_told_by_its_own_check_only(well: DoctorInput) -> None:
    plan = well.survey.plan
    assert plan is not None
    other = replace(plan, differences=("setting mac 02:00:00:00:00:01 on link flannel.1",))
    assert list(tunnel.entries(replace(well, survey=replace(well.survey, plan=other)))) == []


def test_who_is_silent_is_not_also_said_to_lose_large_packets_or_tcp(well: DoctorInput) -> None:
    silent = replace(well, answers=replace(well.answers, tunnel=frozenset(), wide=frozenset(), tcp=frozenset()))
    assert (list(tunnel.widths(silent)), list(tunnel.checksums(silent))) == ([], [])


@pytest.mark.parametrize(
    ("answers", "reason"), [(Answers(problem="run this as root"), "run this as root"), (Answers(), "no other host")]
)
def test_without_answers_a_check_says_why(well: DoctorInput, answers: Answers, reason: str) -> None:
    with pytest.raises(InapplicableError, match=reason):
        list(tunnel.reachable(replace(well, answers=answers)))


def test_a_device_that_carries_less_than_the_lease_allows_is_a_finding(well: DoctorInput) -> None:
    eth, device, bridge = well.survey.links
    narrow = replace(well.survey, links=(eth, replace(device, mtu=1400), bridge))
    (found,) = tunnel.widths(replace(well, survey=narrow))
    assert found.saw == "flannel.1 carries 1400 bytes, the lease file allows 1450"


def test_a_host_behind_a_router_needs_another_backend_than_host_gw(well: DoctorInput) -> None:
    plan = well.survey.plan
    assert plan is not None
    reason = "10.42.9.0/24: its PublicIP 192.0.2.9 is not on the wire of eth0, as host-gw needs"
    left = replace(plan, desired=replace(plan.desired, unusable=(reason,)))
    config = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "host-gw"}}', "test")
    (found,) = tunnel.entries(replace(well, survey=replace(well.survey, config=config, plan=left)))
    assert "need the backend vxlan" in found.remedy
    assert '"DirectRouting"' in found.remedy


def test_no_firewall_is_blamed_where_tulled_runs_with_another_config(well: DoctorInput) -> None:
    moved = network.parse('{"Network": "10.99.0.0/16", "Backend": {"Type": "vxlan"}}', "test")
    silent = replace(well.answers, tunnel=frozenset(), beside=frozenset())
    seen = replace(well, survey=replace(well.survey, config=moved), answers=silent)
    for check in (tunnel.reachable, tunnel.checksums):
        with pytest.raises(
            InapplicableError, match=r"the store's network is 10.99.0.0/16, tulled runs with 10.42.0.0/16"
        ):
            list(check(seen))
