"""Claims about the checks of the host itself, where tests/e2e/test_doctor.py breaks nothing: routes that do no harm, IPv6, what keeps
networks apart and who fights over rules."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from cli.checks import DoctorInput, Finding, InapplicableError, host
from kernel.netlink.objects import Route
from overlay.config import network

DUAL = '{"Network": "10.42.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}}'


def test_a_host_that_is_well_has_no_finding(well: DoctorInput) -> None:
    for check in (host.forwarding, host.isolation, host.reverse_path, host.routes):
        assert list(check(well)) == []


def test_a_network_of_both_families_needs_both_to_be_forwarded(well: DoctorInput) -> None:
    dual = replace(well.survey, config=network.parse(DUAL, "test"))
    (found,) = host.forwarding(replace(well, survey=dual))
    assert found.saw.startswith("net.ipv6.conf.all.forwarding is")


@pytest.mark.parametrize("dst", ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24"])
def test_a_wider_route_or_one_elsewhere_takes_nothing_away(well: DoctorInput, dst: str) -> None:
    route = Route(IPv4Network(dst), IPv4Address("192.0.2.9"), link=2)
    assert list(host.routes(replace(well, survey=replace(well.survey, routes=(route,))))) == []


def test_a_strict_filter_does_no_harm_where_packets_leave_as_they_come(well: DoctorInput) -> None:
    assert well.survey.plan is not None
    strict = replace(well.survey.plan, filters={"flannel.1": "1"})
    assert list(host.reverse_path(replace(well, survey=replace(well.survey, plan=strict)))) == []


def test_without_br_netfilter_there_is_nothing_to_look_at(well: DoctorInput) -> None:
    with pytest.raises(InapplicableError, match="br_netfilter is not at work"):
        list(host.bridged(replace(well, forward_drops=True)))


def test_without_a_plan_the_reason_is_told(well: DoctorInput) -> None:
    blind = replace(well.survey, plan=None, plan_problem="no interface")
    with pytest.raises(InapplicableError, match="no interface"):
        list(host.routes(replace(well, survey=blind)))


def test_ports_on_addresses_that_are_not_here_are_told(well: DoctorInput) -> None:
    told = Finding("53/udp of net/c1 is published on 192.0.2.77, no address of this host", "ip address add ...")
    assert list(host.published(replace(well, waiting=(told,)))) == [told]
    assert list(host.published(well)) == []


def test_networks_that_reach_each_other_and_rules_that_are_fought_over_are_findings(well: DoctorInput) -> None:
    contested = "in 60 s setting FLANNEL-FWD (5 times); something else keeps changing it"
    exposed, fought = host.isolation(
        replace(well, exposed="keeping /red and /blue apart by table x", contested=contested)
    )
    assert (exposed.saw, exposed.remedy.startswith("tulle repair")) == (
        "missing: keeping /red and /blue apart by table x",
        True,
    )
    assert (fought.saw, fought.remedy) == ("in 60 s setting FLANNEL-FWD (5 times)", "something else keeps changing it")
