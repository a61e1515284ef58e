"""One pass over everything this host must have, in the order containers rely on.

Firewall, so that a peer's packets are let in before ours invite answers; tunnels and peers, bridge, and last the lease
file. Each pass compares and repairs; a failure of one part is kept until a later pass clears it. The lease file is
written only when devices and firewall stand: whoever reads it may start containers at once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from kernel import counters as traffic
from kernel import wireguard
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from overlay.backends import Backend, Desired, IPNetwork, WireguardConfig
from overlay.config.network import NetworkConfig
from overlay.datapath import apply, gateway_bridge
from overlay.datapath.cleanup import Cleanup
from overlay.datapath.l3_device import L3Devices
from overlay.errors import Unavailable
from overlay.firewall import drop_counters
from overlay.firewall import tunnel_filter as guard
from overlay.firewall.rules import NetworkRules
from overlay.firewall.sync import SyncResult
from overlay.monitoring.log import Log
from overlay.subnet import env_file
from overlay.subnet.env_file import LeaseFile
from overlay.subnet.lease import Lease

_LINK = re.compile(r"\blink ([0-9]{1,9})\b")
_MANY = 5
"""How many of a kind one log line or health answer lists."""

UNTYPED = ("udp", "alloc")
"""Backends whose leases say no type (docs/reference/flannel.md 2.2)."""


@dataclass(frozen=True, slots=True)
class ReconcilerConfig:
    """What was asked for at start and does not change: what to keep besides the tunnels."""

    config: NetworkConfig
    bridge: str
    masquerade: bool
    forward: bool
    fully_random: bool
    excluded: tuple[IPNetwork, ...] = ()
    guarded: bool = True
    allowed: tuple[IPNetwork, ...] = ()
    blackhole: bool = False
    keep_source: bool = False
    private_key: str = field(default="", repr=False)


@dataclass(slots=True)
class ReconcileStatus:
    """How the last pass went: what failed, by part, and what was counted."""

    failed: dict[str, str] = field(default_factory=dict)
    written: bool = False
    peers: int = 0
    refused: int = 0
    unprogrammed: int = 0
    repairs: int = 0
    drift: int = 0
    passes: int = 0
    contested: bool = False


class Reconciler:
    """Keeps the kernel and the lease file of one host right."""

    def __init__(
        self,
        network: Handle,
        backend: Backend,
        file: LeaseFile,
        duties: ReconcilerConfig,
        leftovers: Cleanup,
        log: Log,
    ) -> None:
        self.progress = ReconcileStatus()
        self._leftovers = leftovers
        self._stands: Desired | None = None
        senders = duties.allowed if duties.guarded else (IPv4Network("0.0.0.0/0"),)
        self._carriers = L3Devices(file.path, duties.private_key, senders)
        self._network, self._backend, self._file, self._duties, self._log = network, backend, file, duties, log

    def move(self, backend: Backend) -> None:
        """Go on with another backend object: the host stands elsewhere on the underlay."""
        self._backend = backend

    def plan(self, own: Lease, peers: Sequence[Lease]) -> Desired:
        """Decide what the kernel should have for these peers, and say which of them had to be left out."""
        desired = self._backend.desired(own, peers, apply.reach(self._network))
        kinds = {"", self.backend_type} if self.backend_type in UNTYPED else {self.backend_type}
        ours = sum(peer.attributes.backend_type in kinds for peer in peers)  # another backend's cannot be reached
        self.progress.peers, self.progress.refused = max(0, ours - len(desired.unusable)), len(desired.unusable)
        self._judge("peers", "; ".join(desired.unusable[:_MANY]), fatal=False)
        return desired

    def clear(self, own: Lease, desired: Desired) -> None:
        """Take away what an earlier start left that is not wanted any more, and keep the blackholes."""
        failed: list[str] = []
        try:
            self._say_changes(self._leftovers.clear(desired, self._blackholes(own), failed))
        finally:
            self._judge("leftovers", "; ".join(failed[:_MANY]), fatal=False)

    def remember(self, own: Lease, desired: Desired) -> None:
        """Keep the record of what there is now."""
        try:
            wish = self.guard(desired)
            outside = guard.recorded(wish) if wish else None
            self._leftovers.remember(
                desired, self._blackholes(own), self.rules(own), (outside,) if outside is not None else ()
            )
        except OSError as problem:
            said = f"what was made here cannot be recorded for a later start: {problem.strerror or problem}"
            self._judge("record", said, fatal=False)
        else:
            self._judge("record", "", fatal=False)

    def _blackholes(self, own: Lease) -> tuple[IPNetwork, ...]:
        return own.subnet.networks if self._duties.blackhole else ()

    def tunnels(self, desired: Desired, *, trusting: bool = False) -> int:
        """Program device, addresses and peers; return the MTU containers may use, 0 while a device is missing.

        `trusting` says that the kernel told of no change: what stood after the last pass still stands, and only what is wanted
        differently now is done.
        """
        report = apply.incremental_sync(self._network, self._stands, desired) if self._stands else None
        if report is None or report.failed or not trusting:
            report = self._compared(desired, report)
        self._stands = None if report.failed else desired
        self.progress.unprogrammed = min(self.progress.peers, len(report.failed))
        self._say_changes(report.changed)
        self._judge("tunnel", "; ".join(report.failed[:_MANY]))
        return min(self._backend.mtu, report.mtu)

    def _compared(self, desired: Desired, done: apply.SyncReport | None) -> apply.SyncReport:
        """Compare with all the kernel has; after what was to be done anyway, what is changed now had drifted."""
        report = apply.full_sync(self._network, desired, self._carriers)
        self.progress.drift += len(report.changed) if done else 0
        return replace(report, changed=(*(done.changed if done else ()), *report.changed))

    @property
    def cidr(self) -> str:
        """The range of the network's IPv4 addresses."""
        return str(self._duties.config.ipv4.network)

    @property
    def lease_file(self) -> str:
        """The path of the lease file."""
        return self._file.path

    @property
    def exposed(self) -> bool:
        """Return whether nothing keeps this network apart from another one, and its devices were not yet made here."""
        return "isolation" in self.progress.failed and self._stands is None

    @property
    def backend_type(self) -> str:
        """What the network config calls the backend."""
        return self._duties.config.backend_type

    @property
    def messages(self) -> int:
        """How many messages went to the kernel."""
        return self._network.sent

    def traffic(self) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
        """Count the bytes (received, sent) of our devices, and of peers by subnet where the backend does; it takes a while."""
        wanted = self._stands or Desired()
        names = {one.device.name for one in wanted.tunnels} | {one.name for one in wanted.pipes}
        found = {name: counted for name, counted in traffic.devices().items() if name in names}
        encrypted = {pipe.name: pipe.carrier for pipe in wanted.pipes if isinstance(pipe.carrier, WireguardConfig)}
        by_peer: dict[str, tuple[int, int]] = {}
        for name, carrier in encrypted.items():
            counts = wireguard.transfer(name)
            by_peer |= {
                str(min(peer.allowed, key=_family)): counts.get(peer.public_key, (0, 0)) for peer in carrier.peers
            }
        return found, by_peer

    def dropped(self) -> Mapping[str, int]:
        """Count what the tunnel's guard dropped, by reason; nothing where there is none. It takes a while."""
        wanted = self._stands.guard if self._stands else None
        try:
            return drop_counters.counted(guard.name(wanted.name)) if wanted else {}
        except KernelError:  # it is being replaced at this moment
            return {}

    def rules(self, own: Lease) -> tuple[NetworkRules, ...]:
        """Return the firewall rules the lease asks for, a family each."""
        duties = self._duties
        outside = {version: tuple(one for one in duties.excluded if one.version == version) for version in (4, 6)}
        return tuple(
            NetworkRules(
                *(network, subnet, duties.masquerade, duties.forward, duties.fully_random),
                *(outside[network.version], duties.config.nftables, duties.keep_source),
            )
            for network, subnet in zip(duties.config.networks, own.subnet.networks, strict=False)
        )

    def guard(self, desired: Desired) -> guard.TunnelFilter | None:
        """Return who may send to the tunnel; None when nothing needs a guard."""
        return guard.TunnelFilter(desired.guard, self._duties.allowed, self._duties.guarded) if desired.guard else None

    def firewall(self, outcome: SyncResult) -> None:
        """Take note of what keeping rules and guard came to."""
        self._say_changes(outcome.changed)
        self._judge("firewall", outcome.problem)
        self._judge("tunnel guard", outcome.unguarded)
        self._judge("isolation", outcome.exposed)
        self._judge("firewall tool", outcome.notice, fatal=False)
        self._judge("firewall loop", outcome.contested, fatal=False)
        self.progress.contested = bool(outcome.contested)

    def bridge(self, own: Lease, mtu: int) -> None:
        """Keep the bridge up with the gateway address, if one was asked for and its MTU is known."""
        if not self._duties.bridge or not mtu:
            return
        said = env_file.content(self._duties.config, own.subnet, mtu=mtu, ipmasq=self._duties.masquerade)
        addresses = tuple(one for one in (said.subnet, said.ipv6_subnet) if one is not None)
        wanted = gateway_bridge.Gateway(
            self._duties.bridge, mtu, addresses, (*self._duties.config.networks, *self._leftovers.earlier)
        )
        try:
            self._say_changes(gateway_bridge.keep(self._network, wanted))
        except (KernelError, Unavailable) as problem:
            self._judge("bridge", str(problem))
        else:
            self._judge("bridge", "")

    def publish(self, own: Lease, mtu: int) -> None:
        """Write the lease file, unless devices or firewall are not what it would promise."""
        if not mtu or {"firewall", "isolation"} & self.progress.failed.keys():
            return
        said = env_file.content(self._duties.config, own.subnet, mtu=mtu, ipmasq=self._duties.masquerade)
        try:
            if self._file.publish(said):
                self._log.info("lease file written", path=self._file.path, subnet=own.subnet, mtu=mtu)
        except OSError as problem:
            self.progress.written = False
            self._judge("lease file", f"{self._file.path} cannot be written: {problem.strerror or problem}")
        else:
            self.progress.written = True
            self._judge("lease file", "")

    def withdraw(self, lease: Lease, reason: str) -> None:
        """Take the lease file away: nobody may start containers on this subnet any more."""
        self.progress.written = False
        try:
            self._file.withdraw()
        except OSError as problem:
            self._judge("lease file", f"{self._file.path} cannot be removed: {problem.strerror}; remove it by hand")
        self._log.warning("lease withdrawn", subnet=lease.subnet, reason=reason)

    def _say_changes(self, changed: Sequence[str]) -> None:
        if changed:
            self.progress.repairs += len(changed)
            shown = "; ".join(map(self._named, changed[:_MANY])) + ("; ..." if len(changed) > _MANY else "")
            self._log.info("kernel brought in line", changes=len(changed), what=shown)

    def _named(self, request: str) -> str:
        """Put names where a request's words have numbers of links; one that is gone by now keeps its number."""

        def name(found: re.Match[str]) -> str:
            try:
                link = self._network.link(int(found[1]))
            except KernelError:
                link = None
            return link.name if link is not None else found[0]

        return _LINK.sub(name, request)

    def _judge(self, part: str, problem: str, *, fatal: bool = True) -> None:
        """Keep or clear a part's failure; each is logged once, and once more when it is over."""
        if problem:
            self._log.change(part, "error" if fatal else "warning", f"{part}: not as wanted", problem=problem)
        else:
            self._log.settled(part, f"{part}: as wanted again")
        if problem and fatal:
            self.progress.failed[part] = problem
        else:
            self.progress.failed.pop(part, None)


def _family(network: IPNetwork) -> int:
    return network.version
