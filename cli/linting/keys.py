"""Finds misspelled keys: a key that is unknown and near a known one.

Programs ignore unknown keys, as the reference does, so a misspelled one silently does nothing. A key that is near no
known one belongs to another program and is accepted.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from catalogue import CNI
from cli.linting import schemas
from cli.linting.finding import Finding, Place, is_object
from cli.linting.schemas import Keys
from cli.nearest import nearest
from overlay.backends import registry

CAPABILITIES = (
    *("aliases", "bandwidth", "cgroupPath", "deviceID", "dns", "infinibandGUID"),
    *("io.kubernetes.cri.pod-annotations", "ipRanges", "ips", "mac", "portMappings"),
)
"""What a runtime can be asked for (CNI's CONVENTIONS.md, CRI-O, containerd)."""

ANYBODY = ("args", "cniVersion", "dns", "ipMasq", "ipam", "name", "prevResult", "runtimeConfig", "type", "capabilities")
"""Keys that the specification gives every program."""

FREE = frozenset({"args", "prevResult", "sysctl", "cni.dev/valid-attachments", "cni.dev/attachments"})
"""Keys whose content is not the program's configuration, or has names of its own."""

NETWORK_CONFIG = (
    *("Network", "SubnetLen", "SubnetMin", "SubnetMax", "EnableIPv4", "EnableIPv6", "EnableNFTables", "Backend"),
    *("IPv6Network", "IPv6SubnetLen", "IPv6SubnetMin", "IPv6SubnetMax"),
)
HOST = ("PublicIP", "PublicIPv6", "Subnet", "IPv6Subnet", "Name")


def of_plugin(document: Mapping[str, Any], kind: str) -> Iterator[Finding]:
    """Yield the misspelled keys in the configuration of the program `kind`. Keys are as schemas.spelled writes them."""
    known = schemas.keys(CNI[kind].schema) if kind in CNI and CNI[kind].schema else Keys({})
    named = Keys({**{name: Keys({}) for name in ANYBODY}, **known.inside})
    if known.inside:
        yield from _inside(document, named, ())
    capabilities = document.get("capabilities")
    if is_object(capabilities):
        yield from near_misses(capabilities, CAPABILITIES, ("capabilities",))


def of_hosts(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the misspelled keys in a hosts file."""
    yield from near_misses(document, ("Network", "Hosts"), ())
    network = member(document, "Network")
    if is_object(network):
        yield from of_network(network, ("Network",))
    hosts = member(document, "Hosts")
    for index, host in enumerate(hosts if isinstance(hosts, list) else ()):
        if is_object(host):
            yield from near_misses(host, HOST, ("Hosts", index))


def of_network(document: Mapping[str, Any], place: Place = ()) -> Iterator[Finding]:
    """Yield the misspelled keys in a network config."""
    yield from near_misses(document, NETWORK_CONFIG, place)
    backend = member(document, "Backend")
    if is_object(backend):
        kind = str(member(backend, "Type") or "").lower()
        all_keys = tuple(key for each in registry.ENTRIES.values() for key in each.keys)
        known = registry.ENTRIES[kind].keys if kind in registry.ENTRIES else ()
        yield from near_misses(backend, ("Type", *(known or all_keys)), (*place, "Backend"))


def near_misses(members: Mapping[str, Any], known: Collection[str], place: Place) -> Iterator[Finding]:
    """Yield each unknown key of one object that is near a known one, if that is absent."""
    there = {key.casefold() for key in members}
    for key in members:
        meant = nearest(key, known)
        if meant and meant.casefold() not in there:
            yield Finding((*place, key), "nobody reads this key", f'did you mean "{meant}"?')


def member(members: Mapping[str, Any], key: str) -> Any:
    """Return a member in upper or lower case, None when absent. Of several the last counts."""
    found = [value for name, value in members.items() if name.casefold() == key.casefold()]
    return found[-1] if found else None


def _inside(value: Any, known: Keys, place: Place) -> Iterator[Finding]:
    if isinstance(value, list):
        for index, element in enumerate(value):
            yield from _inside(element, known, (*place, index))
    if not is_object(value) or not known.inside:
        return
    yield from near_misses(value, tuple(known.inside), place)
    for key, inner in value.items():
        if key not in FREE and key in known.inside and key != "capabilities":
            yield from _inside(inner, known.inside[key], (*place, key))
