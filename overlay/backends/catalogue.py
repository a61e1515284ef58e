"""The backends by the name the network config calls them: the one list a new backend is entered in.

Must not know how any of them works.
"""

from collections.abc import Mapping

from overlay.attributes import Attributes
from overlay.backends import Backend, Device, Underlay, vxlan
from overlay.network import NetworkConfig
from overlay.stores.file import Host

TYPES = (vxlan.TYPE,)


def require_known(config: NetworkConfig) -> None:
    """Raise Refused when the config names a backend that is not in the catalogue, or gives it impossible options."""
    if config.backend_type not in TYPES:
        raise config.backend.refusal("Type", "not a backend of this version", f"choose one of: {', '.join(TYPES)}")
    vxlan.options(config)


def devices(config: NetworkConfig, underlay: Underlay) -> tuple[Device, ...]:
    """Give the devices this host will have; raises Refused."""
    require_known(config)
    return vxlan.devices(config, underlay)


def build(config: NetworkConfig, underlay: Underlay, kept: Mapping[str, str]) -> Backend:
    """Make the backend for this host; `kept` holds MACs of its devices that survived, by device name."""
    require_known(config)
    return vxlan.Vxlan(config, underlay, kept)


def derive(config: NetworkConfig, host: Host) -> Attributes:
    """Give the attributes of a host that follow from its entry in a hosts file."""
    require_known(config)
    return vxlan.derived(config, host.subnet, host.public_ip, host.public_ipv6)
