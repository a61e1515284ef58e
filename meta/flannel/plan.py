"""Decides what the delegate is told: the configuration that a network and a lease make (docs/reference/flannel.md 7, ADD 1-4).

What one host's delegate was told stands in its state, and CHECK, DEL and GC go by that: the lease may be another by then.
Pure: must not know files, environment or how a delegate is run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from cni import json_object, results, valid_attachments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from lease.file import Lease
    from meta.flannel.config import Settings

PER_CONTAINER = frozenset({"runtimeconfig", "prevresult"})
"""What a saved configuration holds about one attachment only."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """A configuration for the program `type`, on the network `name`; `members` is the whole of it."""

    type: str
    name: str
    members: Mapping[str, Any]

    @property
    def document(self) -> bytes:
        """The configuration as bytes, in the reference's form: compact, keys in order."""
        return json.dumps(self.members, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def render(settings: Settings, lease: Lease) -> Delegation:
    """Return what the delegate is told on a host with `lease`; keys the delegate brings along win over the lease's."""
    kind: str = _folded(settings.delegate).get("type", "bridge")
    learned: dict[str, Any] = {"type": kind, "ipMasq": not lease.ipmasq, "mtu": lease.mtu}
    if kind == "bridge":
        learned["isGateway"] = True
    imposed: dict[str, Any] = {"name": settings.name, "ipam": _ipam(settings, lease)}
    if settings.version:
        imposed["cniVersion"] = settings.version
    if settings.runtime_config is not None:
        imposed["runtimeConfig"] = dict(settings.runtime_config)
    return Delegation(kind, settings.name, _with(_completed(settings.delegate, learned), imposed))


def saved(content: bytes) -> Delegation:
    """Return the delegation an earlier ADD saved. Raises CniError 6 or 7 for bytes that hold none."""
    document = json_object.decode(content)
    for key in ("type", "name"):
        if not document.text(key):
            document.refuse(key, document.raw(key), "what ADD had written there")
    return Delegation(document.text("type"), document.text("name"), document.members)


def checking(delegation: Delegation, asked: json_object.JsonObject) -> Delegation:
    """Return the delegation for CHECK: what ADD said, with the earlier result and the version of this request."""
    return _carrying(delegation, asked, ("prevResult", "cniVersion"))


def collecting(delegations: Iterable[Delegation], asked: json_object.JsonObject) -> tuple[Delegation, ...]:
    """Return the delegations for GC: each network-wide configuration once, with the list of attachments to keep."""
    keys = (*valid_attachments.KEYS, "cniVersion")
    networks = (Delegation(each.type, each.name, _without(each.members, PER_CONTAINER)) for each in delegations)
    carrying = (_carrying(each, asked, keys) for each in networks)
    return tuple({each.document: each for each in carrying}.values())


def _ipam(settings: Settings, lease: Lease) -> dict[str, Any]:
    networks = (*lease.networks, *lease.ipv6_networks)
    routes = results.dump_routes(settings.routes) + [{"dst": str(network)} for network in networks]
    ranges = [[{"subnet": str(subnet)}] for subnet in lease.subnets]
    return _with(_completed(settings.ipam, {"type": "host-local"}), {"ranges": ranges, "routes": routes})


def _carrying(delegation: Delegation, asked: json_object.JsonObject, keys: Iterable[str]) -> Delegation:
    brought = {key: asked.raw(key) for key in keys if asked.contains(key)}
    return Delegation(delegation.type, delegation.name, _with(delegation.members, brought))


def _completed(members: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return `members` with those defaults that are not written there in any case, be it as null."""
    written = _folded(members)
    return {**{key: value for key, value in defaults.items() if key.casefold() not in written}, **members}


def _with(members: Mapping[str, Any], imposed: Mapping[str, Any]) -> dict[str, Any]:
    """Return `members` with `imposed` in the place of whatever was written under those keys in any case."""
    return {**_without(members, {key.casefold() for key in imposed}), **imposed}


def _without(members: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    folded = frozenset(keys)
    return {key: value for key, value in members.items() if key.casefold() not in folded}


def _folded(members: Mapping[str, Any]) -> dict[str, Any]:
    return {key.casefold(): value for key, value in members.items()}
