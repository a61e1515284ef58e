"""What a check of `tulle doctor` is: a name, why it matters, and a look at the evidence that yields what is wrong.

Checks are pure: everything was seen before the first of them looks. Must not know how it was seen.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from cli.remains import Remain
from cli.runtimes import Seen
from cli.survey import Survey
from overlay.leases import Lease


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: what was seen, and what to do about it."""

    saw: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What other hosts answered, by IPv4 address: echoes through the tunnel, beside it, as large as a packet may be; TCP."""

    targets: Mapping[Lease, IPv4Address] = field(default_factory=dict)
    tunnel: frozenset[IPv4Address] = frozenset()
    beside: frozenset[IPv4Address] = frozenset()
    wide: frozenset[IPv4Address] = frozenset()
    tcp: frozenset[IPv4Address] = frozenset()
    refused: frozenset[IPv4Address] = frozenset()
    """Hosts that say nobody listens on the tunnel's UDP port."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All a check may look at; `forward_drops` says whether iptables' FORWARD ends in a drop that nothing of the network escapes."""

    survey: Survey
    answers: Answers = field(default_factory=Answers)
    remains: tuple[Remain, ...] = ()
    runtimes: tuple[Seen, ...] = ()
    forward_drops: bool = False
    daemons: tuple[str, ...] = ()
    """Names of the overlay daemons that run in this network namespace."""


class InapplicableError(Exception):
    """There is nothing this check could look at; the text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: why it matters, what it looks `at`; `look` yields what is wrong, nothing when all is well, or raises InapplicableError."""

    name: str
    why: str
    at: str
    look: Callable[[Evidence], Iterable[Finding]]
