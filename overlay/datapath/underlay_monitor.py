"""Which interface and address the tunnels use while the daemon runs: address, MTU or interface may change.

The interface in use stays in use while it has its addresses, whatever other interfaces appear. A new address on the
same interface is taken at once. Another interface is taken only after GRACE seconds, so that a short time without an
address (a DHCP renewal, a restart of the network service) changes nothing for other hosts. A change while the daemon
was not running is not known here; the start chooses anew.
"""

from collections.abc import Callable
from dataclasses import dataclass

from overlay.backends import Backend, Underlay
from overlay.datapath import underlay as interfaces
from overlay.datapath.underlay import InterfaceSelection, LinkReader
from overlay.errors import Refused, Unavailable
from overlay.subnet.state_machine import LeasePolicy

GRACE = 10.0
"""Seconds an interface without its address has to get one again, before another interface is taken."""


@dataclass(frozen=True, slots=True)
class UnderlayState:
    """The underlay, and what follows from it."""

    underlay: Underlay
    """The interface in use, its MTU and addresses."""
    backend: Backend
    """The backend, built for this underlay."""
    policy: LeasePolicy
    """What this host publishes on this underlay."""


class UnderlayMonitor:
    """The underlay of one host; `problem` says why it differs from what the kernel shows, empty when it does not."""

    def __init__(
        self,
        first: UnderlayState,
        build: Callable[[Underlay], UnderlayState],
        selection: InterfaceSelection,
        view: LinkReader,
        now: Callable[[], float],
        *,
        dual: bool,
    ) -> None:
        """Begin with the state of the start; `build` may raise Refused or Unavailable for an underlay it cannot use."""
        self.stand, self.problem = first, ""
        self._build, self._selection, self._view, self._now, self._dual = build, selection, view, now, dual
        self._lost: float | None = None

    def look(self) -> UnderlayState | None:
        """Return the state if it has changed, else None; raises KernelError."""
        before = self.stand.underlay
        found = interfaces.still_valid(self._view, self._selection, before) or self._chosen(before)
        if found is None:
            return None
        try:
            fresh = self._build(found) if found != before else None
        except (Refused, Unavailable) as problem:
            self.problem = str(problem)
            return None
        self.problem, self._lost = "", None
        self.stand = fresh or self.stand
        return fresh

    def _chosen(self, before: Underlay) -> Underlay | None:
        """Choose again as at the start; None when nothing is found, or another interface that is not taken yet."""
        self._lost = self._now() if self._lost is None else self._lost
        try:
            found = interfaces.choose(self._view, self._selection, dual=self._dual)
        except Unavailable as problem:
            self.problem = f"{before.interface} has lost {before.local or before.public_ip}: {problem}"
            return None
        if found.interface != before.interface and (reason := self._wait_reason(found, self._lost)):
            self.problem = f"{before.interface} has lost {before.local or before.public_ip}, {found.interface} {reason}"
            return None
        return interfaces.with_previous_mtu(before, found)

    def _wait_reason(self, found: Underlay, lost: float) -> str:
        """Return why another interface is not taken: it belongs to the network, or it is too early; empty when it is."""
        # our own bridge must not become the underlay: its packets would go through the tunnel that they carry
        inside = [net for net in self.stand.policy.config.networks if net.version == 4 and found.local in net]
        if inside:
            return f"has an address of {inside[0]} and is not taken"
        return "is next" if self._now() - lost < GRACE else ""
