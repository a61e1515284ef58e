"""Reads the configuration of `bridge` into values that are already valid (docs/reference/cni.md 2.1)."""

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
    """The configuration of one network. None in a field means: the lease file or the reference's default decides."""

    bridge: str  # name of the bridge
    is_gateway: bool  # the bridge has the gateway address
    is_default_gateway: bool  # the container's default route leads to the bridge
    force_address: bool  # replace another address of the bridge instead of refusing
    ip_masq: bool | None  # None: as the lease says, else no
    masq_backend: str  # "iptables", "nftables", or empty: ADD takes the one that works
    mtu: int | None  # None: the lease's, else the kernel's default
    hairpin: bool
    promiscuous: bool  # the bridge receives every frame
    isolated: bool  # ports with this flag do not reach each other
    detect_duplicates: bool  # wait for the kernel's duplicate address detection (DAD)
    container_down: bool  # leave the container's interface down, without addresses
    vlan: int  # 0: none
    trunk: tuple[int, ...]  # VLANs that the container sends and receives tagged
    vlan_filtering: bool  # the bridge keeps VLANs apart
    keep_default_vlan: bool  # the port also stays in the bridge's own default VLAN
    mac_check: bool  # key `macspoofchk`
    spoof_check: bool  # key `spoofchk`
    mac: str  # empty: a random one
    ipam_type: str  # empty: the container gets no addresses
    subnet_file: str  # path of the lease file, or empty
    ipam_follows_lease: bool  # IPAM takes its ranges from the same lease file
    dns: Dns | None  # None: IPAM's answer decides


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What DEL and GC need to know.

    Only a wrong type is refused, so that a configuration which ADD refused can be removed.
    """

    ipam_type: str  # empty: no address to give back
    may_masquerade: bool  # masquerade rules may exist
    mac_check: bool  # key `macspoofchk`
    spoof_check: bool  # key `spoofchk`


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
    """Return whether IPAM takes its ranges from the same lease file.

    It does so when it has no ranges of its own and names no other file.
    """
    if ipam is None or not subnet_file:
        return False
    own_ranges = ipam.has("ranges") or ipam.has("subnet") or ipam.has("addresses")
    return not own_ranges and ipam.text("subnetFile", subnet_file) == subnet_file


def _mac(request: Request) -> str:
    """Return the MAC that was asked for, or empty.

    A later source wins: CNI_ARGS, args.cni.mac, runtimeConfig.mac (docs/reference/cni.md 1.9).
    """
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
    """Return the configured resolver settings, or None.

    A list that is present, even an empty one, replaces all that IPAM answers.
    """
    section = root.section("dns")
    if section is None:
        return None
    given = any(section.has(key) for key in ("nameservers", "search", "options")) or section.text("domain", "")
    return parse_dns(section) if given else None


def _masq_backend(root: JsonObject) -> str:
    backend = root.text("ipMasqBackend", "")
    if backend in BACKENDS:
        return backend
    if not (root.optional_flag("ipMasq") or (root.has("subnetFile") and not root.has("ipMasq"))):
        return ""  # nothing is masqueraded: the reference does not look for a backend either
    raise CniError(
        Code.INVALID_CONFIG,
        f"unknown ipmasq backend {quoted(backend)}",
        'set "ipMasqBackend" to "iptables" or "nftables", or leave it out to have what works here chosen',
    )


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
