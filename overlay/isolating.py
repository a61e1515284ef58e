"""Keeps the networks of this host apart, as overlay.isolation says: compares what the tool lists, and changes what differs.

In nftables; in iptables only where nft cannot be used, and with neither a second network is refused. Starts programs, so it runs
beside the event loop. Must not decide what is kept apart.
"""

from collections.abc import Iterable
from contextlib import suppress

from kernel import iptables, nft
from kernel.errors import KernelError
from kernel.iptables import Chain
from overlay import isolation
from overlay.backends import IPNetwork
from overlay.errors import Unavailable
from overlay.roster import Kept, Roster

REMEDY = "install nft: without nft and iptables a host can keep one network only"


class Isolation:
    """What keeps apart the networks of a roster, and remembers between two looks what this host can do."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._cleaned = False
        self._native: bool | None = None

    def keep(self, own: Iterable[Kept] = (), *, change: bool = True) -> tuple[str, ...]:
        """Have `own` stand in the roster and all in it kept apart; say what was changed, or would be with `change` False.

        Raises Unavailable with the networks that are not, and why.
        """
        own, known = tuple(own), tuple[Kept, ...]()
        if not own and self._roster.fresh:
            return ()  # no daemon has ever run here
        try:
            with self._roster.turn():
                for one in own:
                    self._roster.enter(one)
                known = self._roster.read()
                apart = isolation.zones(net for one in known for net in one.networks)
                return self._settle(apart, " and ".join(map(str, known)), change=change)
        except OSError as problem:
            names = " and ".join(map(str, known)) or "networks"
            hint = f"; {problem.hint}" if isinstance(problem, KernelError) and problem.hint else ""
            raise Unavailable(f"{names} are not kept apart: {problem}{hint}") from problem

    def complain(self, text: str) -> None:
        """Leave word for `tulle doctor` that rules are changed in a loop, or with "" that they no longer are; it only makes things clearer."""
        with suppress(OSError):
            self._roster.complain(text)

    def leave(self, lease_file: str) -> tuple[str, ...]:
        """Take a network out of the roster, and the rules with the last but one; say what was changed. Raises Unavailable."""
        try:
            with self._roster.turn():
                self._roster.leave(lease_file)
        except OSError as problem:
            raise Unavailable(f"{lease_file} stays in the roster of networks: {problem}") from problem
        return self.keep()

    def _settle(self, apart: tuple[IPNetwork, ...], names: str, *, change: bool) -> tuple[str, ...]:
        if self._native is None or (apart and not self._native):
            self._native = nft.usable()
        done = _in_nftables(apart, names, change=change) if self._native else ()
        if self._native and self._cleaned:
            return done
        here = [version for version in (4, 6) if iptables.usable(version)]
        if not self._native and {one.version for one in apart} - {*here}:
            raise Unavailable(f"{names} are not kept apart: neither nft nor iptables can be used here; {REMEDY}")
        wanted = () if self._native else apart
        moved = [what for version in here for what in _in_iptables(wanted, version, change=change)]
        self._cleaned = self._native and change
        return (*done, *moved)


def _in_nftables(apart: tuple[IPNetwork, ...], names: str, *, change: bool) -> tuple[str, ...]:
    commands = isolation.changes(apart, nft.listing(isolation.FAMILY, isolation.TABLE))
    if not commands:
        return ()
    if change:
        nft.run(commands)
    place = f"table {isolation.FAMILY} {isolation.TABLE}"
    return (f"keeping {names} apart by {place}",) if apart else (f"removing {place}",)


def _in_iptables(apart: tuple[IPNetwork, ...], version: int, *, change: bool) -> tuple[str, ...]:
    rules = isolation.words(apart, version)
    chain = Chain("mangle", isolation.CHAIN, "FORWARD", isolation.COMMENT, rules, first=True)
    kept, gone = ([chain], []) if rules else ([], [chain])
    names = iptables.settle(version, iptables.saved(version), kept, gone, change=change)
    return tuple(f"setting {name} of IPv{version}'s iptables" for name in names)
