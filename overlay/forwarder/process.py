"""The forwarder process: sends packets from the TUN device to the host that has their subnet, and back.

On the wire the IPv4 packet itself is the UDP payload (docs/reference/flannel.md 5.4). The process reads its first state
on stdin and goes to the background when device and sockets are open. After that it does not need tulled, which may end
and start again. It ends when its device is deleted.

A packet that arrives must come from a peer's address, from that peer's subnet, and be for ours. This is no
authentication: a sender that can forge a peer's address can send as that peer.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import sys

from kernel.errors import KernelError
from kernel.tun import open_tun
from overlay.forwarder import control, packets
from overlay.forwarder.control import State

LONGEST = 65_535
BATCH = 64
"""Packets taken from one side before the other gets its turn."""
READY = "carries packets"
"""What the background tells the foreground; anything else is why it does not."""
BUFFER = 4 * 1024 * 1024
"""Bytes of kernel memory for datagrams that wait for us; the kernel grants what it allows."""


class Gone(Exception):  # noqa: N818 - it says what is true of the device
    """The device was deleted; there is nothing left to carry."""


class Forwarder:
    """The three descriptors and the table, ready to run."""

    def __init__(self, state: State) -> None:
        """Open everything; raises KernelError or OSError."""
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._udp.bind((str(state.bind), state.port))
        self._udp.setblocking(False)
        self._tun = open_tun(state.device)
        self._path = control.path(state.device)
        self._control = control.listen(self._path)
        self._control.settimeout(control.PATIENCE)
        self._node = self._path.stat().st_ino
        self._buffer = bytearray(LONGEST)
        self._take(state)

    def run(self) -> None:
        """Carry packets until told to stop or the device is gone."""
        poll = select.epoll()
        for descriptor in (self._tun, self._udp.fileno(), self._control.fileno()):
            poll.register(descriptor, select.EPOLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._tun in ready:
                self._outward()
            if self._udp.fileno() in ready:
                self._inward()
            if self._control.fileno() in ready and not self._listen():
                return  # descriptors of a stopped forwarder are closed

    def leave(self) -> None:
        """Take the socket's file away, unless it is a successor's by now."""
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._node:
                self._path.unlink()

    def _outward(self) -> None:
        """Send what the host's stack put on the device."""
        for _ in range(BATCH):
            try:
                packet = bytearray(os.read(self._tun, LONGEST))
            except OSError as problem:
                _unless_gone(problem)
                return
            if not packets.is_packet(packet):
                continue
            host = self._table.find(packets.destination(packet))
            if host is None:
                self._answer(packets.unreachable(packet, self._state.source))
            elif packets.hop(packet):
                self._send(packet, host)

    def _inward(self) -> None:
        """Give the host's stack what other hosts sent."""
        for _ in range(BATCH):
            try:
                length, (sender, _) = self._udp.recvfrom_into(self._buffer)
            except OSError:
                return
            packet = self._buffer[:length]
            if packets.is_packet(packet) and self._table.lets_in(packet, sender) and packets.hop(packet):
                self._answer(packet)

    def _send(self, packet: bytearray, host: str) -> None:
        try:
            self._udp.sendto(packet, (host, self._state.port))
        except OSError:
            return  # no way, no buffer: a network drops packets

    def _answer(self, packet: "bytes | bytearray | None") -> None:
        if packet is None:
            return
        try:
            os.write(self._tun, packet)
        except OSError as problem:
            _unless_gone(problem)

    def _listen(self) -> bool:
        """Hear one order; False when it was to stop. Whatever a caller does wrong ends with its connection."""
        try:
            line, _ = self._control.accept()
        except OSError:  # who called has gone already, or this host is out of memory: carrying goes on
            return True
        with line:
            line.settimeout(control.PATIENCE)
            try:
                return not control.trusted(line) or self._obey(line, control.received(line))
            except (OSError, ValueError):
                return True

    def _obey(self, line: socket.socket, order: bytes) -> bool:
        """Carry an order out and answer with the state; what a successor needs is free before the caller hears of the end."""
        stop = order == control.STOP
        if stop:
            self.leave()
            os.close(self._tun)
            self._udp.close()
            self._control.close()
        elif order:
            wanted = control.decode(order)
            if not self._state.same_process(wanted):
                raise ValueError("another device, address or port takes another process")
            self._take(wanted)
        line.sendall(control.encode(self._state))
        return not stop

    def _take(self, state: State) -> None:
        self._state, self._table = state, packets.Table(state.routes, state.subnet, state.allowed)


def _unless_gone(problem: OSError) -> None:
    if problem.errno == errno.EBADFD:
        raise Gone


def main() -> int:
    """Start with the state on stdin; return 0 in the foreground once the background carries packets.

    The background opens everything: whom the kernel names to who connects is the process that began to listen.
    """
    state = sys.stdin.buffer.read()
    hear, tell = os.pipe()
    if os.fork():
        os.close(tell)
        with open(hear, errors="replace") as background:  # noqa: PTH123 - a descriptor
            said = background.read()
        sys.stderr.write(said.removeprefix(READY))
        return 0 if said == READY else 1
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))  # build.entry has kept it until now
    try:
        forwarder = Forwarder(control.decode(state))
    except (KernelError, OSError, ValueError) as problem:
        os.write(tell, f"{problem}\n".encode(errors="replace"))
        return 1
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.write(tell, READY.encode())
    os.close(tell)
    try:
        forwarder.run()
    except Gone:
        forwarder.leave()
    return 0
