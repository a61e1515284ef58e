"""Claims: result values are frozen, hashable whatever they carry along, and empty by default."""

from dataclasses import FrozenInstanceError
from ipaddress import ip_interface

import pytest

from cni.types import Address, Interface, Result, Route


def test_an_empty_result_has_no_members() -> None:
    assert Result() == Result(interfaces=(), ips=(), routes=())


def test_an_absent_interface_index_is_not_zero() -> None:
    assert Address(ip_interface("10.0.0.2/24")) != Address(ip_interface("10.0.0.2/24"), interface=0)


def test_an_absent_table_is_not_zero() -> None:
    assert Route(ip_interface("10.0.0.0/24")) != Route(ip_interface("10.0.0.0/24"), table=0)


def test_values_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Interface("eth0").name = "eth1"  # type: ignore[misc]


def test_a_value_with_unknown_members_can_be_hashed() -> None:
    assert hash(Interface("eth0", extra={"vendor": {}})) == hash(Interface("eth0"))
