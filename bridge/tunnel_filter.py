"""Has the rules stand that keep containers out of the tunnel between hosts before one is attached, where no daemon has set them.

What they say is lease.tunnel's. Where tulled left no record beside the lease file another daemon wrote that, flanneld or a person: then the
devices called as flannel calls them tell the ports, or flannel's default does. Costs one question to the kernel when the table is there.
"""

from ipaddress import IPv4Network, IPv6Network

from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.firewall import nft
from kernel.netlink.handle import Handle
from lease import tunnel
from lease.file import Lease
from lease.tunnel import Tunnel

IPNetwork = IPv4Network | IPv6Network

VXLAN_PORT, UDP_PORT = 8472, 8285
"""Flannel's defaults (docs/reference/flannel.md 1.2)."""
REMEDY = "install nftables, or switch the guard off with tulled's --tunnel-guard=false"


def keep_out(lease_file: str, lease: Lease, bridge: str, host: Handle) -> None:
    """Have the guard of every tunnel of this lease; CniError when one cannot be, though the daemon says it must."""
    recorded = tunnel.read(lease_file)
    if recorded is None:
        if not nft.exists(tunnel.FAMILY, tunnel.PREFIX):
            _try(_presumed(host), lease, bridge)
        return
    for one in recorded:
        if not nft.exists(tunnel.FAMILY, one.table):
            _set(one, lease, bridge)


def _set(wanted: Tunnel, lease: Lease, bridge: str) -> None:
    networks: list[IPNetwork] = [*lease.networks, *lease.ipv6_networks]
    try:
        nft.load(tunnel.table(wanted, networks, (bridge,)))
    except KernelError as refused:
        if refused.exists:  # another ADD was faster
            return
        what = f"containers cannot be kept out of the tunnel between hosts: {refused}"
        raise CniError(Code.KERNEL_REFUSED, what, REMEDY) from refused


def _try(wanted: Tunnel, lease: Lease, bridge: str) -> None:
    """Set a guard nobody asked for; where that cannot be, all is as its daemon left it."""
    try:
        _set(wanted, lease, bridge)
    except CniError:
        return


def _presumed(host: Handle) -> Tunnel:
    """Tell the tunnel from this host's links; by any VNI, since the ports are all that is sure."""
    links = [link for link in host.links() if link.name.startswith("flannel")]
    ports = {link.vxlan.port or VXLAN_PORT for link in links if link.vxlan is not None}
    ports |= {UDP_PORT for link in links if link.kind == "tun"}
    return Tunnel(tunnel.PREFIX, tuple(sorted(ports)) or (VXLAN_PORT,))
