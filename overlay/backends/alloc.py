"""Backend alloc: acquires and publishes a subnet, and programs nothing (docs/reference/flannel.md 5.7).

It is for networks whose routers learn the subnets in another way.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from overlay.backends import Backend, Desired, OnLinkLookup, Underlay, nowhere
from overlay.backends.entry import Entry
from overlay.config.network import NetworkConfig
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

TYPE = "alloc"


def derived(_: NetworkConfig, subnet: Subnet, public: IPv4Address, public_v6: IPv6Address | None) -> Attributes:
    """Return the published value, which names no backend (docs/reference/flannel.md 2.2)."""
    return Attributes(public, public_v6 if subnet.ipv6 else None)


def build(config: NetworkConfig, underlay: Underlay, _: Mapping[str, str]) -> Backend:
    """Make the backend of one host."""
    return Alloc(config, underlay)


class Alloc:
    """The backend of one host; containers may send what the interface can."""

    def __init__(self, config: NetworkConfig, underlay: Underlay) -> None:
        self._config, self._underlay, self.mtu = config, underlay, underlay.mtu

    def attributes(self, subnet: Subnet) -> Attributes:
        """Return the published value."""
        return derived(self._config, subnet, self._underlay.public_ip, self._underlay.public_ipv6)

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:  # noqa: ARG002 - the protocol's
        """Want nothing."""
        return Desired()


ENTRY = Entry(TYPE, build, derived, typed=False)
