"""A lease as the daemon sees it: a subnet, what its host published, and the store's version of the entry.

Key and value of a store become a lease here and nowhere else: whatever a store contains, it raises nothing elsewhere.
"""

from dataclasses import dataclass, field

from overlay.errors import Refused
from overlay.subnet import allocation, attributes
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes

TTL = 86_400.0
"""Seconds a lease lives unless renewed (docs/reference/flannel.md 2.3)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease in a store."""

    subnet: Subnet
    """The subnet, which is also the lease's key in the store."""
    attributes: Attributes
    """What the host that has the subnet published."""
    version: int = 0
    """Changes each time the entry is written; a write that names an older version is refused."""
    ttl: float | None = field(default=None, compare=False)
    """Seconds the lease had left when it was read; None for one that never expires."""


def parse(key: str, value: str | bytes, *, version: int = 0, ttl: float | None = None) -> Lease | Refused:
    """Return the lease of a store's entry, or, for a malformed one, the refusal to report; raises nothing."""
    try:
        return Lease(allocation.parse_key(key), attributes.decode(value, key), version, ttl)
    except Refused as problem:
        return problem
    except ValueError as problem:
        return Refused(str(problem), remedy="delete the key: no host can use it")
