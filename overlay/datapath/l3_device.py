"""Layer 3 devices (WireGuard, the UDP forwarder): creates them, and tells what carries their packets about the peers.

The WireGuard device and the forwarder process outlive the daemon. One that exists and can go on is told only what has
changed, so that no packet is lost.
"""

import contextlib
import socket
import sys
import time
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from kernel import spawn, wireguard
from kernel.netlink.handle import Handle
from overlay.backends import L3Device, UdpForwarding, WireguardConfig
from overlay.errors import Unavailable
from overlay.forwarder import control
from overlay.forwarder.control import State
from system.ip import IPAddress, IPNetwork

START = "import sys; sys.path[:] = {paths!r}; from overlay.forwarder.process import main; raise SystemExit(main())"


NOTICE = 1.0
"""Seconds for the peers to learn this host's key, before the first datagram is sent to them."""


class L3Devices:
    """The layer 3 devices of one daemon, which its lease file `owner` identifies; `private_key` is WireGuard's.

    A forwarder takes from the addresses in `allowed` what any of the peers may send.
    """

    def __init__(self, owner: str, private_key: str = "", allowed: tuple[IPNetwork, ...] = ()) -> None:
        self._owner, self._private_key = owner, private_key
        self._allowed = tuple(one for one in allowed if isinstance(one, IPv4Network))
        self._told: dict[str, wireguard.Settings] = {}
        self._made: dict[str, float] = {}

    def ensure(self, network: Handle, pipe: L3Device) -> tuple[str, ...]:
        """Have the WireGuard device, or the forwarder, of `pipe` run with these peers; return what was changed.

        Raises KernelError, or Unavailable while the device is another daemon's.
        """
        match pipe.carrier:
            case UdpForwarding():
                return self._forwarding(pipe.name, pipe.carrier)
            case WireguardConfig():
                return self._encryption(network, pipe.name, pipe.carrier)

    def trigger_handshake(self, pipe: L3Device) -> None:
        """Send one datagram to every peer through a WireGuard device that was created at least NOTICE seconds ago.

        It starts a session. A peer that still has a session with an earlier device of this host would use that, in
        vain, until 15 seconds without an answer have passed. Not at once: a peer that does not know our key yet ignores
        the handshake, and WireGuard tries again only after 5 seconds.
        """
        made = self._made.get(pipe.name)
        if isinstance(pipe.carrier, WireguardConfig) and made is not None and time.monotonic() - made >= NOTICE:
            del self._made[pipe.name]
            for subnet in {subnet for peer in pipe.carrier.peers for subnet in peer.allowed}:
                _send(subnet.network_address)

    def _encryption(self, network: Handle, device: str, wanted: WireguardConfig) -> tuple[str, ...]:
        """Keep a device and its sessions.

        WireGuard follows a peer whose address changes, so an endpoint is set only when the wanted one has changed.
        """
        settings = wireguard.Settings(
            self._private_key,
            wanted.port,
            frozenset(
                wireguard.Peer(one.public_key, one.endpoint, one.allowed, one.keepalive, one.preshared_key)
                for one in wanted.peers
            ),
        )
        changed = []
        if network.link(device) is None:
            wireguard.create(network, device)
            self._told.pop(device, None)
            self._made[device] = time.monotonic()
            changed.append(f"creating WireGuard device {device}")
        found = wireguard.show(device)
        if found != settings and (
            self._told.get(device) != settings or _without_endpoints(found) != _without_endpoints(settings)
        ):
            wireguard.sync(device, settings)
            changed.append(f"setting {len(settings.peers)} peers on {device}")
        self._told[device] = settings
        return tuple(changed)

    def _forwarding(self, device: str, wanted: UdpForwarding) -> tuple[str, ...]:
        state = State(
            *(device, wanted.bind, wanted.port, self._owner, wanted.source, wanted.subnet, wanted.routes),
            allowed=self._allowed,
        )
        running = control.ask(device)
        if running == state:
            return ()
        owner = running.owner if running is not None else control.earlier(device)
        if owner not in (None, self._owner):
            raise Unavailable(f"{device} belongs to the daemon with the lease file {owner}; stop that one first")
        if running is not None and running.same_process(state):
            control.ask(device, control.encode(state))
            return (f"telling the forwarder of {device} about {len(state.routes)} peers",)
        if owner is not None:
            stop_forwarder(device, self._owner)
        _start(state)
        return (f"starting the forwarder of {device} on {state.bind} port {state.port}",)


def _send(address: IPAddress) -> None:
    """Send an empty datagram to the discard port (RFC 863); a peer that cannot be reached now starts its own session."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as out:
        out.setblocking(False)
        out.sendto(b"", (str(address), 9))


def _without_endpoints(settings: wireguard.Settings) -> wireguard.Settings:
    return replace(settings, peers=frozenset(replace(peer, endpoint=None) for peer in settings.peers))


def stop_forwarder(device: str, owner: str) -> bool:
    """Stop the forwarder of a device if this daemon, `owner`, started it; return whether one was running."""
    running = control.ask(device)
    if running is None:
        return control.earlier(device) == owner and control.earlier(device, control.STOP) == owner
    if running.owner != owner:
        return False
    control.ask(device, control.STOP)
    return True


def _start(state: State) -> None:
    """Start a forwarder; the call returns when it carries packets, as a process in the background."""
    outcome = spawn.run(_program(), control.encode(state).decode())
    if outcome.code != 0:
        raise spawn.error_from(outcome, f"starting the forwarder of {state.device}")


def _program() -> list[str]:
    """Return the command line of a forwarder: beside the frozen program lies one by that name, elsewhere Python runs it."""
    if hasattr(sys, "frozen"):
        return [str(Path(sys.executable).with_name("tulle-forwarder"))]
    return [sys.executable, "-IS", "-c", START.format(paths=[str(Path(path).absolute()) for path in sys.path])]
