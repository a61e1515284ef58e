"""What a check of `tulle doctor` is: a name, why it matters, and a function that yields what is wrong.

Everything is read before the first check runs; a check only looks at what was read.
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
    """Something that is wrong."""

    saw: str  # what was seen
    remedy: str  # what to do about it


@dataclass(frozen=True, slots=True)
class DoctorInput:
    """Everything that a check may look at."""

    survey: NetworkState
    answers: Answers = field(default_factory=Answers)
    remains: tuple[Orphan, ...] = ()  # what attachments left behind
    runtimes: tuple[RuntimeConfig, ...] = ()
    forward_drops: bool = False  # iptables' FORWARD drops at its end, and no rule before accepts the network's packets
    daemons: tuple[str, ...] = ()
    """Names of the overlay daemons that run in this network namespace."""
    machine: HostFacts | None = None
    """What tulle init decides by. None where a runtime's settings cannot be read; then `unread` says which."""
    unread: str = ""
    holders: tuple[Holder, ...] = ()
    """The links with addresses of this host's subnet, on the host and in its containers."""
    exposed: str = ""
    """What is missing of the rules that separate the networks of this host."""
    contested: str = ""
    """Which of tulled's rules another program changes again and again, as tulled reports."""
    nameless: str | None = None
    """Why names of containers do not resolve; empty when they do; None when no container has a name."""
    waiting: tuple[Finding, ...] = ()
    """Published ports on addresses that the host does not have."""


class InapplicableError(Exception):
    """There is nothing that this check could look at. The text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    name: str
    why: str  # why it matters
    at: str  # what it looks at
    look: Callable[[DoctorInput], Iterable[Finding]]  # yields what is wrong, or raises InapplicableError
