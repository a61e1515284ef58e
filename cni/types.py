"""The result of an attachment in the format of the newest specification, as frozen values.

Older formats exist only in cni.results. Unknown members are kept in `extra`, so that a chained program hands them on
unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from system.ip import IPAddress, IPInterface

NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return NOTHING


@dataclass(frozen=True, slots=True)
class Interface:
    """A link the attachment consists of; an empty sandbox means it lives on the host."""

    name: str
    """The name of the link."""
    mac: str = ""
    """Its MAC; empty for none."""
    mtu: int = 0
    """Its MTU in bytes; 0 for not given."""
    sandbox: str = ""
    """The path of its network namespace; empty for a link of the host."""
    socket_path: str = ""
    """The path of its socket, such as vhost-user's; empty for none."""
    pci_id: str = ""
    """Its PCI address; empty for none."""
    extra: Mapping[str, Any] = field(default_factory=_nothing, hash=False)
    """Unknown members."""


@dataclass(frozen=True, slots=True)
class Address:
    """One entry of `ips`: a CIDR with its host bits; `interface` indexes Result.interfaces (0 is meaningful)."""

    address: IPInterface
    """The address with its prefix length."""
    gateway: IPAddress | None = None
    """The gateway of its network; None for none."""
    interface: int | None = None
    """The index in Result.interfaces; None for none."""
    extra: Mapping[str, Any] = field(default_factory=_nothing, hash=False)
    """Unknown members."""


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of `routes`; `dst` keeps its host bits as written; absent `table` or `scope` is not 0."""

    dst: IPInterface
    """The destination, with host bits as written."""
    gw: IPAddress | None = None
    """The gateway; None for none."""
    mtu: int = 0
    """The MTU of the route in bytes; 0 for none."""
    advmss: int = 0
    """The advertised TCP segment size in bytes; 0 for none."""
    priority: int = 0
    """The metric; 0 for none."""
    table: int | None = None
    """The routing table; None for not given, which is not 0."""
    scope: int | None = None
    """The scope; None for not given, which is not 0."""
    extra: Mapping[str, Any] = field(default_factory=_nothing, hash=False)
    """Unknown members."""


@dataclass(frozen=True, slots=True)
class Dns:
    """Resolver settings; all empty means none."""

    nameservers: tuple[str, ...] = ()
    """The addresses of name servers."""
    domain: str = ""
    """The local domain; empty for none."""
    search: tuple[str, ...] = ()
    """The search domains."""
    options: tuple[str, ...] = ()
    """The options of the resolver."""
    extra: Mapping[str, Any] = field(default_factory=_nothing, hash=False)
    """Unknown members."""


@dataclass(frozen=True, slots=True)
class Result:
    """What ADD answers (specification, "ADD Success"); an IPAM result carries no interfaces."""

    interfaces: tuple[Interface, ...] = ()
    """The links of the attachment; empty in a result of IPAM."""
    ips: tuple[Address, ...] = ()
    """The addresses."""
    routes: tuple[Route, ...] = ()
    """The routes."""
    dns: Dns = field(default_factory=Dns)
    """The settings of the resolver."""
    extra: Mapping[str, Any] = field(default_factory=_nothing, hash=False)
    """Unknown members."""
