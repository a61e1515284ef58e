"""Writes the kernel's part of a network as the `ip` and `bridge` commands that would make it, lease by lease.

They are what tulled wants for the leases in the store, not what the kernel has.
"""

from collections.abc import Iterator

from overlay.backends import Desired, GatewayRoutes, L3Device, UdpForwarding, VxlanDevice, WireguardConfig
from overlay.subnet.lease import Lease
from system.ip import IPNetwork


def commands(desired: Desired, lease: Lease) -> Iterator[str]:
    """Yield the commands for one other host's lease: neighbour, FDB entry, route."""
    for tunnel in desired.tunnels:
        yield from _tunnel(tunnel, lease.subnet.networks)
    for pipe in desired.pipes:
        yield from _pipe(pipe, lease.subnet.networks)
    yield from _direct(desired.direct, lease.subnet.networks)


def _tunnel(tunnel: VxlanDevice, subnets: tuple[IPNetwork, ...]) -> Iterator[str]:
    device = tunnel.device.name
    bases = {subnet.network_address for subnet in subnets}
    for address, mac in sorted(tunnel.neighbours, key=str):
        if address in bases:
            yield f"ip neighbour replace {address} lladdr {mac} dev {device} nud permanent"
            for _, far in sorted((one for one in tunnel.fdb if one[0] == mac), key=str):
                yield f"bridge fdb replace {mac} dev {device} dst {far} self permanent"
    for subnet, gateway in sorted(tunnel.routes, key=str):
        if subnet in subnets:
            yield f"ip route replace {subnet} via {gateway} dev {device} onlink"


def _pipe(pipe: L3Device, subnets: tuple[IPNetwork, ...]) -> Iterator[str]:
    for network in pipe.networks:
        if any(network.version == one.version and one.network_address in network for one in subnets):
            yield f"ip route replace {network} dev {pipe.name}"
    match pipe.carrier:
        case WireguardConfig(_, peers):
            for peer in sorted(peers, key=lambda one: one.public_key):
                if peer.allowed & set(subnets):
                    allowed = ",".join(sorted(map(str, peer.allowed)))
                    address, port = peer.endpoint
                    at = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
                    yield f"wg set {pipe.name} peer {peer.public_key} endpoint {at} allowed-ips {allowed}"
        case UdpForwarding(routes=routes):
            for subnet, far in sorted(routes, key=str):
                if subnet in subnets:
                    yield f"# {pipe.name}: the forwarder sends {subnet} to {far}"


def _direct(direct: GatewayRoutes | None, subnets: tuple[IPNetwork, ...]) -> Iterator[str]:
    for subnet, gateway, link in sorted(direct.routes, key=str) if direct else ():
        if subnet in subnets:
            yield f"ip route replace {subnet} via {gateway} dev {link}"
