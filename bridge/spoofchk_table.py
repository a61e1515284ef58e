"""The nftables table that limits what a container may send through its port (key `spoofchk`).

Its own MAC and addresses.

One table serves all ports: sets say what each port may send, rules look at every frame that comes out of a port and
drop what they do not know. No connection is tracked. The rules run before the bridge forwards, so frames to the host
are judged, too.

Fragments: without its first fragment a packet is never put together, so later fragments pass; a first fragment that is
too short to show its headers is dropped.
"""

import struct
from collections.abc import Iterable

from bridge.spoofchk_ports import Port
from kernel.netlink import nf_tables
from kernel.netlink.nf_tables import ACCEPT, DIFFERENT, DROP, GOTO, Expression, Message, compare, lookup, verdict

TABLE = nf_tables.Table("tulle-spoofchk")
PREROUTING = (0, -300)  # NF_BR_PRE_ROUTING, NF_BR_PRI_NAT_DST_BRIDGED
CHAINS = ("port", "port_arp", "port_ipv4", "port_udp4", "port_ipv6", "port_unspecified", "port_icmpv6", "port_udp6")
"""Names of the chains. They are no keywords of nft, so that nft can read what it lists."""

IFNAME, ETHER, FOUR, SIX, NUMBER = 41, 9, 7, 8, 4  # nft's data types
SETS = {
    "ports": ((IFNAME,), 16),
    "macs": ((IFNAME, ETHER), 24),
    "own4": ((IFNAME, ETHER, FOUR), 28),
    "own6": ((IFNAME, ETHER, SIX), 40),
    "about6": ((IFNAME, ETHER, NUMBER), 40),
}
"""The sets: the ports that are judged, and what each may send.

A key is the name, then the MAC (6 bytes in 8), then the address. `about6` has the content of `own6`.
"""
NOTES = {
    "about6": bytes.fromhex(
        "000400000000035600040d000000014e000e00040900000001060004060000000114000407000000010c0004110000000104020000000226"
        "000407000000011e000400000000010400000000020403000000030440000000040480000000"
    )
}
"""What nft itself stores for `typeof iifname . ether saddr .

@th,64,128`: without it nft cannot read a ruleset that it saved.
"""

IIFNAME, PROTOCOL, L4PROTO = 6, 1, 16  # NFT_META_
LINK, NETWORK, TRANSPORT = 0, 1, 2
NAME, MAC, ADDRESS = 8, 12, 14
"""The registers that hold one key of a set, one part behind the other."""
FRAGMENT = 44
IP, ARP, IP6 = b"\x08\x00", b"\x08\x06", b"\x86\xdd"
UDP, ICMP6, NEVER = b"\x11", b"\x3a", b"\xff"
ETHERNET_ARP = bytes.fromhex("000108000604")
SOLICIT, ADVERT, ROUTER_ADVERT, REDIRECT = b"\x87", b"\x88", b"\x86", b"\x89"
BEFORE_AN_ADDRESS = (b"\x83", b"\x84", b"\x8f", b"\x85")
"""ICMPv6 messages that a host sends before it has an address: multicast listener reports, router solicitation."""


def admission(ports: Iterable[tuple[Port, str]]) -> list[Message]:
    """Return the messages that add the elements of these ports, each with the comment that names its attachment."""
    return [
        TABLE.add(into, key, comment if into == "ports" else "") for port, comment in ports for into, key in port.keys
    ]


def removal(keys: Iterable[tuple[str, bytes]]) -> list[Message]:
    """Return the messages that remove elements."""
    return [TABLE.remove(out_of, key) for out_of, key in keys]


def frame() -> list[Message]:
    """Return the messages that make the table with its rules and empty sets."""
    return [
        TABLE.create(),
        TABLE.chain("prerouting", PREROUTING),
        *(TABLE.chain(name) for name in CHAINS),
        *(
            TABLE.set(name, number, kinds, length, NOTES.get(name, b""))
            for number, (name, (kinds, length)) in enumerate(SETS.items(), 1)
        ),
        *(TABLE.rule(chain, *expressions) for chain, expressions in RULES),
    ]


def entrance() -> Message:
    """Return the request for the rule that leads to all others."""
    # The kernel numbers the objects of a table from 1, in the order in which a transaction makes them.
    return TABLE.get_rule("prerouting", 1 + len(CHAINS) + len(SETS) + 1)


def _own(
    address: Expression, *, kind: str, absent: bool = False, mac: Expression | None = None
) -> tuple[Expression, ...]:
    """Return the look-up of the port's name, the sender's MAC and an address in one of the sets."""
    name, sender = nf_tables.meta(IIFNAME, NAME), nf_tables.payload(LINK, 6, 6, MAC)
    return (name, mac or sender, address, lookup(kind, NAME, absent=absent))


def _is(load: Expression, value: bytes, how: int = nf_tables.EQUAL) -> tuple[Expression, ...]:
    return (load, compare(NAME, value, how))


def _seen(protocol: bytes) -> tuple[Expression, ...]:
    """Return the comparison of the protocol behind a VLAN tag, if any.

    Where it is known already, it tells nft how to print the rest.
    """
    return _is(nf_tables.meta(PROTOCOL, NAME), protocol)


def _transport(value: bytes, how: int = nf_tables.EQUAL) -> tuple[Expression, ...]:
    """Return the comparison of the transport protocol; it does not match when the headers do not show it."""
    return _is(nf_tables.meta(L4PROTO, NAME), value, how)


def _field(offset: int, value: bytes, how: int = nf_tables.EQUAL) -> tuple[Expression, ...]:
    """Return the comparison of a field of the transport header.

    It does not match in a later fragment or a packet that is too short.
    """
    return _is(nf_tables.payload(TRANSPORT, offset, len(value), NAME), value, how)


def _number(value: int) -> bytes:
    return struct.pack(">H", value)


SENDER = nf_tables.payload(NETWORK, 8, 6, MAC)
"""The MAC in an ARP packet."""
TARGET = nf_tables.payload(TRANSPORT, 8, 16, ADDRESS)
"""The address that a neighbour solicitation or advertisement is about."""
Rule = tuple[str, tuple[Expression, ...]]

RULES: tuple[Rule, ...] = (
    ("prerouting", (nf_tables.meta(IIFNAME, NAME), lookup("ports", NAME), verdict(GOTO, "port"))),
    (
        "port",
        (
            nf_tables.meta(IIFNAME, NAME),
            nf_tables.payload(LINK, 6, 6, MAC),
            lookup("macs", NAME, absent=True),
            verdict(DROP),
        ),
    ),
    ("port", (*_seen(IP), verdict(GOTO, "port_ipv4"))),
    ("port", (*_seen(ARP), verdict(GOTO, "port_arp"))),
    ("port", (*_seen(IP6), verdict(GOTO, "port_ipv6"))),
    ("port", (verdict(DROP),)),
    # ARP: a sender that names an address names its own; one that asks before it has one (RFC 5227) asks for its own.
    ("port_arp", (*_is(nf_tables.payload(NETWORK, 0, 6, NAME), ETHERNET_ARP, DIFFERENT), verdict(DROP))),
    (
        "port_arp",
        (*_seen(ARP), *_own(nf_tables.payload(NETWORK, 14, 4, ADDRESS), kind="own4", mac=SENDER), verdict(ACCEPT)),
    ),
    ("port_arp", (*_seen(ARP), *_is(nf_tables.payload(NETWORK, 14, 4, NAME), bytes(4), DIFFERENT), verdict(DROP))),
    (
        "port_arp",
        (*_seen(ARP), *_own(nf_tables.payload(NETWORK, 24, 4, ADDRESS), kind="own4", mac=SENDER), verdict(ACCEPT)),
    ),
    ("port_arp", (verdict(DROP),)),
    (
        "port_ipv4",
        (*_seen(IP), *_own(nf_tables.payload(NETWORK, 12, 4, ADDRESS), kind="own4", absent=True), verdict(DROP)),
    ),
    ("port_ipv4", (*_transport(UDP), verdict(GOTO, "port_udp4"))),
    ("port_ipv4", (*_transport(NEVER, DIFFERENT), verdict(ACCEPT))),
    ("port_ipv4", (verdict(DROP),)),
    # DHCP: neither from a server's port nor to a client's. The first eight bytes of UDP are in every first fragment of IPv4.
    ("port_udp4", (*_field(0, _number(67)), verdict(DROP))),
    ("port_udp4", (*_field(2, _number(68)), verdict(DROP))),
    ("port_udp4", (verdict(ACCEPT),)),
    (
        "port_ipv6",
        (*_seen(IP6), *_is(nf_tables.payload(NETWORK, 8, 16, NAME), bytes(16)), verdict(GOTO, "port_unspecified")),
    ),
    (
        "port_ipv6",
        (*_seen(IP6), *_own(nf_tables.payload(NETWORK, 8, 16, ADDRESS), kind="own6", absent=True), verdict(DROP)),
    ),
    (
        "port_ipv6",
        (
            nf_tables.extension(FRAGMENT, 2, 2, NAME),
            nf_tables.masked(NAME, b"\xff\xf8"),
            compare(NAME, bytes(2), DIFFERENT),
            verdict(ACCEPT),
        ),
    ),
    ("port_ipv6", (*_transport(ICMP6), verdict(GOTO, "port_icmpv6"))),
    ("port_ipv6", (*_transport(UDP), verdict(GOTO, "port_udp6"))),
    ("port_ipv6", (*_transport(NEVER, DIFFERENT), verdict(ACCEPT))),
    ("port_ipv6", (verdict(DROP),)),
    # Without an address of its own it may ask whether somebody has the one it is about to take (RFC 4862).
    ("port_unspecified", (*_transport(ICMP6), *_field(0, SOLICIT), *_own(TARGET, kind="about6"), verdict(ACCEPT))),
    *(("port_unspecified", (*_transport(ICMP6), *_field(0, kind), verdict(ACCEPT))) for kind in BEFORE_AN_ADDRESS),
    ("port_unspecified", (verdict(DROP),)),
    ("port_icmpv6", (*_field(0, ROUTER_ADVERT), verdict(DROP))),
    ("port_icmpv6", (*_field(0, REDIRECT), verdict(DROP))),
    ("port_icmpv6", (*_field(0, ADVERT), *_own(TARGET, kind="about6"), verdict(ACCEPT))),
    ("port_icmpv6", (*_field(0, ADVERT), verdict(DROP))),
    ("port_icmpv6", (*_field(0, NEVER, DIFFERENT), verdict(ACCEPT))),
    ("port_icmpv6", (verdict(DROP),)),
    ("port_udp6", (*_field(0, _number(547)), verdict(DROP))),
    ("port_udp6", (*_field(2, _number(546), DIFFERENT), verdict(ACCEPT))),
    ("port_udp6", (verdict(DROP),)),
)
"""Chain and expressions of every rule, in order. The first rule leads to the others."""
