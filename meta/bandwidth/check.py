"""Compares the kernel with a plan. CHECK ends at the first difference (docs/reference/cni.md 4.3, CHECK)."""

from __future__ import annotations

from typing import NoReturn

from cni.errors import CniError, Code
from kernel.netlink.tc import ROOT
from meta.bandwidth import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.netlink.handle import Handle, Link
    from meta.bandwidth.plan import Bucket, Shaping


def check(plan: Shaping, end: Link, host: Handle) -> None:
    """Raise CniError 102 unless `end` is limited as `plan` says, and what arrives there goes through a limited ifb."""
    if plan.inward:
        _bucket(plan, end, (plan.inward, plan.reference_inward), host)
    if plan.outward:
        device = wire.own_device(plan.devices, plan.owner.alias, host)
        if device is None:
            _differs(plan, f'the ifb "{plan.devices[0]}" is missing')
        if not device.up:
            _differs(plan, f'the ifb "{device.name}" is down')
        _bucket(plan, device, (plan.outward, plan.reference_outward), host)
        if device.index not in host.redirects(end.index)[:1]:
            _differs(plan, f'what arrives on "{end.name}" is not redirected to "{device.name}"')


def _bucket(plan: Shaping, link: Link, right: tuple[Bucket, Bucket | None], host: Handle) -> None:
    found = next((each.bucket for each in host.qdiscs(link.index) if each.parent == ROOT and each.bucket), None)
    if found is None:
        _differs(plan, f'no token bucket limits "{link.name}"')
    if found not in [wire.bucket_of(numbers) for numbers in right if numbers]:
        wanted = right[0]
        _differs(
            plan,
            f'"{link.name}" has rate {found.rate} B/s, limit {found.limit} B, buffer {found.buffer} us, '
            f"expected {wanted.rate}, {wanted.limit}, {wanted.buffer}",
        )


def _differs(plan: Shaping, what: str) -> NoReturn:
    raise CniError(
        Code.CHECK_FAILED,
        f"bandwidth of {plan.owner.alias}: {what}",
        "remove the container's network and add it again",
    )
