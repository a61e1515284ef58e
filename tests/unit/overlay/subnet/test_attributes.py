"""Claims: values are flannel's bytes for every backend of docs/reference/flannel.md 2.2; reading accepts what its decoder accepts,
older spellings included, and refuses the rest; Go's escapes are written.
"""

import contextlib
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.errors import Refused
from overlay.subnet import attributes
from overlay.subnet.attributes import Attributes

HOST, HOST6 = IPv4Address("192.0.2.3"), IPv6Address("2001:db8::3")

VECTORS = (
    (
        Attributes(HOST, None, "vxlan", '{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}'),
        '{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
    ),
    (
        Attributes(HOST, HOST6, "vxlan", '{"VNI":1,"VtepMAC":"a"}', '{"VNI":1,"VtepMAC":"b"}'),
        '{"PublicIP":"192.0.2.3","PublicIPv6":"2001:db8::3","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"a"},"BackendV6Data":{"VNI":1,"VtepMAC":"b"}}',
    ),
    (Attributes(HOST, None, "host-gw"), '{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"host-gw"}'),
    (Attributes(IPv4Address("1.2.3.4")), '{"PublicIP":"1.2.3.4","PublicIPv6":null}'),
    (Attributes(), '{"PublicIP":"0.0.0.0","PublicIPv6":null}'),
)


@pytest.mark.parametrize(("values", "text"), VECTORS)
def test_a_value_is_flannels_bytes_both_ways(values: Attributes, text: str) -> None:
    assert (attributes.encode(values), attributes.decode(text)) == (text, values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Attributes()),
        ('{"publicip": "192.0.2.3"}', Attributes(HOST)),
        ('{"PublicIP": "::ffff:192.0.2.3"}', Attributes(HOST)),
        ('{"PublicIP": "192.0.2.3", "Extra": [1]}', Attributes(HOST)),
        ('{"PublicIP": "192.0.2.3", "BackendType": "vxlan", "BackendData": {"VtepMAC": "x"}}', Attributes(HOST, None, "vxlan", '{"VtepMAC":"x"}')),
    ],
)  # fmt: skip
def test_reading_accepts_what_flannel_accepts(text: str, expected: Attributes) -> None:
    assert attributes.decode(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"PublicIP": null}', '{"PublicIP": ""}', '{"PublicIP": "192.0.2.03"}', '{"PublicIP": "2001:db8::1"}', '{"PublicIP": 1}',
        '{"PublicIP": "192.0.2.3", "PublicIPv6": "x"}', '{"PublicIP": "192.0.2.3", "BackendType": 1}', "[]", "", "{",
    ],
)  # fmt: skip
def test_a_value_flannel_would_not_decode_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        attributes.decode(text)


def test_go_escapes_are_written_inside_strings() -> None:
    assert attributes.compact({"k": "<a>&\u2028\u2029é"}) == '{"k":"\\u003ca\\u003e\\u0026\\u2028\\u2029é"}'


@given(st.text())
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(attributes.decode(text), Attributes)
