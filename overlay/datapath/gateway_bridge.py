"""Keeps the bridge of `--bridge` up with the gateway address, before the first container is attached to it.

A service can then bind to the gateway address at boot. It does what the CNI program bridge would do and no more: it
removes no port, and an address that containers may still use stays while the bridge has ports.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from kernel.netlink import requests
from kernel.netlink.handle import Handle
from kernel.netlink.objects import Address, Link
from overlay.errors import Unavailable
from system.ip import IPInterface, IPNetwork


@dataclass(frozen=True, slots=True)
class Gateway:
    """The bridge that is wanted."""

    bridge: str
    """The name of the bridge."""
    mtu: int
    """The MTU of a new bridge, in bytes."""
    addresses: tuple[IPInterface, ...]
    """The gateway address of each family, with the length of the subnet."""
    networks: tuple[IPNetwork, ...]
    """The networks in which an address on the bridge is ours to remove."""


def keep(network: Handle, wanted: Gateway) -> tuple[str, ...]:
    """Create or change the bridge as wanted, and return what was changed; raises KernelError, Unavailable."""
    changed: list[str] = []
    link = network.link(wanted.bridge)
    if link is None:
        made = requests.AddBridge(wanted.bridge, mtu=wanted.mtu, mac=bridge_mac(wanted), up=True)
        network.apply(made)
        changed.append(made.what())
        link = network.link(wanted.bridge)
    if link is None or link.kind != "bridge":
        raise Unavailable(f"{wanted.bridge} is no bridge; delete that link, or give --bridge another name")
    ports = sum(1 for one in network.links() if one.master == link.index)
    needed = difference(wanted, link, network.addresses(link.index), ports=ports)
    network.apply(*needed)
    return (*changed, *(request.what() for request in needed))


def difference(
    wanted: Gateway,
    link: Link,
    found: Sequence[Address],
    *,
    ports: int,
) -> tuple[requests.Request, ...]:
    """Return the requests for an existing bridge; raises Unavailable while it has ports and another subnet's address."""
    there = {one.address for one in found}
    stale = [one.address for one in found if _stale(one.address, wanted)]
    if stale and ports:
        was, now = ", ".join(map(str, stale)), ", ".join(map(str, wanted.addresses))
        raise Unavailable(f"{wanted.bridge} still has {was} and {ports} ports, the lease is {now}; stop its containers")
    return (
        *(() if link.up else (requests.SetLink(link.index, up=True),)),
        *(requests.DeleteAddress(link.index, one) for one in stale),
        *(requests.AddAddress(link.index, one, nodad=True) for one in wanted.addresses if one not in there),
    )


def bridge_mac(wanted: Gateway) -> str:
    """Return a MAC that is the same when the bridge is created again, so that containers' neighbour entries stay valid."""
    seed = f"tulle-bridge {wanted.bridge} {wanted.addresses[0]}"
    digest = bytearray(hashlib.sha256(seed.encode()).digest()[:6])
    digest[0] = (digest[0] & 0xFE) | 0x02  # unicast, locally administered (IEEE 802)
    return digest.hex(":")


def _stale(address: IPInterface, wanted: Gateway) -> bool:
    """Return whether an address is an earlier lease's: inside the network, not the wanted one."""
    ours = any(address.version == one.version and address.ip in one for one in wanted.networks)
    return ours and address not in wanted.addresses
