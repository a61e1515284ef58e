"""Tests, for STATUS, whether `firewall` could add its rules here.

It adds some and removes them in the same transaction.

Only the kernel can tell: it may lack a match that the tool knows.
"""

from __future__ import annotations

from ipaddress import ip_address

from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.firewall import iptables, nft
from meta.firewall.config import ADMIN_CHAIN
from meta.firewall.plan import Passage
from meta.firewall.rules import iptables as legacy
from meta.firewall.rules import nftables as modern

SAMPLE = Passage(AttachmentID("tulle-status", "trial", "eth0"), (ip_address("192.0.2.1"),), ADMIN_CHAIN)
CHAIN = "CNI-STATUS-TRIAL"


def require(backend: str) -> None:
    """Raise CniError 50 unless the kernel takes rules like those that ADD would add through `backend`."""
    if backend == "nftables":
        table = {"add": {"table": {"family": modern.FAMILY, "name": modern.TABLE}}}
        if not nft.accepts([table, *modern.addition(SAMPLE, ())]):
            raise _unavailable(
                "nftables", "install nftables, run as root, and boot a kernel with CONFIG_NF_TABLES_INET"
            )
    else:
        _require_legacy()


def _require_legacy() -> None:
    """Make a chain with such rules and delete it, in one transaction.

    `iptables-restore --test` does not ask the kernel.
    """
    rules = [("-A", CHAIN, *rule[2:]) for rule in legacy.own_rules(SAMPLE, 4)]
    try:
        iptables.restore(4, legacy.TABLE, (), [("-N", CHAIN), *rules, ("-F", CHAIN), ("-X", CHAIN)])
    except KernelError as refused:
        remedy = "install iptables, run as root, and boot a kernel with its filter table, comment and conntrack"
        raise _unavailable("iptables", f"{remedy}: {refused}") from refused


def _unavailable(backend: str, remedy: str) -> CniError:
    return CniError(Code.NOT_AVAILABLE, f"firewall needs {backend}, which does not work here", remedy)
