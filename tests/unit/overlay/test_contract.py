"""Claims about what stands in a store, whole: key and value that each backend publishes are flannel's bytes, in one family and in both
(docs/reference/flannel.md 2.1, 2.2); values of every other flannel, newer and older, are read, and written back as they were; and whatever
a store contains, as a lease or as the network config, no backend raises for it, nor what becomes of its wishes on the way to the kernel.
"""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel import wireguard
from kernel.netlink import codec, requests
from overlay.backends import Backend, Desired, UdpForwarding, Underlay, WireguardConfig, registry
from overlay.config import network
from overlay.datapath import diff
from overlay.datapath.diff import DeviceState
from overlay.errors import Refused
from overlay.firewall import tunnel_filter
from overlay.forwarder import control
from overlay.subnet import allocation, attributes
from overlay.subnet import lease as leases
from overlay.subnet.lease import Lease

KEY = base64.b64encode(bytes(range(32))).decode()
ME = Underlay("eth0", 1500, IPv4Address("192.0.2.3"), IPv6Address("2001:db8::3"), IPv4Address("192.0.2.3"))
FOUR, BOTH = "10.5.9.0-24", "10.5.9.0-24&fd00:12:13::-56"
V6 = {"EnableIPv6": True, "IPv6Network": "fd00:12::/32", "IPv6SubnetLen": 56}
KEPT = {"flannel.1": "c6:d2:32:6f:8f:44", "flannel-v6.1": "02:fe:00:00:00:01", "flannel-wg": KEY}


def build(kind: str, *, dual: bool, **options: object) -> Backend:
    section: dict[str, object] = {"Network": "10.5.0.0/16", "Backend": {"Type": kind, **options}}
    return registry.build(network.parse(json.dumps(section | (V6 if dual else {})), "x"), ME, KEPT)


VXLAN, VXLAN6 = (f'{{"VNI":1,"VtepMAC":"{mac}"}}' for mac in ("c6:d2:32:6f:8f:44", "02:fe:00:00:00:01"))
WG, WG6 = (f'{{"PublicKey":"{KEY}","Port":{port}}}' for port in (51820, 51821))
ONE, TWO = '"PublicIP":"192.0.2.3","PublicIPv6":null', '"PublicIP":"192.0.2.3","PublicIPv6":"2001:db8::3"'
PUBLISHED = [
    ("vxlan", {}, False, f'{{{ONE},"BackendType":"vxlan","BackendData":{VXLAN}}}'),
    ("vxlan", {}, True, f'{{{TWO},"BackendType":"vxlan","BackendData":{VXLAN},"BackendV6Data":{VXLAN6}}}'),
    ("vxlan", {"DirectRouting": True}, False, f'{{{ONE},"BackendType":"vxlan","BackendData":{VXLAN}}}'),
    ("host-gw", {}, False, f'{{{ONE},"BackendType":"host-gw"}}'),
    ("host-gw", {}, True, f'{{{TWO},"BackendType":"host-gw"}}'),
    ("udp", {}, False, f"{{{ONE}}}"),
    ("alloc", {}, False, f"{{{ONE}}}"),
    ("alloc", {}, True, f"{{{TWO}}}"),
    ("wireguard", {}, False, f'{{{TWO},"BackendType":"wireguard","BackendData":{WG}}}'),
    ("wireguard", {}, True, f'{{{TWO},"BackendType":"wireguard","BackendData":{WG},"BackendV6Data":{WG6}}}'),
    ("wireguard", {"Mode": "auto"}, True, f'{{{TWO},"BackendType":"wireguard","BackendData":{WG},"BackendV6Data":{WG}}}'),
    ("wireguard", {"ListenPort": 4500}, False, f'{{{TWO},"BackendType":"wireguard","BackendData":{WG.replace("51820", "4500")}}}'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "dual", "value"), PUBLISHED)
def test_what_a_backend_publishes_is_flannels_bytes(
    kind: str,
    options: dict[str, object],
    dual: bool,
    value: str,
) -> None:
    subnet = allocation.parse_key(BOTH if dual else FOUR)
    assert subnet.key == (BOTH if dual else FOUR)
    assert attributes.encode(build(kind, dual=dual, **options).attributes(subnet)) == value


OTHERS = [
    *(value for *_, value in PUBLISHED),
    f'{{{ONE},"BackendType":"ipip"}}',
    f'{{{ONE},"BackendType":"ipsec"}}',
    f'{{{ONE},"BackendType":"extension"}}',
    f'{{{ONE},"BackendType":"extension","BackendData":"\\u003ca\\u003e \\u0026 b\\u2028"}}',
    '{"PublicIP":"0.0.0.0","PublicIPv6":null}',
]


@pytest.mark.parametrize("value", OTHERS)
def test_every_flannels_value_is_written_back_as_it_was_read(value: str) -> None:
    assert attributes.encode(attributes.decode(value)) == value


OLDER = [
    ("vxlan", '{"PublicIP":"192.0.2.4","BackendType":"vxlan","BackendData":{"VtepMAC":"02:00:00:00:00:04"}}'),
    ("vxlan", '{"publicip":"192.0.2.4","BackendType":"vxlan","BackendData":{"vtepmac":"0200.0000.0004"}}'),
    ("host-gw", '{"PublicIP":"192.0.2.4","BackendType":"host-gw","BackendData":null}'),
    ("udp", '{"PublicIP":"192.0.2.4"}'),
    ("wireguard", f'{{"PublicIP":"192.0.2.4","BackendType":"wireguard","BackendData":{{"PublicKey":"{KEY[::-1][1:]}="}}}}'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), OLDER)
def test_a_peer_that_writes_as_older_flannels_did_is_programmed(kind: str, value: str) -> None:
    backend, subnet = build(kind, dual=False), allocation.parse_key(FOUR)
    peer = leases.parse("10.5.10.0-24", value)
    assert isinstance(peer, Lease)
    desired = backend.desired(Lease(subnet, backend.attributes(subnet)), [peer], lambda _: "eth0")
    assert "10.5.10.0" in repr(desired)
    assert desired.unusable == ()


EDGES = st.sampled_from(
    [*("", "0.0.0.0", "255.255.255.255", "192.0.2.3", "192.0.2.4", "::", "2001:db8::4", "ff02::1", "::ffff:192.0.2.4", "fe80::1%eth0"),
     *("vxlan", "wireguard", "host-gw", "udp", "02:00:00:00:00:04", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", KEY, "\ud800", "\x00", "1" * 5000)]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | EDGES
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)  # fmt: skip
GOOD = {"VNI": 1, "VtepMAC": "02:00:00:00:00:04", "PublicKey": KEY[::-1][1:] + "=", "Port": 51820}
DATA = JSON | st.fixed_dictionaries({name: st.just(value) | EDGES | JSON for name, value in GOOD.items()})
TYPES = st.sampled_from(["vxlan", "host-gw", "wireguard", ""])
VALUES = st.fixed_dictionaries(
    {
        "PublicIP": st.sampled_from(["192.0.2.4", "192.0.2.5"]) | EDGES | JSON,
        "PublicIPv6": st.sampled_from(["2001:db8::4", None]) | EDGES | JSON,
        "BackendType": TYPES | EDGES | JSON,
    },
    optional={"BackendData": DATA, "BackendV6Data": DATA, "PUBLICIP": EDGES},
)
KEYS = st.sampled_from([FOUR, BOTH, "10.5.10.0-24", "10.5.10.0-24&fd00:12:14::-56", "10.5.0.0-16", "0.0.0.0-0", "10.5.10.0-31", "10.5.10.0-24&::-0", "224.0.0.0-4&ff00::-8"])  # fmt: skip
KINDS: tuple[tuple[str, Mapping[str, object], bool], ...] = (
    *(("vxlan", {}, dual) for dual in (False, True)),
    ("vxlan", {"DirectRouting": True}, True),
    *(("host-gw", {}, dual) for dual in (False, True)),
    *(("wireguard", {"Mode": mode}, True) for mode in ("separate", "auto", "ipv4", "ipv6")),
    ("udp", {}, False),
    ("alloc", {}, True),
)
BACKENDS = [
    (build(kind, dual=dual, **options), allocation.parse_key(BOTH if dual else FOUR)) for kind, options, dual in KINDS
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(KEYS, VALUES), max_size=4))
def test_no_lease_can_raise_on_its_way_to_the_kernel(entries: list[tuple[str, dict[str, Any]]]) -> None:
    found = [leases.parse(key, json.dumps(value)) for key, value in entries]
    peers = [lease for lease in found if isinstance(lease, Lease)]
    for backend, own in BACKENDS:
        desired = backend.desired(Lease(own, backend.attributes(own)), peers, lambda _: "eth0")
        for request in _requests(desired):
            codec.encode(request)


def _requests(desired: Desired) -> Iterator[requests.Request]:
    """Give what would be sent to an empty kernel; what goes elsewhere is written as it would be."""
    nothing = DeviceState((), (), (), ())
    for tunnel in desired.tunnels:
        yield from diff.link_requests(tunnel, None, 2)
        yield from diff.entry_requests(tunnel, 7, nothing)
    if desired.direct:
        yield from diff.direct_requests(desired.direct, {"eth0": 2}, ())
    if desired.guard:
        tunnel_filter.script(tunnel_filter.TunnelFilter(desired.guard)).encode()
    for pipe in desired.pipes:
        match pipe.carrier:
            case WireguardConfig(port, peers):
                told = (wireguard.Peer(one.public_key, one.endpoint, one.allowed, one.keepalive) for one in peers)
                wireguard.text(wireguard.Settings(KEY, port, frozenset(told))).encode()
            case UdpForwarding() as carrier:
                way = (carrier.source, carrier.subnet, carrier.routes)
                state = control.State(pipe.name, carrier.bind, carrier.port, "x", *way)
                assert control.decode(control.encode(state)) == state


CONFIGS = st.fixed_dictionaries(
    {"Network": st.sampled_from(["10.5.0.0/16", "0.0.0.0/0", "10.5.0.0/30", "fd00::/8", "x"]) | JSON},
    optional={
        **dict.fromkeys(("SubnetLen", "IPv6SubnetLen", "EnableIPv4", "EnableIPv6", "EnableNFTables"), SCALARS),
        **dict.fromkeys(("SubnetMin", "SubnetMax", "IPv6Network", "IPv6SubnetMin", "IPv6SubnetMax"), EDGES | JSON),
        "Backend": JSON
        | st.fixed_dictionaries(
            {"Type": st.sampled_from([*registry.ENTRIES, "VXLAN", "ipip", ""]) | JSON},
            optional=dict.fromkeys(("VNI", "Port", "MTU", "Mode", "PSK", "ListenPort", "DirectRouting", "GBP"), JSON),
        ),
    },
)


@settings(max_examples=300, deadline=None)
@given(CONFIGS)
def test_a_config_is_used_or_refused(document: dict[str, Any]) -> None:
    with contextlib.suppress(Refused):
        config = network.parse(json.dumps(document), "x")
        registry.build(config, ME, KEPT).attributes(allocation.parse_key(FOUR))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(data: bytes | str) -> None:
    assert isinstance(leases.parse(FOUR, data), Lease | Refused)
    with pytest.raises(Refused):
        network.parse(data, "x")
