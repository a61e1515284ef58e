"""Tests, for STATUS, whether ports could be published here: it adds rules and removes them in the same transaction.

Only the kernel can tell: it may lack a match that the tool knows.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface

from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.firewall import iptables, nft
from meta.portmap.config import PortMapping, Settings
from meta.portmap.plan import Publication, Side
from meta.portmap.rules import iptables as legacy
from meta.portmap.rules import nftables as modern

SAMPLE = Publication(
    owner=AttachmentID("tulle-status", "trial", "eth0"),
    sides=(Side(ip_interface("192.0.2.1/24")),),
    mappings=(PortMapping("tcp", 1, 1), PortMapping("udp", 1, 1)),
)


def require(settings: Settings, backend: str) -> None:
    """Raise CniError 50 unless the kernel takes rules like those that ADD would add through `backend`."""
    (side,) = SAMPLE.sides
    wanted = replace(SAMPLE, sides=(replace(side, conditions=settings.conditions[4]),), snat=settings.snat)
    if backend == "nftables":
        _require_modern(wanted)
    else:
        _require_legacy(wanted)


def _require_modern(wanted: Publication) -> None:
    (side,) = wanted.sides
    table = {"add": {"table": {"family": modern.FAMILIES[4], "name": modern.TABLE}}}
    if not nft.accepts([table, *modern.addition(wanted, side, ())]):
        raise _unavailable("nftables", "install nftables, boot a kernel with CONFIG_NF_TABLES and CONFIG_NFT_FIB_IPV4")


def _require_legacy(wanted: Publication) -> None:
    """Make the container's chain and delete it, in one transaction.

    `iptables-restore --test` does not ask the kernel.
    """
    (side,) = wanted.sides
    name = legacy.chain_name(wanted.owner)
    rules = legacy.container_rules(replace(wanted, snat=False), side)
    entries = [("-A", name, *rule[2:-2], "-j", "RETURN") for rule in legacy.entry_rules(wanted, side)]
    local = ("-A", name, "-m", "addrtype", "--dst-type", "LOCAL", "-j", "RETURN")
    try:
        iptables.restore(4, legacy.TABLE, (), [("-N", name), local, *entries, *rules, ("-F", name), ("-X", name)])
    except KernelError as refused:
        remedy = "install iptables, run as root, and boot a kernel with its nat table, addrtype, comment and multiport"
        raise _unavailable("iptables", f"{remedy}: {refused}") from refused


def _unavailable(backend: str, remedy: str) -> CniError:
    return CniError(Code.NOT_AVAILABLE, f"portmap needs {backend}, which does not work here", remedy)
