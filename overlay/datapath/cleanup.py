"""Removes, once, what an earlier start of this daemon created and the present one does not want; keeps the record.

Also sets the blackhole routes of `--ip-blackhole-route` (docs/reference/flannel.md 4.7): a packet to an address of our
subnet that no container has is dropped here; without the route it would go back to the network it came from.
"""

from dataclasses import replace

from kernel.errors import KernelError
from kernel.firewall import nft
from kernel.netlink import requests
from kernel.netlink.handle import Handle
from kernel.netlink.objects import Link
from lease import tunnel
from lease.tunnel import Tunnel
from overlay.backends import Desired, GatewayRoutes, registry
from overlay.datapath import diff
from overlay.datapath.record import CreatedObjects, CreatedObjectsFile, wanted
from overlay.firewall import tunnel_filter
from overlay.firewall.rules import NetworkRules
from system.ip import IPNetwork

BLACKHOLE_PRIORITY = 1024
"""The metric of a blackhole route: the bridge's own route has a lower one and wins; in IPv6 it is the default."""

KINDS = ("vxlan", "wireguard", "tun")
"""The kinds of our devices in the kernel; those of wireguard-go and of the forwarder are "tun"."""

SHORTEST = 8
"""Prefix length of the largest possible network: a damaged record with a larger one would remove all gateway routes."""


class Cleanup:
    """Removes what one daemon created earlier on its host, and records what it has now."""

    def __init__(self, network: Handle, record: CreatedObjectsFile) -> None:
        self._network, self._record = network, record
        self._recorded = record.read()
        self._cleared = False
        self.earlier = tuple({network for network, _, _ in self._recorded.rules})
        """The networks of earlier starts in this boot."""

    def clear(self, desired: Desired, blackholes: tuple[IPNetwork, ...], failed: list[str]) -> tuple[str, ...]:
        """Remove what an earlier start left, and set the blackholes; return the changes, `failed` gets what was refused."""
        changed: list[str] = []
        if not self._cleared:
            left = self._recorded.without(wanted(desired, blackholes))
            self._attempt(self._removals(left), changed, failed)
            # the last table was set for a container attached before any daemon had recorded its tunnel
            tables = [*map(tunnel_filter.name, sorted(left.guards)), tunnel.PREFIX]
            gone = [table for table in tables if nft.exists(tunnel.FAMILY, table)]
            changed += [said for table in gone if (said := _remove(table, failed))]
            self._cleared = not failed
        there = {one.dst for one in self._network.routes() if one.kind == "blackhole"} if blackholes else set()
        missing = [one for one in blackholes if one not in there]
        self._attempt([_blackhole(one) for one in missing], changed, failed)
        return tuple(changed)

    def remember(
        self,
        desired: Desired,
        blackholes: tuple[IPNetwork, ...],
        rules: tuple[NetworkRules, ...],
        tunnels: tuple[Tunnel, ...] = (),
    ) -> None:
        """Record what there is now, and which tunnels need a filter, if it has changed; raises OSError."""
        plan = wanted(desired, blackholes)
        links = {name: self._network.link(name) for name, _ in plan.links}
        held = frozenset((name, link.index) for name, link in links.items() if link is not None)
        filed = frozenset((one.network, one.subnet, one.native) for one in rules)
        now = replace(plan, links=held, rules=filed, tunnels=tunnels)
        # until all of the earlier objects are removed, the old record must still name them
        if now != self._recorded and self._cleared:
            self._record.write(now)
            self._recorded = now

    def _removals(self, left: CreatedObjects) -> list[requests.Request]:
        """Return the requests that delete links which are still the recorded ones, and routes of the recorded kinds."""
        found = self._network.routes() if left.gateways or left.blackholes else ()
        ranges_of_ours = tuple(one for one in left.gateways if one.prefixlen >= SHORTEST)
        named = ((self._network.link(name), index) for name, index in sorted(left.links))
        links = [link for link, index in named if link is not None and link.index == index and _is_ours(link)]
        holes = [one for one in found if one.kind == "blackhole" and one.dst in left.blackholes]
        return [
            *(requests.DeleteLink(link.index) for link in links),
            *diff.direct_requests(GatewayRoutes(frozenset(), ranges_of_ours), {}, found),
            *(requests.DeleteRoute(one.dst, priority=BLACKHOLE_PRIORITY, blackhole=True) for one in holes),
        ]

    def _attempt(self, wanted: list[requests.Request], changed: list[str], failed: list[str]) -> None:
        for request, problem in zip(wanted, self._network.attempt(wanted), strict=True):
            if problem is None:
                changed.append(request.what())
            elif not problem.gone:
                failed.append(str(problem))


def _is_ours(link: Link) -> bool:
    """Return whether a link has a kind and a name of ours: a record that names any other link is damaged or forged."""
    return link.kind in KINDS and registry.is_own_device(link.name)


def _blackhole(network: IPNetwork) -> requests.AddRoute:
    return requests.AddRoute(network, priority=BLACKHOLE_PRIORITY, blackhole=True)


def _remove(table: str, failed: list[str]) -> str:
    """Delete a tunnel filter's table and return what was done; "" when it was gone or could not be deleted."""
    try:
        nft.run([{"delete": {"table": {"family": tunnel.FAMILY, "name": table}}}])
    except KernelError as problem:
        if not problem.gone:
            failed.append(str(problem))
        return ""
    return f"removing table {table}"
