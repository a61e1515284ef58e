"""Decides which limits an attachment gets. ADD builds this plan, CHECK compares the kernel with the same plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha512

from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from meta.bandwidth import config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.request import Request
    from cni.types import Result
    from meta.bandwidth.config import Limit, Settings

DELAY = 40
"""The queue holds what the rate sends in a fortieth of a second (25 ms)."""

HIGHEST_LIMIT = 2**32 - 1
HIGHEST_BUFFER = 2**28 - 1
"""Microseconds. The kernel counts ticks of 64 ns in 32 bits."""

TICKS, MICROSECONDS = 125, 8
"""125 ticks are 8 microseconds."""

PREFIX, DIGITS = "bwp", 12


@dataclass(frozen=True, slots=True)
class Bucket:
    """The numbers of one token bucket."""

    rate: int  # bytes per second
    limit: int  # bytes that may wait
    buffer: int  # microseconds

    @property
    def passes(self) -> int:
        """Return how many bytes may pass at once, as the kernel counts them."""
        return self.rate * (self.buffer * TICKS // MICROSECONDS * 64) // 10**9


@dataclass(frozen=True, slots=True)
class Shaping:
    """Everything that one ADD limits.

    CHECK also accepts the numbers that the reference computes from the same limits.
    """

    owner: AttachmentID
    devices: tuple[str, ...]  # names its ifb may have, in the order in which they are tried
    inward: Bucket | None  # what the container receives
    outward: Bucket | None  # what the container sends
    reference_inward: Bucket | None  # as the reference computes it
    reference_outward: Bucket | None  # as the reference computes it

    @property
    def limits(self) -> bool:
        """Whether there is any limit."""
        return self.inward is not None or self.outward is not None


def check_limits(request: Request) -> None:
    """Raise CniError for limits that no device can have, whatever the attachment."""
    shaping(config.parse(request), AttachmentID("", "", ""))


def shaping(settings: Settings, owner: AttachmentID) -> Shaping:
    """Return the plan for `settings`. Raises CniError 7 for a limit that no kernel can keep."""
    return Shaping(
        owner=owner,
        devices=devices(owner),
        inward=_bucket(settings.ingress),
        outward=_bucket(settings.egress),
        reference_inward=_reference_bucket(settings.ingress),
        reference_outward=_reference_bucket(settings.egress),
    )


def devices(owner: AttachmentID) -> tuple[str, ...]:
    """Return the names that the attachment's ifb may have.

    The reference's, and one for a second interface on the network.
    """
    texts = (f"{owner.network}{owner.container_id}", f"{owner.network}{owner.container_id}/{owner.ifname}")
    return tuple(f"{PREFIX}{sha512(text.encode()).hexdigest()[:DIGITS]}" for text in texts)


def host_ends(earlier: Result) -> frozenset[str]:
    """Return the names that the veth's host end may have. Raises CniError 7 when prevResult has no interfaces."""
    if not earlier.interfaces:
        raise CniError(
            Code.INVALID_CONFIG, "no interfaces provided", "list bandwidth behind the program that makes the veth"
        )
    return frozenset(entry.name for entry in earlier.interfaces if not entry.sandbox)


def _bucket(limit: Limit | None) -> Bucket | None:
    """Return the bucket for a limit, computed as the reference does, with its truncations.

    See docs/reference/cni.md 4.3.
    """
    if limit is None:
        return None
    rate, burst = limit.rate // 8, limit.burst // 8
    if not limit.typed:  # containerd sends a burst of 2^32-1 with every rate, CRI-O eight times that
        burst = min(burst, HIGHEST_BUFFER * rate // 10**6)
    bucket = Bucket(rate, rate // DELAY + burst, burst * 10**6 // rate)
    if not limit.typed:
        bucket = replace(bucket, limit=min(bucket.limit, HIGHEST_LIMIT))
    if bucket.limit > HIGHEST_LIMIT or bucket.buffer > HIGHEST_BUFFER:
        raise CniError(
            Code.INVALID_CONFIG,
            f"a rate of {limit.rate} bit/s with a burst of {limit.burst} bits is beyond what the kernel can count",
            f'invalid value of "{limit.key}": expected a burst of less than {HIGHEST_BUFFER // 10**6} seconds of it, '
            "and both together below 4 GB",
        )
    if not bucket.passes:
        raise CniError(
            Code.INVALID_CONFIG,
            f"a rate of {limit.rate} bit/s with a burst of {limit.burst} bits lets nothing pass",
            f'invalid burst beside "{limit.key}": expected at least one packet (12000 bits) and a microsecond of the rate',
        )
    return bucket


def _reference_bucket(limit: Limit | None) -> Bucket | None:
    """Return the bucket that the reference leaves in the kernel.

    Its microseconds, ticks and bytes overflow at 32 bits.
    """
    if limit is None:
        return None
    rate, burst = limit.rate // 8, limit.burst // 8
    ticks = burst * 10**6 // rate % 2**32 * TICKS // MICROSECONDS % 2**32
    return Bucket(rate, (rate // DELAY + burst) % 2**32, -(-ticks * MICROSECONDS // TICKS))
