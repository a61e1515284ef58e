"""Reads the configuration of `firewall` into values that are already valid (docs/reference/cni.md 4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cni.errors import CniError, Code, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.json_object import JsonObject
    from cni.request import Request

FIREWALLD = "firewalld"
BACKENDS = ("iptables", "nftables", FIREWALLD)
POLICIES = ("open", "same-bridge", "isolated")
ADMIN_CHAIN = "CNI-ADMIN"
TRUSTED = "trusted"

CHAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,27}")
"""Names of chains that both iptables and nftables accept."""

ZONE = re.compile(r"[A-Za-z0-9_/-]{1,128}")
"""Names of firewalld's zones."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one attachment asks of `firewall`."""

    backend: str  # "iptables", "nftables", "firewalld", or empty: the one that works
    admin_chain: str  # chain of the administrator's own rules
    policy: str  # "open", or which traffic between bridges is dropped
    zone: str = TRUSTED  # zone of firewalld


def parse(request: Request) -> Settings:
    """Return the settings of `request`. Raises CniError 7 that names the key, its value and what is expected."""
    root = request.config
    return Settings(_backend(root), _admin_chain(root), _policy(root), _zone(root))


def left_in(request: Request) -> str:
    """Return the backend that may hold rules of this configuration; empty: any."""
    backend = request.config.raw("backend")
    return backend if backend in BACKENDS else ""


def zone_left_in(request: Request) -> str:
    """Return the zone that may hold addresses of this configuration."""
    zone = request.config.raw("firewalldZone")
    return zone if isinstance(zone, str) and ZONE.fullmatch(zone) else TRUSTED


def _backend(root: JsonObject) -> str:
    backend = root.text("backend")
    if backend and backend not in BACKENDS:
        raise CniError(
            Code.INVALID_CONFIG,
            f"unrecognized backend {quoted(backend)}",
            'invalid value of "backend": expected "iptables", "nftables" or "firewalld"; absent: what works here',
        )
    return backend


def _admin_chain(root: JsonObject) -> str:
    chain = root.text("iptablesAdminChainName") or ADMIN_CHAIN
    if not CHAIN.fullmatch(chain):
        root.refuse(
            "iptablesAdminChainName", chain, "the name of a chain: a letter, then letters, digits, - and _, at most 28"
        )
    return chain


def _policy(root: JsonObject) -> str:
    policy = root.text("ingressPolicy") or "open"
    if policy not in POLICIES:
        root.refuse("ingressPolicy", policy, f"one of {', '.join(POLICIES)}")
    return policy


def _zone(root: JsonObject) -> str:
    zone = root.text("firewalldZone") or TRUSTED
    if not ZONE.fullmatch(zone):
        root.refuse("firewalldZone", zone, "the name of a zone of firewalld: letters, digits, _, - and /")
    return zone
