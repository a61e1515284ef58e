"""Decides which VLANs the ports of an attachment are in, and refuses invalid ids (docs/reference/cni.md 2.1, 2.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

from cni.errors import CniError, Code
from cni.json_object import JsonObject

HIGHEST = 4094
NATIVE = 1
"""The VLAN of untagged frames when `vlanTrunk` is set without `vlan`."""


@dataclass(frozen=True, slots=True)
class Member:
    """A port's membership in one VLAN."""

    vid: int
    native: bool = False  # true: frames of this VLAN are untagged on the port; false: tagged


def identifier(root: JsonObject) -> int:
    """Return the key `vlan`, 0 for none. Raises CniError 7 for an invalid id."""
    vid = root.number("vlan", 0)
    if not 0 <= vid <= HIGHEST:
        raise CniError(
            Code.INVALID_CONFIG,
            f"invalid VLAN ID {vid} (must be between 0 and {HIGHEST})",
            'set "vlan" to the id of a VLAN, or to 0 for none',
        )
    return vid


def trunk(root: JsonObject) -> tuple[int, ...]:
    """Return the VLANs of `vlanTrunk`, sorted, each once. Raises CniError 7 for the first wrong entry."""
    found: set[int] = set()
    for entry in root.sections("vlanTrunk") or ():
        lowest, highest, single = (entry.optional_number(key) for key in ("minID", "maxID", "id"))
        found.update(_between(entry, lowest, highest))
        if single is not None:
            found.add(_valid(entry, "id", single, "incorrect trunk id parameter"))
    return tuple(sorted(found))


def _between(entry: JsonObject, lowest: int | None, highest: int | None) -> range:
    if lowest is None and highest is None:
        return range(0)
    if lowest is None:
        raise _refusal(entry, "minID and maxID should be configured simultaneously, minID is missing")
    if highest is None:
        raise _refusal(entry, "minID and maxID should be configured simultaneously, maxID is missing")
    _valid(entry, "minID", lowest, "incorrect trunk minID parameter")
    _valid(entry, "maxID", highest, "incorrect trunk maxID parameter")
    if highest < lowest:
        raise _refusal(entry, "minID is greater than maxID in trunk parameter")
    return range(lowest, highest + 1)


def _valid(entry: JsonObject, key: str, vid: int, message: str) -> int:
    if not 0 < vid <= HIGHEST:
        raise _refusal(entry, message, f"{entry.where(key)} is {vid}: expected 1 to {HIGHEST}")
    return vid


def _refusal(entry: JsonObject, message: str, remedy: str = "") -> CniError:
    return CniError(Code.INVALID_CONFIG, message, remedy or f"in {entry.path}: give both ids of the range, lower first")


def container_port(vlan: int, tagged: Sequence[int]) -> tuple[Member, ...]:
    """Return the memberships of a container's port; empty: the port stays as the bridge makes it."""
    if not vlan and not tagged:
        return ()
    # A trunk without `vlan` takes untagged frames as VLAN 1. An id in both keys stays untagged: tagged, it would be
    # lost.
    native = vlan or NATIVE
    return (Member(native, native=True), *(Member(vid) for vid in tagged if vid != native))


def gateway_port(vlan: int) -> tuple[Member, ...]:
    """Return the memberships of the port behind a VLAN's gateway link."""
    return (Member(vlan, native=True),) if vlan else ()


def gateway_name(bridge: str, vlan: int) -> str:
    """Return the name of the link that carries the gateway addresses of a VLAN."""
    return f"{bridge}.{vlan}"
