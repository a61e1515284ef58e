"""What a check of `tulle doctor` is: a name, why it matters, and a look at the evidence that yields what is wrong.

Checks are pure: everything was seen before the first of them looks. Must not know how it was seen.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cli.inspect.address_holders import Holder
from cli.inspect.cni_configs import RuntimeConfig
from cli.inspect.detect import HostFacts
from cli.inspect.network_state import NetworkState
from cli.inspect.orphans import Orphan
from cli.inspect.reachability import Answers


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: what was seen, and what to do about it."""

    saw: str
    remedy: str


@dataclass(frozen=True, slots=True)
class DoctorInput:
    """All a check may look at; `forward_drops` says whether iptables' FORWARD ends in a drop that nothing of the network escapes."""

    survey: NetworkState
    answers: Answers = field(default_factory=Answers)
    remains: tuple[Orphan, ...] = ()
    runtimes: tuple[RuntimeConfig, ...] = ()
    forward_drops: bool = False
    daemons: tuple[str, ...] = ()
    """Names of the overlay daemons that run in this network namespace."""
    machine: HostFacts | None = None
    """What tulle init goes by; None where a runtime's settings cannot be read, then `unread` says which."""
    unread: str = ""
    holders: tuple[Holder, ...] = ()
    """Who has addresses of this host's subnet, on the host and in its containers."""
    exposed: str = ""
    """What is missing that keeps the networks of this host apart."""
    contested: str = ""
    """What of tulled's rules somebody else changes again and again, as tulled says."""
    nameless: str | None = None
    """Why names of containers do not resolve, empty when they do; None where none has a name to resolve."""
    waiting: tuple[Finding, ...] = ()
    """Published ports on addresses that the host does not have."""


class InapplicableError(Exception):
    """There is nothing this check could look at; the text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: why it matters, what it looks `at`; `look` yields what is wrong, nothing when all is well, or raises InapplicableError."""

    name: str
    why: str
    at: str
    look: Callable[[DoctorInput], Iterable[Finding]]
