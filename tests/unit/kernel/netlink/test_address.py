"""Claims: what is read is what pyroute2's class reads, whatever the kernel says; what is added reads back; of a point-to-point
address the near end counts, and the long flags before the short; what is no address is refused.
"""

import struct
from ipaddress import ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from kernel.netlink import address, message
from kernel.netlink.objects import Address
from kernel.netlink.requests import AddAddress
from system.ip import IPAddress
from tests.unit.kernel import pyroute2_encoding as theirs

OCTETS = st.integers(0, 255)


@given(
    own=st.ip_addresses(), far=st.ip_addresses(), length=st.integers(0, 32), short=OCTETS, scope=OCTETS, data=st.data()
)
def test_what_is_read_is_what_pyroute2_reads(
    own: IPAddress, far: IPAddress, length: int, short: int, scope: int, data: st.DataObject
) -> None:
    fields = {"family": theirs.family_of(own), "prefixlen": length, "flags": short, "scope": scope, "index": 7}
    more: theirs.Attributes = data.draw(
        st.sampled_from([[], [("IFA_LABEL", "eth0")], [("IFA_FLAGS", 0x80), ("IFA_CACHEINFO", {})]])
    )
    near: theirs.Attributes = data.draw(st.sampled_from([[("IFA_LOCAL", str(own))], []]))
    peer = [("IFA_ADDRESS", str(far if near and far.version == own.version else own))]
    written = bytes(theirs.message(ifaddrmsg, address.RTM_NEWADDR, 0, fields, [*near, *peer, *more]))
    told = ifaddrmsg(written)
    told.decode()
    flags = told.get_attr("IFA_FLAGS", told["flags"])
    text = told.get_attr("IFA_LOCAL") or told.get_attr("IFA_ADDRESS")
    assert address.read(written) == Address(7, ip_interface(f"{text}/{length}"), scope, flags)


@pytest.mark.parametrize("text", ["10.9.0.5/24", "10.9.0.5/31", "10.9.0.5/32", "fd00::5/64", "::/0", "0.0.0.0/0"])
def test_what_is_added_reads_back(text: str) -> None:
    read = address.read(bytes(address.add(AddAddress(7, ip_interface(text), nodad=True, scope=253))))
    assert read == Address(7, ip_interface(text), 253, address.IFA_F_NODAD)


@pytest.mark.parametrize("octets", [b"", bytes(3), bytes(16)])
def test_what_is_no_address_is_refused(octets: bytes) -> None:
    body = address.BODY.pack(2, 24, 0, 0, 7)
    with pytest.raises((ValueError, KeyError, struct.error)):
        address.read(bytes(message.message(20, 0, body, message.attribute(address.IFA_LOCAL, octets))))
