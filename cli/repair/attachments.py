"""Looks at this host: which attachments exist, and whether a recorded one still lives.

Every host end of ours has its attachment's name as alias. Links of other programs have none, and are not found.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_interface

from cli.repair.cni_cache import Json, Record
from cni.attachment_id import AttachmentID
from kernel import netns
from kernel.errors import KernelError, NamespaceGone
from kernel.netlink.handle import Handle, Link


def attachments() -> dict[AttachmentID, str]:
    """Return the attachments whose host end is here, with the name of that link. Raises KernelError."""
    with Handle() as host:
        return dict(named(host.links()))


def named(links: Iterable[Link]) -> Iterator[tuple[AttachmentID, str]]:
    """Yield the attachment of each link that is a host end."""
    for link in links:
        owner = AttachmentID.signed(link.alias)
        if link.kind == "veth" and owner is not None:
            yield owner, link.name


def death(record: Record) -> str:
    """Return what proves that the recorded attachment is gone, empty while it lives. Raises KernelError.

    Another namespace may have the same path now, so it must have the interface and one of its addresses.
    """
    if not record.netns:
        return "its record names no network namespace"
    ifname = record.owner.ifname
    try:
        with netns.open_path(record.netns) as namespace, Handle(namespace) as container:
            link = container.link(ifname)
            present = {entry.address.ip for entry in container.addresses(link.index)} if link else set()
    except NamespaceGone:
        return f"its network namespace {record.netns} is gone"
    except KernelError as refused:
        if not refused.gone:
            raise
        link, present = None, set()
    if link is None:
        return f"{record.netns} has no interface {ifname}"
    recorded = set(_addresses(record.result))
    if recorded and not recorded & present:
        return f"{ifname} in {record.netns} has none of its addresses"
    return ""


def _addresses(result: Json) -> Iterator[object]:
    entries = result.get("ips")
    for entry in entries if isinstance(entries, list) else ():
        try:
            yield ip_interface(entry["address"]).ip
        except (KeyError, TypeError, ValueError):
            continue
