"""The bridge containers will be attached to, up with its gateway address before the first of them is.

So a service can bind to the gateway address at boot. Does what the CNI program bridge would do, no more: it never takes a port
away, and an address that containers may still use stays while the bridge has ports.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from kernel.netlink import requests
from kernel.netlink.handle import Handle
from kernel.netlink.objects import Address, Link
from overlay.backends import IPInterface, IPNetwork
from overlay.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Gateway:
    """What is wanted: the bridge's name and MTU, the gateway of each family, the networks that bound what is ours."""

    bridge: str
    mtu: int
    addresses: tuple[IPInterface, ...]
    networks: tuple[IPNetwork, ...]


def keep(network: Handle, wanted: Gateway) -> tuple[str, ...]:
    """Bring the bridge in line and return what was changed; raises KernelError, or Unavailable when it cannot be."""
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
    """Return what brings an existing bridge in line; raises Unavailable while ports hold it to another subnet."""
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
    """Derive a MAC that stays when the bridge is made anew, so that containers' neighbour entries stay right."""
    seed = f"tulle-bridge {wanted.bridge} {wanted.addresses[0]}"
    digest = bytearray(hashlib.sha256(seed.encode()).digest()[:6])
    digest[0] = (digest[0] & 0xFE) | 0x02
    return digest.hex(":")


def _stale(address: IPInterface, wanted: Gateway) -> bool:
    """Return whether an address is an earlier lease's: inside the network, not the wanted one."""
    ours = any(address.version == one.version and address.ip in one for one in wanted.networks)
    return ours and address not in wanted.addresses
