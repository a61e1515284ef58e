"""Asks other hosts whether packets arrive there, all of them at once: echoes of a size (RFC 792) and TCP's answer at a port.

An echo that comes back proves both directions. Must not know what hangs on an answer. Blind spot: IPv4 alone, and root alone.
"""

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address

PATIENCE = 1.0
"""Seconds; also the time the whole call takes at most."""
SMALL = 84
"""Bytes of a packet for which every way is wide enough: ping's own."""
DISCARD = 9
"""The port nobody listens on (RFC 863): a host whose packets arrive refuses, which is an answer."""
HEADERS = 28
"""Bytes of an IPv4 and an ICMP header."""
ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
REQUEST, REPLY = 8, 0
IP_MTU_DISCOVER, PROBE = 10, 3
"""linux/in.h: send with DF set, whatever is known about the way."""


def echo(targets: Mapping[IPv4Address, int], patience: float = PATIENCE) -> dict[IPv4Address, float]:
    """Send each target one unfragmented packet of so many bytes; return after how many seconds each that did so answered.

    Raises OSError, EPERM where echoes may not be sent.
    """
    identifier = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP) as wire:
        wire.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROBE)
        sent = {}
        for number, (address, size) in enumerate(targets.items()):
            sent[address] = time.monotonic()
            with contextlib.suppress(OSError):  # no way there, or a packet larger than the first link: silence says so
                wire.sendto(_request(identifier, number & 0xFFFF, size), (str(address), 0))
        return _answers(wire, identifier, sent, time.monotonic() + patience)


def tcp(targets: Collection[IPv4Address], patience: float = PATIENCE) -> frozenset[IPv4Address]:
    """Return those targets whose TCP answers at the port DISCARD within `patience` seconds, if only to refuse."""
    heard = set()
    with contextlib.ExitStack() as stack:
        waiting = {}
        poll = select.poll()
        for address in targets:
            line = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
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


def refusing(targets: Collection[IPv4Address], port: int, patience: float = PATIENCE) -> frozenset[IPv4Address]:
    """Return those targets that say, to an empty datagram, that nobody listens on UDP `port` (RFC 1122, 4.1.3.1)."""
    heard = set()
    with contextlib.ExitStack() as stack:
        poll, asked = select.poll(), {}
        for address in targets:
            line = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            with contextlib.suppress(OSError):
                line.connect((str(address), port))
                line.send(b"")
                poll.register(line, 0)  # an error is always told
                asked[line.fileno()] = (line, address)
        until = time.monotonic() + patience
        while asked and (rest := until - time.monotonic()) > 0:
            for number, _ in poll.poll(rest * 1000):
                line, address = asked.pop(number)
                poll.unregister(number)
                if line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED:
                    heard.add(address)
    return frozenset(heard)


def _answers(
    wire: socket.socket, identifier: int, sent: Mapping[IPv4Address, float], until: float
) -> dict[IPv4Address, float]:
    heard: dict[IPv4Address, float] = {}
    while len(heard) < len(sent) and (rest := until - time.monotonic()) > 0:
        if not select.select([wire], [], [], rest)[0]:
            break
        for sender in _replies(wire, identifier):
            if sender in sent:
                heard.setdefault(sender, time.monotonic() - sent[sender])
    return heard


def _replies(wire: socket.socket, identifier: int) -> Iterator[IPv4Address]:
    """Yield the senders of the replies to us that have arrived; a raw socket hears those to everybody."""
    with contextlib.suppress(BlockingIOError):
        while True:
            packet, (sender, _) = wire.recvfrom(65536)
            header = (packet[0] & 0xF) * 4
            if len(packet) >= header + ECHO.size:
                kind, _, _, mark, _ = ECHO.unpack_from(packet, header)
                if (kind, mark) == (REPLY, identifier):
                    yield IPv4Address(sender)


def _request(identifier: int, number: int, size: int) -> bytes:
    """Return an echo request that makes a packet of `size` bytes, all its data zero."""
    checksum = _checksum((REQUEST << 8, identifier, number))
    return ECHO.pack(REQUEST, 0, checksum, identifier, number) + bytes(max(0, size - HEADERS))


def _checksum(words: tuple[int, ...]) -> int:
    """Return the Internet checksum (RFC 1071) of 16-bit words; zeros behind them do not change it."""
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
