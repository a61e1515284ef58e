"""The backends by the name the network config calls them: the one list a new backend is entered in, with one line."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from overlay.backends import Backend, Underlay, alloc, host_gw, udp, vxlan, wireguard
from overlay.backends.entry import Entry
from overlay.config.network import NetworkConfig
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes

ENTRIES: dict[str, Entry] = {
    one.type: one
    for one in (
        vxlan.ENTRY,
        host_gw.ENTRY,
        wireguard.ENTRY,
        udp.ENTRY,
        alloc.ENTRY,
    )
}
DEFAULT = vxlan.TYPE
"""The backend of a network that is described by its range alone."""


def require_known(config: NetworkConfig) -> Entry:
    """Return the entry of the config's backend; raises Refused when there is none, or its options are impossible."""
    entry = ENTRIES.get(config.backend_type)
    if entry is None:
        raise config.backend.refusal("Type", "not a backend of this version", f"choose one of: {', '.join(ENTRIES)}")
    entry.options(config)
    return entry


def build(config: NetworkConfig, underlay: Underlay, kept: Mapping[str, str]) -> Backend:
    """Make the backend for this host; `kept` has what peers know it by, by device: a MAC or a public key."""
    return require_known(config).build(config, underlay, kept)


def derive(config: NetworkConfig, subnet: Subnet, public: IPv4Address, public_v6: IPv6Address | None) -> Attributes:
    """Return what a host publishes that has this subnet and these addresses in a hosts file."""
    return require_known(config).derived(config, subnet, public, public_v6)


def needs_data(attributes: Attributes) -> bool:
    """Return whether peers fail on a lease with these attributes when it has no backend data."""
    entry = ENTRIES.get(attributes.backend_type)
    return entry is not None and entry.needs_data


def is_own_device(name: str) -> bool:
    """Return whether a link has a name that only a daemon of ours or flannel's gives."""
    return any(name.startswith(one.device_prefixes) for one in ENTRIES.values())


def forwarders(*, but: str = "") -> tuple[str, ...]:
    """Return the devices whose forwarders outlive a daemon, without that of the backend `but`."""
    return tuple(one.forwarder for one in ENTRIES.values() if one.forwarder and one.type != but)
