"""A lease as the daemon sees it: a subnet, what its holder published, and the store's mark of this very writing.

One place turns a store's key and value into it, so that no content of a store can raise anywhere else.
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
    """One lease; `version` changes with every writing, `ttl` is seconds left when read, None for one that never ends."""

    subnet: Subnet
    attributes: Attributes
    version: int = 0
    ttl: float | None = field(default=None, compare=False)


def parse(key: str, value: str | bytes, *, version: int = 0, ttl: float | None = None) -> Lease | Refused:
    """Read a store's entry; what is malformed comes back as the refusal to report, it is never raised."""
    try:
        return Lease(allocation.parse_key(key), attributes.decode(value, key), version, ttl)
    except Refused as problem:
        return problem
    except ValueError as problem:
        return Refused(str(problem), remedy="delete the key: no host can use it")
