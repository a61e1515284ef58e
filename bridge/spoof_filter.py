"""Sets, finds and removes the rules of bridge.spoof_rules (key `macspoofchk`) in the kernel.

Where nftables does not work, there are no rules to remove.
"""

from collections.abc import Callable

from bridge import spoof_rules
from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.firewall import nft
from kernel.netlink.handle import Handle

Command = spoof_rules.Command


def watch(owner: AttachmentID, host_end: str, mac: str) -> None:
    """Drop, from now on, every frame from `host_end` that has another MAC than `mac`."""
    try:
        nft.run(spoof_rules.addition(owner, host_end, mac, _existing()))
    except KernelError as refused:
        if refused.unsupported:
            raise _unsupported() from refused
        raise


def require() -> None:
    """Raise CniError 50 unless the rules could be set here. Changes nothing."""
    if not nft.accepts(spoof_rules.addition(AttachmentID("status", "status", "eth0"), "lo", "02:00:00:00:00:01", ())):
        raise _unsupported(Code.NOT_AVAILABLE)


def stands(owner: AttachmentID, host_end: str) -> bool:
    """Return whether the attachment's rules exist."""
    return spoof_rules.complete(owner, host_end, _existing())


def forget(owner: AttachmentID) -> None:
    """Remove the attachment's rules; none is success."""
    _remove(lambda existing: spoof_rules.removal(owner, existing))


def forget_orphans() -> None:
    """Remove the rules of every host end that does not exist any more."""

    def orphans(existing: list[Command]) -> list[Command]:
        with Handle() as host:  # read after the rules: a host end is there before its rules are
            return spoof_rules.orphans(existing, {link.name for link in host.links()})

    _remove(orphans)


def _remove(decide: Callable[[list[Command]], list[Command]]) -> None:
    try:
        nft.run(decide(_existing()))
    except KernelError as refused:
        if not (refused.gone or refused.unsupported):  # gone: another program removes them at this moment
            raise


def _existing() -> list[Command]:
    return nft.listing(spoof_rules.FAMILY, spoof_rules.TABLE)


def _unsupported(code: Code = Code.KERNEL_REFUSED) -> CniError:
    return CniError(
        code,
        '"macspoofchk": true needs nftables for bridges, which does not work here',
        "install nftables and boot a kernel with CONFIG_NF_TABLES_BRIDGE, or remove macspoofchk from the configuration",
    )
