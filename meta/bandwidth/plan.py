"""Decides what limiting an attachment consists of; ADD builds it, CHECK compares the kernel with it.

Pure: knows limits and the attachment's name; must not see a namespace or a socket.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha512

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.attachment_id import AttachmentID
    from cni.types import Result
    from meta.bandwidth.config import Limit, Settings

DELAY = 40
"""What may wait is what the rate sends in a fortieth of a second: 25 ms."""

HIGHEST_LIMIT = 2**32 - 1
HIGHEST_BUFFER = 2**28 - 1
"""Microseconds; the kernel counts ticks of 64 ns in 32 bits."""

TICKS, MICROSECONDS = 125, 8
"""So many ticks are so many microseconds."""

PREFIX, DIGITS = "bwp", 12


@dataclass(frozen=True, slots=True)
class Bucket:
    """The numbers of a token bucket: `rate` in bytes a second, `limit` in bytes, `buffer` in microseconds."""

    rate: int
    limit: int
    buffer: int

    @property
    def passes(self) -> int:
        """Return how many bytes may pass at once, as the kernel counts them."""
        return self.rate * (self.buffer * TICKS // MICROSECONDS * 64) // 10**9


@dataclass(frozen=True, slots=True)
class Shaping:
    """Everything one ADD limits; `devices` are the names its ifb may have, in the order they are tried.

    The last two are what the reference makes of the same limits: CHECK takes either.
    """

    owner: AttachmentID
    devices: tuple[str, ...]
    inward: Bucket | None
    outward: Bucket | None
    reference_inward: Bucket | None
    reference_outward: Bucket | None

    @property
    def limits(self) -> bool:
        """Whether there is anything to do."""
        return self.inward is not None or self.outward is not None


def shaping(settings: Settings, owner: AttachmentID) -> Shaping:
    """Return what `settings` mean for the attachment. Raises CniError 7 for a limit no kernel can keep."""
    return Shaping(
        owner=owner,
        devices=devices(owner),
        inward=_bucket(settings.ingress),
        outward=_bucket(settings.egress),
        reference_inward=_reference_bucket(settings.ingress),
        reference_outward=_reference_bucket(settings.egress),
    )


def devices(owner: AttachmentID) -> tuple[str, ...]:
    """Return the reference's name of the ifb, and one for a container's second interface on the network: the first is taken."""
    texts = (f"{owner.network}{owner.container_id}", f"{owner.network}{owner.container_id}/{owner.ifname}")
    return tuple(f"{PREFIX}{sha512(text.encode()).hexdigest()[:DIGITS]}" for text in texts)


def host_ends(earlier: Result) -> frozenset[str]:
    """Return the names that may be the host's end of the veth; CniError 7 when the result so far has no interfaces."""
    if not earlier.interfaces:
        raise CniError(
            Code.INVALID_CONFIG, "no interfaces provided", "list bandwidth behind the program that makes the veth"
        )
    return frozenset(entry.name for entry in earlier.interfaces if not entry.sandbox)


def _bucket(limit: Limit | None) -> Bucket | None:
    """Count as the reference does (docs/reference/cni.md 4.3): the truncations are part of it."""
    if limit is None:
        return None
    rate, burst = limit.rate // 8, limit.burst // 8
    if not limit.typed:  # containerd sends a burst of 2^32-1 with every rate, CRI-O one of eight times that
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
    """Return what the reference leaves in the kernel: its microseconds, ticks and bytes wrap around at 32 bits."""
    if limit is None:
        return None
    rate, burst = limit.rate // 8, limit.burst // 8
    ticks = burst * 10**6 // rate % 2**32 * TICKS // MICROSECONDS % 2**32
    return Bucket(rate, (rate // DELAY + burst) % 2**32, -(-ticks * MICROSECONDS // TICKS))
