"""Tests whether packets reach other hosts, all at once: by echoes of a size (RFC 792, RFC 4443) and by TCP.

An echo that comes back proves both directions of its path. One with the source address of another path comes back on
that other path, and so proves one direction only. It needs root.
"""

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from system.ip import IPAddress

PATIENCE = 1.0
"""Seconds, also for the whole call."""
SMALL = 84
"""Bytes of a packet that fits every path: the size of ping's packets."""
DISCARD = 9
"""A port on which nobody listens (RFC 863). A host that gets a packet there refuses it, which is an answer."""
ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IPV6_DONTFRAG, PROBE = 10, 23, 62, 3
"""linux/in.h, linux/in6.h: send the packet whole, whatever is known about the path."""
TALLY, ROUNDS = 1 << 16, 2
"""How many packets a call can distinguish, and how many each question has: a good path may lose one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The ICMP of one IP version."""

    family: int
    protocol: int
    request: int  # type of an echo request
    reply: int  # type of an echo reply
    headers: int  # bytes of a packet that are headers


KINDS: Mapping[int, Kind] = {
    4: Kind(socket.AF_INET, socket.IPPROTO_ICMP, 8, 0, 28),
    6: Kind(socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129, 48),
}


@dataclass(frozen=True, slots=True)
class EchoRequest:
    """One echo."""

    address: IPAddress
    size: int = SMALL  # bytes of the packet
    source: IPAddress | None = None  # None: the kernel chooses
    device: str = ""  # empty: the kernel chooses
    mark: int = 0  # mark of the packet


def echo(asked: Collection[EchoRequest], patience: float = PATIENCE) -> dict[EchoRequest, float]:
    """Send one unfragmented packet per question, and a second one when half of the time has passed without an answer.

    Return the seconds after which each answer came. Raises OSError: EPERM where echoes may not be sent.
    """
    questions = list(dict.fromkeys(asked))[: TALLY // ROUNDS]
    versions: set[int] = {each.address.version for each in questions}
    heard: dict[EchoRequest, float] = {}
    with contextlib.ExitStack() as stack:
        ears = {version: stack.enter_context(_wire(version)) for version in versions}
        mouths: dict[object, socket.socket] = {}
        sent: list[tuple[EchoRequest, float]] = []
        for _ in range(ROUNDS):
            for each in (each for each in questions if each not in heard):
                sent.append((each, time.monotonic()))
                # No route, or a packet larger than the first link: the missing answer shows it.
                with contextlib.suppress(OSError):
                    manner = (each.address.version, each.source, each.device, each.mark)
                    if manner not in mouths:
                        mouths[manner] = _prepared(stack.enter_context(_wire(each.address.version)), each)
                    mouths[manner].sendto(_request(each, len(sent) - 1), (str(each.address), 0))
            _listen(ears, sent, heard, len(questions), time.monotonic() + patience / ROUNDS)
    return heard


def tcp(targets: Collection[IPAddress], patience: float = PATIENCE) -> frozenset[IPAddress]:
    """Return those targets whose TCP answers at the port DISCARD within `patience` seconds, also by refusing."""
    heard = set()
    with contextlib.ExitStack() as stack:
        waiting = {}
        poll = select.poll()
        for address in targets:
            line = stack.enter_context(
                socket.socket(KINDS[address.version].family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            )
            if line.connect_ex((str(address), DISCARD)) == errno.EINPROGRESS:
                waiting[line.fileno()] = (line, address)
                poll.register(line, select.POLLOUT)
            else:
                heard.add(address)
        until = time.monotonic() + patience
        while waiting and (rest := until - time.monotonic()) > 0:
            for number, _ in poll.poll(rest * 1000):
                line, address = waiting.pop(number)
                poll.unregister(number)
                if line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in {0, errno.ECONNREFUSED}:
                    heard.add(address)
    return frozenset(heard)


def refusing(targets: Collection[IPAddress], port: int, patience: float = PATIENCE) -> frozenset[IPAddress]:
    """Return those targets that answer an empty datagram with "port unreachable" (RFC 1122, 4.1.3.1)."""
    heard = set()
    with contextlib.ExitStack() as stack:
        poll, asked = select.poll(), {}
        for address in targets:
            line = stack.enter_context(
                socket.socket(KINDS[address.version].family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            )
            with contextlib.suppress(OSError):
                line.connect((str(address), port))
                line.send(b"")
                poll.register(line, 0)  # errors are always reported
                asked[line.fileno()] = (line, address)
        until = time.monotonic() + patience
        while asked and (rest := until - time.monotonic()) > 0:
            for number, _ in poll.poll(rest * 1000):
                line, address = asked.pop(number)
                poll.unregister(number)
                if line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED:
                    heard.add(address)
    return frozenset(heard)


def _wire(version: int) -> socket.socket:
    """Return a socket for echoes of an IP version that never fragments."""
    kind = KINDS[version]
    wire = socket.socket(kind.family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, kind.protocol)
    if version == 4:
        wire.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROBE)
    else:
        wire.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PROBE)
        wire.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)
    return wire


def _prepared(wire: socket.socket, ask: EchoRequest) -> socket.socket:
    """Bind the socket to what the question wants. Raises OSError if that is impossible."""
    if ask.mark:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, ask.mark)
    if ask.device:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ask.device.encode())
    if ask.source is not None:
        wire.bind((str(ask.source), 0))
    return wire


def _listen(
    ears: Mapping[int, socket.socket],
    sent: Sequence[tuple[EchoRequest, float]],
    heard: dict[EchoRequest, float],
    wanted: int,
    until: float,
) -> None:
    """Collect answers until all that are `wanted` came or the time is over."""
    while len(heard) < wanted and (rest := until - time.monotonic()) > 0:
        ready, _, _ = select.select(list(ears.values()), [], [], rest)
        for version, wire in ears.items():
            for sender, number in _replies(wire, version) if wire in ready else ():
                ask, when = sent[number] if number < len(sent) else (None, 0.0)
                if ask is not None and ask.address == sender:
                    heard.setdefault(ask, time.monotonic() - when)


def _replies(wire: socket.socket, version: int) -> Iterator[tuple[IPAddress, int]]:
    """Yield sender and number of the replies to us. A raw socket also gets those to other processes."""
    with contextlib.suppress(BlockingIOError):
        while True:
            packet, sender = wire.recvfrom(65536)
            start = (packet[0] & 0xF) * 4 if version == 4 else 0  # an IPv6 socket does not deliver the header
            if len(packet) >= start + ECHO.size:
                kind, _, _, mark, number = ECHO.unpack_from(packet, start)
                if (kind, mark) == (KINDS[version].reply, _identifier()):
                    yield ip_address(sender[0].partition("%")[0]), number


def _identifier() -> int:
    return os.getpid() & 0xFFFF


def _request(ask: EchoRequest, number: int) -> bytes:
    """Return an echo request of the size asked for, its data all zero. For IPv6 the kernel adds the checksum."""
    kind = KINDS[ask.address.version]
    checksum = _checksum((kind.request << 8, _identifier(), number)) if ask.address.version == 4 else 0
    return ECHO.pack(kind.request, 0, checksum, _identifier(), number) + bytes(max(0, ask.size - kind.headers))


def _checksum(words: tuple[int, ...]) -> int:
    """Return the Internet checksum (RFC 1071) of 16-bit words. Zeros after them do not change it."""
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
