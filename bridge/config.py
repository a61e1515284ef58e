"""Reads the configuration of `bridge` into values that are already valid (docs/reference/cni.md 2.1).

Knows keys and their rules; must not know the kernel, the lease file's content or IPAM's answer.
"""

from dataclasses import dataclass

from bridge import vlans
from cni import addresses, args
from cni.errors import CniError, Code, quoted
from cni.json_object import JsonObject
from cni.request import Request
from cni.results import parse_dns
from cni.types import Dns

BACKENDS = ("", "iptables", "nftables")


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one network; `None` marks what the lease or the reference's default decides.

    `masq_backend` is "iptables", "nftables" or, for the choice at ADD, empty; `vlan` 0 is none.
    """

    bridge: str
    is_gateway: bool
    is_default_gateway: bool
    force_address: bool
    ip_masq: bool | None
    masq_backend: str
    mtu: int | None
    hairpin: bool
    promiscuous: bool
    isolated: bool
    detect_duplicates: bool
    container_down: bool
    vlan: int
    trunk: tuple[int, ...]
    vlan_filtering: bool
    keep_default_vlan: bool
    mac_check: bool
    spoof_check: bool
    mac: str
    ipam_type: str
    subnet_file: str
    ipam_follows_lease: bool
    dns: Dns | None


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What DEL and GC have to know; nothing is refused here, so that a configuration ADD rejected can still be cleaned."""

    ipam_type: str
    may_masquerade: bool
    mac_check: bool
    spoof_check: bool


def parse_leftovers(request: Request) -> Leftovers:
    """Return where an attachment of this configuration may have left traces; CniError 7 only for a value of a wrong type."""
    ipam = request.config.section("ipam")
    masquerade = request.config.optional_flag("ipMasq")
    return Leftovers(
        ipam_type=ipam.text("type", "") if ipam else "",
        may_masquerade=bool(request.config.text("subnetFile", "")) if masquerade is None else masquerade,
        mac_check=request.config.flag("macspoofchk", default=False),
        spoof_check=request.config.flag("spoofchk", default=bool(request.config.text("subnetFile", ""))),
    )


def parse(request: Request) -> Settings:
    """Return the settings of `request`; CniError 7 for a bad value or values that contradict each other."""
    root = request.config
    ipam = root.section("ipam")
    ipam_type = ipam.text("type", "") if ipam else ""
    subnet_file = root.text("subnetFile", "")
    vlan = vlans.identifier(root)
    trunk = vlans.trunk(root)
    settings = Settings(
        bridge=root.text("bridge", "") or "cni0",
        is_gateway=root.flag("isGateway", default=bool(subnet_file)) or root.flag("isDefaultGateway", default=False),
        is_default_gateway=root.flag("isDefaultGateway", default=False),
        force_address=root.flag("forceAddress", default=False),
        ip_masq=root.optional_flag("ipMasq"),
        masq_backend=_masq_backend(root),
        mtu=root.number("mtu", 0, lowest=0, highest=65535) if root.has("mtu") else None,
        hairpin=root.flag("hairpinMode", default=False),
        promiscuous=root.flag("promiscMode", default=False),
        isolated=root.flag("portIsolation", default=False),
        detect_duplicates=root.flag("enabledad", default=False),
        container_down=root.flag("disableContainerInterface", default=False),
        vlan=vlan,
        trunk=trunk,
        vlan_filtering=bool(vlan) or root.has("vlanTrunk"),
        keep_default_vlan=root.flag("preserveDefaultVlan", default=False),
        mac_check=root.flag("macspoofchk", default=False),
        spoof_check=root.flag("spoofchk", default=bool(subnet_file and ipam_type)),
        mac=_mac(request),
        ipam_type=ipam_type,
        subnet_file=subnet_file,
        ipam_follows_lease=_follows(ipam, subnet_file),
        dns=_dns(root),
    )
    _refuse_contradictions(settings)
    return settings


def _follows(ipam: JsonObject | None, subnet_file: str) -> bool:
    """Tell whether IPAM takes its ranges from the same lease file: it has none of its own and names no other file."""
    if ipam is None or not subnet_file:
        return False
    own_ranges = ipam.has("ranges") or ipam.has("subnet") or ipam.has("addresses")
    return not own_ranges and ipam.text("subnetFile", subnet_file) == subnet_file


def _mac(request: Request) -> str:
    """Return the wished MAC, weakest source first: CNI_ARGS, args.cni.mac, runtimeConfig.mac (docs/reference/cni.md 1.9)."""
    wished = args.parse(request.args, {"MAC"}).get("MAC", "")
    for path in (("args", "cni"), ("runtimeConfig",)):
        section: JsonObject | None = request.config
        for key in path:
            section = section.section(key) if section else None
        wished = (section.text("mac", "") if section else "") or wished
    return _colons(wished) if wished else ""


def _colons(mac: str) -> str:
    try:
        return addresses.parse_mac(mac)
    except ValueError as wrong:
        raise CniError(Code.INVALID_CONFIG, f'invalid MAC address "{mac}"', f"expected {addresses.MAC}") from wrong


def _dns(root: JsonObject) -> Dns | None:
    """Return the configured resolver settings; any list that is present, even an empty one, replaces IPAM's wholly."""
    section = root.section("dns")
    if section is None:
        return None
    given = any(section.has(key) for key in ("nameservers", "search", "options")) or section.text("domain", "")
    return parse_dns(section) if given else None


def _masq_backend(root: JsonObject) -> str:
    backend = root.text("ipMasqBackend", "")
    if backend not in BACKENDS:
        raise CniError(
            Code.INVALID_CONFIG,
            f"unknown ipmasq backend {quoted(backend)}",
            'set "ipMasqBackend" to "iptables" or "nftables", or leave it out to have what works here chosen',
        )
    return backend


def _refuse_contradictions(settings: Settings) -> None:
    if settings.hairpin and settings.promiscuous:
        raise CniError(
            Code.INVALID_CONFIG,
            "cannot set hairpin mode and promiscuous mode at the same time",
            "keep one of hairpinMode and promiscMode",
        )
    if settings.container_down and settings.ipam_type:
        raise CniError(
            Code.INVALID_CONFIG,
            "cannot use IPAM when DisableContainerInterface flag is set",
            "remove ipam or disableContainerInterface",
        )
