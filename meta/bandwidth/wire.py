"""Carries a plan out on the host and undoes it when a later step fails; finds and removes what an attachment left.

The qdiscs of the veth's host end disappear with it; only the ifb remains. An ifb whose alias names another attachment
is not touched.
"""

from __future__ import annotations

from contextlib import ExitStack
from os import urandom

from cni.attachment_id import AttachmentID, spellings
from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.netlink.objects import TokenBucket
from kernel.netlink.requests import AddIfb, AddRedirect, AddTokenBucket, DeleteLink, DeleteQdisc, SetLink
from kernel.netlink.tc import INGRESS
from meta.bandwidth import plan as planning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from kernel.netlink.handle import Handle, Link
    from meta.bandwidth.plan import Bucket, Shaping

KIND = "ifb"


def host_end(names: Collection[str], container_end: Link, host: Handle) -> Link:
    """Return the other end of the container's interface.

    Raises CniError 7 unless it is a veth that prevResult names.
    """
    link = host.link(container_end.peer) if container_end.peer else None
    if link is None or link.peer != container_end.index or link.name not in names:
        raise CniError(
            Code.INVALID_CONFIG,
            "no veth peer of container interface found in host ns",
            f'"{container_end.name}" must be one end of a veth whose other end prevResult lists without a sandbox',
        )
    return link


def wire(plan: Shaping, end: Link, host: Handle) -> Link | None:
    """Limit what passes `end`, and return the ifb if one was made.

    Raises CniError 103 when `end` is limited already.
    """
    if is_limited(end, host):
        raise CniError(
            Code.CONFLICT,
            f'"{end.name}" of {plan.owner.alias} is limited already',
            "delete the attachment before it is added again",
        )
    with ExitStack() as undo:
        device = None
        if plan.outward:
            device = _device(plan, end, host, undo)
            undo.callback(host.attempt, [DeleteQdisc(end.index, arriving=True)])
            bucket, redirect = (
                AddTokenBucket(device.index, bucket_of(plan.outward)),
                AddRedirect(end.index, device.index),
            )
            host.apply(SetLink(device.index, alias=plan.owner.alias), bucket, redirect)
        if plan.inward:
            host.apply(AddTokenBucket(end.index, bucket_of(plan.inward)))
        undo.pop_all()
    return device


def is_limited(end: Link, host: Handle) -> bool:
    """Return whether a link has a tbf, or a filter on arriving packets."""
    return any(each.kind == "tbf" or each.parent == INGRESS for each in host.qdiscs(end.index))


def bucket_of(numbers: Bucket) -> TokenBucket:
    """Return a plan's numbers as the kernel package takes them."""
    return TokenBucket(numbers.rate, numbers.limit, numbers.buffer)


def unwire(plan_devices: tuple[str, ...], alias: str, host: Handle) -> None:
    """Delete the attachment's ifb. An ifb without alias is the reference's: its name tells the container."""
    found = own_device(plan_devices, alias, host)
    if found:
        delete(found, host)


def own_device(names: tuple[str, ...], alias: str, host: Handle) -> Link | None:
    """Return the attachment's ifb, or None."""
    links = [link for name in names if (link := host.link(name)) and link.kind == KIND]
    return next((link for link in links if link.alias == alias), None) or next(
        (link for link in links if link.name == names[0] and not link.alias), None
    )


def unwire_strangers(network: str, known: Collection[str], host: Handle) -> None:
    """Delete every ifb of `network` whose alias is not among the `known`."""
    for link in host.links():
        owner = AttachmentID.signed(link.alias)
        ours = (
            link.kind == KIND
            and link.name.startswith(planning.PREFIX)
            and owner
            and owner.network in spellings(network)
        )
        if ours and link.alias not in known:
            delete(link, host)


def delete(link: Link, host: Handle) -> None:
    """Delete a link. One that is absent counts as deleted."""
    try:
        host.apply(DeleteLink(link.index))
    except KernelError as refused:
        if not refused.gone:
            raise


def trial(host: Handle) -> None:
    """Make a device with everything on it, down, and remove it. Raises KernelError for what this kernel cannot do."""
    name = f"{planning.PREFIX}{urandom(6).hex()}"
    with ExitStack() as undo:
        device = _made(name, 0, host, undo)
        undo.callback(delete, device, host)
        host.apply(
            AddTokenBucket(device.index, TokenBucket(125_000, 128_125, 1_000_000)),
            AddRedirect(device.index, device.index),
        )


def _device(plan: Shaping, end: Link, host: Handle, undo: ExitStack) -> Link:
    """Make the ifb under the first free name. An ifb that this attachment left behind is deleted first."""
    for name in plan.devices:
        left = host.link(name)
        if left and left.alias == plan.owner.alias and left.kind == KIND:
            delete(left, host)
        elif left:
            continue
        return _made(name, end.mtu, host, undo)
    raise CniError(
        Code.CONFLICT,
        f"the devices {' and '.join(plan.devices)} for {plan.owner.alias} exist already",
        "they belong to other attachments or programs: ip link delete the ones that nobody needs",
    )


def _made(name: str, mtu: int, host: Handle, undo: ExitStack) -> Link:
    host.apply(AddIfb(name, mtu))
    link = host.link(name)
    if link is None:
        raise CniError(
            Code.TRY_AGAIN_LATER, f'link "{name}" vanished while it was being set up', "another program removed it"
        )
    undo.callback(delete, link, host)
    return link
