"""The verbs of `bandwidth`.

ADD answers prevResult, with the ifb as one more interface when it limits what the container sends. DEL and GC find the
ifb by the attachment's name alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from cni.types import Interface
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from meta import namespace, prev_result
from meta.bandwidth import check, config, plan, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.request import Request
    from cni.types import Result
    from kernel.netlink.handle import Link


def add(request: Request) -> Result:
    """Limit the attachment and return prevResult with the ifb at its end. Without limits nothing is changed."""
    wanted = plan.shaping(config.parse(request), AttachmentID.of(request))
    before = prev_result.required(request, "must be called as chained plugin")
    if not wanted.limits:
        return before
    with Handle() as host, _host_end(request, before, host) as end:
        device = wire.wire(wanted, end, host)
    if device is None:
        return before
    return replace(before, interfaces=(*before.interfaces, Interface(device.name, mac=device.mac)))


def check_attachment(request: Request) -> None:
    """Compare the kernel with the limits; the veth must exist even without limits. Raises CniError 102."""
    wanted = plan.shaping(config.parse(request), AttachmentID.of(request))
    before = prev_result.required(request, "must be called as a chained plugin")
    with Handle() as host, _host_end(request, before, host) as end:
        check.check(wanted, end, host)


def delete(request: Request) -> None:
    """Remove the attachment's ifb; everything else goes with the veth. It needs no configuration and no namespace."""
    owner = AttachmentID.of(request)
    with Handle() as host:
        wire.unwire(plan.devices(owner), owner.alias, host)


def collect(request: Request) -> None:
    """Remove what belongs to attachments that the runtime does not list any more. Without a list nothing is removed."""
    known = AttachmentID.known_to(request)
    if known is None:
        return
    with Handle() as host:
        wire.unwire_strangers(request.name, [owner.alias for owner in known], host)


def status(request: Request) -> None:
    """Raise CniError 50, with what is missing, unless the kernel can do all of it.

    Tried on a device that is never up.
    """
    plan.shaping(config.parse(request), AttachmentID.of(request))
    try:
        with Handle() as host:
            wire.trial(host)
    except KernelError as refused:
        raise CniError(
            Code.NOT_AVAILABLE,
            f"bandwidth cannot be limited here: {refused}",
            "the kernel needs ifb, sch_tbf, sch_ingress, cls_u32 and act_mirred, and the program CAP_NET_ADMIN",
        ) from refused


VERBS = {"ADD": add, "CHECK": check_attachment, "DEL": delete, "GC": collect, "STATUS": status}


@contextmanager
def _host_end(request: Request, before: Result, host: Handle) -> Iterator[Link]:
    names = plan.host_ends(before)
    with namespace.container(request) as container:
        inner = namespace.interface(container, request.ifname, request.netns)
        yield wire.host_end(names, inner, host)
