"""What each network of this daemon needs of the host for itself; two networks that need the same are refused.

That is a VNI, the name of a device, a UDP port and a range of addresses. Networks of other daemons on this host are not
known here; the kernel refuses what they have.
"""

from overlay.backends.entry import HostResources
from overlay.errors import Refused


class ConflictChecker:
    """The resources of all networks of this process, by the network's name."""

    def __init__(self) -> None:
        self._claims: dict[str, HostResources] = {}

    def enter(self, name: str, wanted: HostResources) -> None:
        """Register what a network needs; raises Refused, naming the network that has the same already."""
        for other, theirs in self._claims.items():
            found = clash(wanted, theirs)
            if other != name and found:
                remedy = "give one of them another in its network config"
                raise Refused(f"{name} and {other} both have {found}", where=name, remedy=remedy)
        self._claims[name] = wanted

    def leave(self, name: str) -> None:
        """Release what a network had; a network that has nothing is no error."""
        self._claims.pop(name, None)


def clash(one: HostResources, other: HostResources) -> str:
    """Return what two networks both need; empty when they need nothing in common."""
    if one.vni is not None and one.vni == other.vni:
        return f"VNI {one.vni}"
    if one.devices & other.devices:
        return f"the device {min(one.devices & other.devices)}"
    if one.ports & other.ports and (one.vni is None or other.vni is None):
        return f"UDP port {min(one.ports & other.ports)}"
    pairs = ((mine, theirs) for mine in one.networks for theirs in other.networks if mine.version == theirs.version)
    shared = next((pair for pair in pairs if pair[0].overlaps(pair[1])), None)
    return f"addresses of {shared[0]} and {shared[1]}" if shared else ""
