"""Converts results between the formats of the seven specification versions and the one of cni.types.

A result that is read becomes one of the newest version; a printed one has the version the configuration asks for, and
loses exactly what docs/reference/cni.md 1.6 says. Members that no version knows are kept where the format has a place
for them, so that a chained program hands them on.
"""

from __future__ import annotations

from dataclasses import replace

from cni import versions
from cni.errors import CniError, Code, quoted
from cni.json_object import JsonObject
from cni.types import NOTHING, Address, Dns, Interface, Result, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

BUCKETS, VERSIONED, NEWEST = versions.FAMILIES
"""Results with `ip4`/`ip6`; with a version in each of `ips`; and without."""

HIGHEST_U32 = 2**32 - 1
HIGHEST_U8 = 255

RESULT_KEYS = frozenset({"cniversion", "interfaces", "ips", "routes", "dns", "ip4", "ip6"})
INTERFACE_KEYS = frozenset({"name", "mac", "mtu", "sandbox", "socketpath", "pciid"})
ADDRESS_KEYS = frozenset({"version", "address", "gateway", "interface"})
ROUTE_KEYS = frozenset({"dst", "gw", "mtu", "advmss", "priority", "table", "scope"})
DNS_KEYS = frozenset({"nameservers", "domain", "search", "options"})


def parse(document: Any, version: str, path: str = "") -> Result:
    """Return the result that `document` (decoded JSON, null for an empty one) holds.

    Its own cniVersion tells the shape, `version` stands in when it has none; `path` names it in errors.
    Raises CniError 1 for a version nobody knows and 7 for a value of a wrong type.
    """
    if document is None:
        return Result()
    if not isinstance(document, dict):
        raise CniError(Code.INVALID_CONFIG, f"invalid result: expected a JSON object, got {type(document).__name__}")
    root = JsonObject(document, path)
    shape = _family(_version(root, version))
    return _from_buckets(root) if shape is BUCKETS else _from_lists(root, shape)


def previous(config: JsonObject, version: str) -> Result | None:
    """Return the prevResult of a configuration of `version`, None without one (docs/reference/cni.md 1.6).

    Raises CniError 7 when it is malformed or of another family than the configuration.
    """
    try:
        section = config.section("prevResult")
        if section is None:
            return None
        _insist_on_family(_version(section, version), version)
        return parse(section.members, version, "prevResult")
    except CniError as wrong:
        raise CniError(Code.INVALID_CONFIG, f"could not parse prevResult: {wrong.msg}", wrong.remedy) from wrong


def parse_routes(section: JsonObject) -> tuple[Route, ...]:
    """Return the list `routes` of a result, or of an IPAM configuration. Raises CniError 7."""
    return tuple(_route(entry) for entry in section.sections("routes") or ())


def dump_routes(routes: tuple[Route, ...]) -> list[dict[str, Any]]:
    """Return the list `routes` of an IPAM configuration: the specification's members only (docs/reference/flannel.md 7, ADD 4)."""
    return [_route_members(replace(route, extra=NOTHING)) for route in routes]


def parse_dns(section: JsonObject | None) -> Dns:
    """Return the resolver settings an object `dns` holds, empty ones without it. Raises CniError 7."""
    if section is None:
        return Dns()
    return Dns(
        nameservers=section.texts("nameservers"),
        domain=section.text("domain"),
        search=section.texts("search"),
        options=section.texts("options"),
        extra=section.unknown(DNS_KEYS),
    )


def dump(result: Result, version: str) -> dict[str, Any]:
    """Return the JSON object that says `result` in `version` (empty means 0.1.0).

    Raises CniError 1 for a version nobody knows and 7 when the version's shape cannot say it.
    """
    version = version or versions.OLDEST
    shape = _family(version)
    members = _to_buckets(result) if shape is BUCKETS else _to_lists(result, shape)
    return {"cniVersion": version, **result.extra, **members}


def _version(section: JsonObject, default: str) -> str:
    return section.text("cniVersion") or default or versions.OLDEST


def _insist_on_family(own: str, version: str) -> None:
    if own not in _family(version):
        raise CniError(
            Code.INVALID_CONFIG,
            f"its version {quoted(own)} does not go with the configuration's {quoted(version)}",
            "a result is not converted between attachments: remove the attachment and add it again",
        )


def _family(version: str) -> frozenset[str]:
    try:
        return versions.family(version)
    except ValueError as unknown:
        raise CniError(Code.INCOMPATIBLE_VERSION, f"no converter for results: {unknown}") from unknown


def _from_buckets(root: JsonObject) -> Result:
    buckets = [bucket for bucket in (root.section("ip4"), root.section("ip6")) if bucket is not None]
    return Result(
        ips=tuple(Address(bucket.required_interface("ip"), bucket.address("gateway")) for bucket in buckets),
        routes=tuple(route for bucket in buckets for route in parse_routes(bucket)),
        dns=parse_dns(root.section("dns")),
        extra=root.unknown(RESULT_KEYS),
    )


def _from_lists(root: JsonObject, shape: frozenset[str]) -> Result:
    interface = _newest_interface if shape is NEWEST else _plain_interface
    return Result(
        interfaces=tuple(interface(entry) for entry in root.sections("interfaces") or ()),
        ips=tuple(_address(entry) for entry in root.sections("ips") or ()),
        routes=parse_routes(root),
        dns=parse_dns(root.section("dns")),
        extra=root.unknown(RESULT_KEYS),
    )


def _plain_interface(entry: JsonObject) -> Interface:
    """Read an interface as versions before 1.0.0 knew it."""
    return Interface(
        name=entry.text("name"),
        mac=entry.text("mac"),
        sandbox=entry.text("sandbox"),
        extra=entry.unknown(INTERFACE_KEYS),
    )


def _newest_interface(entry: JsonObject) -> Interface:
    return Interface(
        name=entry.text("name"),
        mac=entry.text("mac"),
        mtu=entry.number("mtu", lowest=0, highest=HIGHEST_U32),
        sandbox=entry.text("sandbox"),
        socket_path=entry.text("socketPath"),
        pci_id=entry.text("pciID"),
        extra=entry.unknown(INTERFACE_KEYS),
    )


def _address(entry: JsonObject) -> Address:
    return Address(
        address=entry.required_interface("address"),
        gateway=entry.address("gateway"),
        interface=entry.optional_number("interface"),
        extra=entry.unknown(ADDRESS_KEYS),
    )


def _route(entry: JsonObject) -> Route:
    return Route(
        dst=entry.required_interface("dst"),
        gw=entry.address("gw"),
        mtu=entry.number("mtu", lowest=0, highest=HIGHEST_U32),
        advmss=entry.number("advmss", lowest=0, highest=HIGHEST_U32),
        priority=entry.number("priority", lowest=0, highest=HIGHEST_U32),
        table=entry.optional_number("table", lowest=0, highest=HIGHEST_U32),
        scope=entry.optional_number("scope", lowest=0, highest=HIGHEST_U8),
        extra=entry.unknown(ROUTE_KEYS),
    )


def _to_buckets(result: Result) -> dict[str, Any]:
    buckets = {name: _bucket(result, number) for name, number in (("ip4", 4), ("ip6", 6))}
    given = {name: bucket for name, bucket in buckets.items() if bucket}
    if not given:
        raise CniError(
            Code.INVALID_CONFIG,
            "cannot convert: no valid IP addresses",
            "results before 0.3.0 can only tell addresses: set cniVersion to 0.3.0 or later",
        )
    return {**given, "dns": _dns_members(result.dns)}


def _bucket(result: Result, number: int) -> dict[str, Any]:
    """Return the first address of IP version `number` with the routes of that version; empty without an address."""
    first = next((entry for entry in result.ips if entry.address.version == number), None)
    if first is None:
        return {}
    routes = [_given({"dst": str(route.dst), "gw": route.gw}) for route in result.routes if route.dst.version == number]
    return _given({"ip": str(first.address), "gateway": first.gateway, "routes": routes})


def _to_lists(result: Result, shape: frozenset[str]) -> dict[str, Any]:
    newest = shape is NEWEST
    dns = _dns_members(result.dns)
    members = _given(
        {
            "interfaces": [_interface_members(entry, newest=newest) for entry in result.interfaces],
            "ips": [_address_members(entry, versioned=not newest) for entry in result.ips],
            "routes": [_route_members(entry) for entry in result.routes],
        }
    )
    return members if newest and not dns else {**members, "dns": dns}


def _interface_members(entry: Interface, *, newest: bool) -> dict[str, Any]:
    since_1_1 = {"mtu": entry.mtu or None, "socketPath": entry.socket_path, "pciID": entry.pci_id} if newest else {}
    told = _given({"mac": entry.mac, **since_1_1, "sandbox": entry.sandbox})
    return {**entry.extra, "name": entry.name, **told}


def _address_members(entry: Address, *, versioned: bool) -> dict[str, Any]:
    told = {"address": str(entry.address), "gateway": entry.gateway, "interface": entry.interface}
    return {**entry.extra, **({"version": str(entry.address.version)} if versioned else {}), **_given(told)}


def _route_members(entry: Route) -> dict[str, Any]:
    sizes = {"mtu": entry.mtu or None, "advmss": entry.advmss or None, "priority": entry.priority or None}
    told = {"dst": str(entry.dst), "gw": entry.gw, **sizes, "table": entry.table, "scope": entry.scope}
    return {**entry.extra, **_given(told)}


def _dns_members(dns: Dns) -> dict[str, Any]:
    told = {
        "nameservers": list(dns.nameservers),
        "domain": dns.domain,
        "search": list(dns.search),
        "options": list(dns.options),
    }
    return {**dns.extra, **_given(told)}


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return `members` without what is not there (None, empty text, empty list; 0 stays), addresses as text."""
    present = {key: value for key, value in members.items() if value is not None and value not in ("", [])}
    return {key: value if isinstance(value, str | int | list) else str(value) for key, value in present.items()}
