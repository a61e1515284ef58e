"""Before a container is attached, makes sure that rules keep containers from sending into the tunnel between the hosts.

lease.tunnel writes the rules. Usually tulled has set them; then this asks the kernel one question. If tulled left no
record beside the lease file, flanneld or a person wrote it: then the ports are those of devices with flannel's names,
or flannel's defaults.
"""

from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.firewall import nft
from kernel.netlink.handle import Handle
from lease import tunnel
from lease.file import Lease
from lease.tunnel import Tunnel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from system.ip import IPNetwork

VXLAN_PORT, UDP_PORT = 8472, 8285
"""Flannel's defaults (docs/reference/flannel.md 1.2)."""
REMEDY = "install nftables, or switch the guard off with tulled's --tunnel-guard=false"


def keep_out(lease_file: str, lease: Lease, bridge: str, host: Handle) -> None:
    """Add the rules for every tunnel of this lease that has none.

    Raises CniError if that fails although tulled asked for them.
    """
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
    """Add rules that no daemon asked for; a failure is ignored."""
    try:
        _set(wanted, lease, bridge)
    except CniError:
        return


def _presumed(host: Handle) -> Tunnel:
    """Return the tunnel as this host's links show it. It is for any VNI: only the ports are certain."""
    links = [link for link in host.links() if link.name.startswith("flannel")]
    ports = {link.vxlan.port or VXLAN_PORT for link in links if link.vxlan is not None}
    ports |= {UDP_PORT for link in links if link.kind == "tun"}
    return Tunnel(tunnel.PREFIX, tuple(sorted(ports)) or (VXLAN_PORT,))
