"""Where this host stands on the underlay while the daemon runs: an address, an MTU or an interface may change under it.

What is in use stays in use while its interface has its addresses, whatever else comes along. An address that was
replaced on the interface is taken at once; another interface only after GRACE seconds, so that a moment without an
address moves nobody. Blind spot: what changed while the daemon was not running.
"""

from collections.abc import Callable
from dataclasses import dataclass

from overlay.backends import Backend, Underlay
from overlay.datapath import underlay as interfaces
from overlay.datapath.underlay import InterfaceSelection, LinkReader
from overlay.errors import Refused, Unavailable
from overlay.subnet.state_machine import LeasePolicy

GRACE = 10.0
"""Seconds an interface has to get an address again before another one is taken."""


@dataclass(frozen=True, slots=True)
class UnderlayState:
    """What follows from the underlay: how peers are programmed, and what is published."""

    underlay: Underlay
    backend: Backend
    policy: LeasePolicy


class UnderlayMonitor:
    """The stand of one host; `problem` says why it is not what the kernel shows, empty when it is."""

    def __init__(
        self,
        first: UnderlayState,
        build: Callable[[Underlay], UnderlayState],
        wish: InterfaceSelection,
        view: LinkReader,
        now: Callable[[], float],
        *,
        dual: bool,
    ) -> None:
        """Take the stand of the start over; `build` may raise Refused or Unavailable for an underlay that cannot be used."""
        self.stand, self.problem = first, ""
        self._build, self._wish, self._view, self._now, self._dual = build, wish, view, now, dual
        self._lost: float | None = None

    def look(self) -> UnderlayState | None:
        """Return the stand when it is another one than before; raises KernelError."""
        before = self.stand.underlay
        found = interfaces.still_valid(self._view, self._wish, before) or self._chosen(before)
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
        """Choose anew, as at the start; None while nothing is left, or only another interface that is not taken yet."""
        self._lost = self._now() if self._lost is None else self._lost
        try:
            found = interfaces.choose(self._view, self._wish, dual=self._dual)
        except Unavailable as problem:
            self.problem = f"{before.interface} has lost {before.local or before.public_ip}: {problem}"
            return None
        if found.interface != before.interface and (reason := self._hesitation(found, self._lost)):
            self.problem = f"{before.interface} has lost {before.local or before.public_ip}, {found.interface} {reason}"
            return None
        return interfaces.with_previous_mtu(before, found)

    def _hesitation(self, found: Underlay, lost: float) -> str:
        """Return why another interface is not taken: it is the network's own, our bridge say, or it is too early; empty when it is."""
        inside = [net for net in self.stand.policy.config.networks if net.version == 4 and found.local in net]
        if inside:
            return f"has an address of {inside[0]} and is not taken"
        return "is next" if self._now() - lost < GRACE else ""
