"""Claims about the checks of what a host was given, where tests/e2e/test_doctor.py breaks nothing: the less usual mistakes."""

import sys
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from cli.checks import DoctorInput, InapplicableError, lease
from kernel.netlink.objects import Address
from overlay.config import network, settings


def test_a_host_that_is_well_has_no_finding(well: DoctorInput) -> None:
    for check in (lease.store, lease.lease_file, lease.bridge_address, lease.rivals):
        assert list(check(well)) == []


@pytest.mark.parametrize(
    ("problem", "do"),
    [
        (
            "https://x:2379: [SSL: CERTIFICATE_VERIFY_FAILED] ... is not valid for '192.0.2.9'",
            "as its certificate does",
        ),
        ("https://x:2379: [SSL: CERTIFICATE_VERIFY_FAILED] ... unable to get local issuer", "TULLED_ETCD_CAFILE"),
        ("http://x:2379: etcdserver: permission denied", "etcdctl role grant-permission"),
        ("sqlite:/x: there is no such file", "start the store"),
    ],
)
def test_what_to_do_about_a_store_depends_on_what_it_says(well: DoctorInput, problem: str, do: str) -> None:
    (found,) = lease.store(replace(well, survey=replace(well.survey, store_problem=problem)))
    assert (found.saw, do in found.remedy) == (problem, True)


def test_an_entry_that_cannot_be_read_is_a_finding(well: DoctorInput) -> None:
    (found,) = lease.store(replace(well, survey=replace(well.survey, refused=("10.42.9.0-24: no JSON",))))
    assert found.saw == "10.42.9.0-24: no JSON"


def test_a_published_address_that_is_not_this_host_s_is_a_finding(well: DoctorInput) -> None:
    (found,) = lease.lease_file(replace(well, survey=replace(well.survey, addresses=())))
    assert "192.0.2.1, which is no address of this host" in found.saw


def test_an_address_behind_nat_is_no_finding(well: DoctorInput) -> None:
    natted = replace(well.survey, addresses=(), settings=replace(well.survey.settings, public_ip="192.0.2.1"))
    assert list(lease.lease_file(replace(well, survey=natted))) == []


def test_an_address_of_the_network_on_no_bridge_is_not_the_bridge_s(well: DoctorInput) -> None:
    held = Address(3, IPv4Interface("10.42.7.0/32"))
    assert list(lease.bridge_address(replace(well, survey=replace(well.survey, addresses=(held,))))) == []


def test_flanneld_beside_tulled_is_a_finding(well: DoctorInput) -> None:
    (found,) = lease.rivals(replace(well, daemons=("tulled", "flanneld")))
    assert found.saw == "flanneld and tulled both run here"


def test_without_a_lease_in_the_store_there_are_no_rivals_to_look_for(well: DoctorInput) -> None:
    with pytest.raises(InapplicableError, match="no lease in the store"):
        list(lease.rivals(replace(well, survey=replace(well.survey, leases=()))))


def test_a_host_that_has_not_joined_begins_with_that(well: DoctorInput, tmp_path: Path) -> None:
    absent = settings.parse(["--store", f"sqlite:{tmp_path}/none.db"], {}, sys.stderr)
    assert lease.headline(replace(well.survey, settings=absent, lease=None)) == (
        "this host has not joined a network: tulle join, with the addresses of all hosts"
    )
    assert lease.headline(well.survey) == ""


def test_another_config_in_the_store_than_tulled_runs_with_comes_first(well: DoctorInput) -> None:
    moved = network.parse('{"Network": "10.99.0.0/16", "Backend": {"Type": "vxlan"}}', "test")
    assert lease.headline(replace(well.survey, config=moved)) == (
        "the store's network is 10.99.0.0/16, tulled runs with 10.42.0.0/16: systemctl restart tulled"
    )
    links = tuple(replace(link, name="flannel.9") if link.name == "flannel.1" else link for link in well.survey.links)
    assert lease.headline(replace(well.survey, links=links)) == (
        "the store's network config wants flannel.1 (vxlan), tulled runs with flannel.9: systemctl restart tulled"
    )
