"""Decides what the delegate is told.

Its configuration, made from network and lease (docs/reference/flannel.md 7, ADD 1-4).

ADD saves it (meta.flannel.state). CHECK, DEL and GC use the saved one, because the lease may have changed since.
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
"""Keys of a saved configuration that are only about one attachment."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """A configuration for another program."""

    type: str  # name of the program
    name: str  # name of the network
    members: Mapping[str, Any]  # the whole configuration

    @property
    def document(self) -> bytes:
        """The configuration as bytes, in the reference's form: compact, keys sorted."""
        return json.dumps(self.members, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def render(settings: Settings, lease: Lease) -> Delegation:
    """Return what the delegate is told on a host with `lease`. Keys in the user's `delegate` win over the lease's."""
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
    """Return the configuration that an earlier ADD saved. Raises CniError 6 or 7 for bytes that are none."""
    document = json_object.decode(content)
    for key in ("type", "name"):
        if not document.text(key):
            document.refuse(key, document.raw(key), "what ADD had written there")
    return Delegation(document.text("type"), document.text("name"), document.members)


def checking(delegation: Delegation, asked: json_object.JsonObject) -> Delegation:
    """Return the configuration for CHECK: the saved one with this request's prevResult and version."""
    return _carrying(delegation, asked, ("prevResult", "cniVersion"))


def collecting(delegations: Iterable[Delegation], asked: json_object.JsonObject) -> tuple[Delegation, ...]:
    """Return the configurations for GC: each that differs once, with the list of valid attachments."""
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
    """Return `members` with those `defaults` whose key is absent.

    Upper and lower case are equal; null counts as present.
    """
    written = _folded(members)
    return {**{key: value for key, value in defaults.items() if key.casefold() not in written}, **members}


def _with(members: Mapping[str, Any], imposed: Mapping[str, Any]) -> dict[str, Any]:
    """Return `members` with `imposed`, which replaces equal keys, in upper or lower case."""
    return {**_without(members, {key.casefold() for key in imposed}), **imposed}


def _without(members: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    folded = frozenset(keys)
    return {key: value for key, value in members.items() if key.casefold() not in folded}


def _folded(members: Mapping[str, Any]) -> dict[str, Any]:
    return {key.casefold(): value for key, value in members.items()}
