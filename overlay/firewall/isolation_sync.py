"""Applies the isolation of networks (overlay.firewall.isolation): compares what the tool lists, changes what differs.

It is in nftables; in iptables only where nft cannot be used; with neither a second network is refused. Where the kernel
allows it, a daemon owns the table, so that no flush removes it. Then only that daemon can change it, and other programs
ask it to. It starts programs, so it must not run in the event loop.
"""

import errno
import time
from collections.abc import Iterable
from contextlib import suppress

from kernel.errors import KernelError
from kernel.firewall import iptables, nft, nft_owner
from kernel.firewall.iptables import Chain
from kernel.firewall.nft_owner import TableOwner
from overlay.errors import Unavailable
from overlay.firewall import isolation
from overlay.firewall.known_networks import Kept, KnownNetworks
from system.ip import IPNetwork

ASKING, PATIENCE = 0.1, 5.0
"""Seconds between two checks whether the daemon that owns the table has made the change, and until waiting ends."""
REMEDY = "install nft: without nft and iptables a host can keep one network only"


class Isolation:
    """Isolates all networks in `roster`, and remembers which tools this host has.

    `holding` says that this process owns the table from the first change to its end, so that no other can change it.
    """

    def __init__(self, roster: KnownNetworks, *, holding: bool = False) -> None:
        self._roster, self._holding = roster, holding
        self._owner = TableOwner(isolation.FAMILY, isolation.TABLE)
        self._cleaned = False
        self._native: bool | None = None

    def keep(self, own: Iterable[Kept] = (), *, change: bool = True) -> tuple[str, ...]:
        """Add `own` to the known networks and isolate all of them; return what was changed, or would be without `change`.

        Raises Unavailable, naming the networks that are not isolated and the reason.
        """
        own = tuple(own)
        if not own and self._roster.fresh:
            return ()  # no daemon has ever run here
        known: tuple[Kept, ...] = ()
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with self._roster.turn():
                    for one in own:
                        self._roster.enter(one)
                    known = self._roster.read()
                    return self._settle(known, change=change)
            except OSError as problem:
                if not (_is_anothers(problem) and time.monotonic() < end and _poked()):
                    names = " and ".join(map(str, known)) or "networks"
                    hint = f"; {problem.hint}" if isinstance(problem, KernelError) and problem.hint else ""
                    raise Unavailable(f"{names} are not kept apart: {problem}{hint}") from problem
            time.sleep(ASKING)  # noqa: TID251 - another process has the table, and tells nobody when it is done

    def complain(self, text: str) -> None:
        """Record for `tulle doctor` that rules are changed in a loop, or, with "", that they no longer are."""
        with suppress(OSError):  # the note only helps a person; nothing depends on it
            self._roster.complain(text)

    def leave(self, lease_file: str) -> tuple[str, ...]:
        """Remove a network, and the rules when only one is left; return what was changed. Raises Unavailable."""
        try:
            with self._roster.turn():
                self._roster.leave(lease_file)
        except OSError as problem:
            raise Unavailable(f"{lease_file} stays in the roster of networks: {problem}") from problem
        return self.keep()

    def _settle(self, known: tuple[Kept, ...], *, change: bool) -> tuple[str, ...]:
        apart = isolation.zones(net for one in known for net in one.networks)
        names = " and ".join(map(str, known))
        if self._native is None or (apart and not self._native):
            self._native = nft.usable()
        done = self._in_nftables(apart, names, change=change) if self._native else ()
        if self._native and self._cleaned:
            return done
        here = [version for version in (4, 6) if iptables.usable(version)]
        if not self._native and {one.version for one in apart} - {*here}:
            raise Unavailable(f"{names} are not kept apart: neither nft nor iptables can be used here; {REMEDY}")
        wanted = () if self._native else apart
        moved = [what for version in here for what in _in_iptables(wanted, version, change=change)]
        self._cleaned = self._native and change
        return (*done, *moved)

    def _in_nftables(self, apart: tuple[IPNetwork, ...], names: str, *, change: bool) -> tuple[str, ...]:
        listing = nft.listing(isolation.FAMILY, isolation.TABLE)
        off = isolation.dormant(listing)
        place = f"table {isolation.FAMILY} {isolation.TABLE}"
        done: tuple[str, ...] = ()
        if off or isolation.changes(apart, listing):
            done = (f"keeping {names} apart by {place}",) if apart else (f"removing {place}",)
        if change and done:
            self._owner.release()
            if off:
                nft.run(isolation.removal())
                listing = []
            if apart and not listing and not nft_owner.make(isolation.FAMILY, isolation.TABLE):
                nft.run(isolation.creation())
            nft.run(isolation.changes(apart, listing))
        if change and apart and self._holding:
            self._owner.hold()
        return done


def _is_anothers(problem: OSError) -> bool:
    return problem.errno == errno.EPERM


def _poked() -> bool:
    """Make the daemon that owns the table read the known networks again; return whether that was possible."""
    try:
        nft.run(isolation.poke())
    except KernelError:
        return False
    return True


def _in_iptables(apart: tuple[IPNetwork, ...], version: int, *, change: bool) -> tuple[str, ...]:
    rules = isolation.words(apart, version)
    chain = Chain("mangle", isolation.CHAIN, "FORWARD", isolation.COMMENT, rules, first=True)
    kept, gone = ([chain], []) if rules else ([], [chain])
    names = iptables.settle(version, iptables.saved(version), kept, gone, change=change)
    return tuple(f"setting {name} of IPv{version}'s iptables" for name in names)
