"""A backend in one file, as somebody else would add it: hosts publish a colour, and the kernel is left alone.

PROGRAM is tulled with this backend entered in the registry.
"""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from overlay import main as tulled
from overlay.backends import Backend, Desired, OnLinkLookup, Underlay, nowhere, registry
from overlay.backends.entry import Entry, HostResources
from overlay.config.network import NetworkConfig
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes, compact
from overlay.subnet.lease import Lease

TYPE, DEVICE, PORT = "pretend", "pretend0", 4242
COLOURS = ("red", "blue")
OVERHEAD = 4
PROGRAM = "import sys; from tests.lab.pretend_backend import main; sys.exit(main())"


def colour(config: NetworkConfig) -> str:
    """Read and check the section "Backend"; raises Refused."""
    found = config.backend.text("Colour", "red")
    if found not in COLOURS:
        raise config.backend.refusal("Colour", "no colour there is", f"choose one of: {', '.join(COLOURS)}")
    return found


def resources(config: NetworkConfig) -> HostResources:
    """Take a device and a port of the host."""
    return HostResources(config.networks, frozenset([DEVICE]), frozenset([PORT]))


def derived(config: NetworkConfig, subnet: Subnet, public: IPv4Address, public_v6: IPv6Address | None) -> Attributes:
    """Publish the colour."""
    return Attributes(public, public_v6 if subnet.ipv6 else None, TYPE, compact({"Colour": colour(config)}))


class Pretend:
    """The backend of one host."""

    def __init__(self, config: NetworkConfig, underlay: Underlay) -> None:
        self._config, self._underlay, self.mtu = config, underlay, underlay.mtu - OVERHEAD

    def attributes(self, subnet: Subnet) -> Attributes:
        """Publish the colour."""
        return derived(self._config, subnet, self._underlay.public_ip, self._underlay.public_ipv6)

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:
        """Want nothing."""
        return Desired()


def build(config: NetworkConfig, underlay: Underlay, _: Mapping[str, str]) -> Backend:
    """Make the backend of one host."""
    return Pretend(config, underlay)


ENTRY = Entry(TYPE, build, derived, colour, keys=("Colour",), resources=resources, device_prefixes=(DEVICE,))


def main() -> int:
    """Run tulled with this backend."""
    registry.ENTRIES[TYPE] = ENTRY
    return tulled.main()
