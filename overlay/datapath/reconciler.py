"""Brings everything one network needs on this host in line, part by part: tunnels, peers, bridge, lease file.

The daemon calls the parts in the order containers rely on: the firewall first, so that a peer's packets are let in
before ours ask for answers; then tunnels and peers; then the bridge; the lease file last. Each part compares and
repairs. A failure of one part is kept in `ReconcileStatus.failed` until a later pass clears it.

The lease file is written only when devices and firewall are as wanted: whoever reads it may start containers at once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from kernel import counters as traffic
from kernel import wireguard
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from overlay.backends import Backend, Desired, WireguardConfig, registry
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
from system.ip import IPNetwork

_LINK = re.compile(r"\blink ([0-9]{1,9})\b")
_MANY = 5
"""How many entries one log line or health answer lists."""


@dataclass(frozen=True, slots=True)
class ReconcilerConfig:
    """The settings that the daemon was started with, which do not change."""

    config: NetworkConfig
    """The network config."""
    bridge: str
    """The bridge to keep up with the gateway address; empty for none (--bridge)."""
    masquerade: bool
    """Whether to masquerade what containers send out of the network (--ip-masq)."""
    forward: bool
    """Whether to accept the network's traffic in the forward chain (--iptables-forward-rules)."""
    fully_random: bool
    """Whether masquerading chooses source ports at random."""
    excluded: tuple[IPNetwork, ...] = ()
    """Networks to which containers' packets keep their source address (--ip-masq-exclude)."""
    guarded: bool = True
    """Whether the tunnel takes packets from current peers only (--tunnel-guard)."""
    allowed: tuple[IPNetwork, ...] = ()
    """Further networks that may send to the tunnel (--tunnel-allow)."""
    blackhole: bool = False
    """Whether to drop what goes to unused addresses of our subnet (--ip-blackhole-route)."""
    keep_source: bool = False
    """Whether to keep other programs from masquerading traffic inside the network (--keep-source)."""
    private_key: str = field(default="", repr=False)
    """This host's WireGuard key; empty with other backends."""


@dataclass(slots=True)
class ReconcileStatus:
    """How the last pass went, and what was counted since the start."""

    failed: dict[str, str] = field(default_factory=dict)
    """The parts that are not as wanted, each with its reason."""
    written: bool = False
    """Whether the lease file has been written."""
    peers: int = 0
    """How many leases of other hosts the backend could use."""
    refused: int = 0
    """How many it had to leave out."""
    unprogrammed: int = 0
    """How many usable peers may lack an entry, because the kernel refused one."""
    repairs: int = 0
    """How many changes were made since the start."""
    drift: int = 0
    """How many of them undid a change that somebody else had made."""
    passes: int = 0
    """How many passes were made."""
    contested: bool = False
    """Whether another program changes our firewall rules again and again."""


class Reconciler:
    """Keeps the kernel and the lease file of one network as they should be."""

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
        self._lease_types = registry.require_known(duties.config).lease_types
        self._network, self._backend, self._file, self._duties, self._log = network, backend, file, duties, log

    def move(self, backend: Backend) -> None:
        """Use another backend object from now on: the underlay has changed."""
        self._backend = backend

    def plan(self, own: Lease, peers: Sequence[Lease]) -> Desired:
        """Return what the kernel should have for these peers; those that were left out are reported."""
        desired = self._backend.desired(own, peers, apply.reach(self._network))
        # a lease of another backend cannot be reached from here
        ours = sum(peer.attributes.backend_type in self._lease_types for peer in peers)
        self.progress.peers, self.progress.refused = max(0, ours - len(desired.unusable)), len(desired.unusable)
        self._record("peers", "; ".join(desired.unusable[:_MANY]), fatal=False)
        return desired

    def clear(self, own: Lease, desired: Desired) -> None:
        """Remove what an earlier start left that is no longer wanted, and set the blackholes."""
        failed: list[str] = []
        try:
            self._say_changes(self._leftovers.clear(desired, self._blackholes(own), failed))
        finally:
            self._record("leftovers", "; ".join(failed[:_MANY]), fatal=False)

    def remember(self, own: Lease, desired: Desired) -> None:
        """Record what there is now, for a later start."""
        try:
            wanted = self.guard(desired)
            outside = guard.recorded(wanted) if wanted else None
            self._leftovers.remember(
                desired, self._blackholes(own), self.rules(own), (outside,) if outside is not None else ()
            )
        except OSError as problem:
            said = f"what was made here cannot be recorded for a later start: {problem.strerror or problem}"
            self._record("record", said, fatal=False)
        else:
            self._record("record", "", fatal=False)

    def _blackholes(self, own: Lease) -> tuple[IPNetwork, ...]:
        return own.subnet.networks if self._duties.blackhole else ()

    def tunnels(self, desired: Desired, *, trusting: bool = False) -> int:
        """Program devices, addresses and peers; return the MTU for containers in bytes, 0 while a device is missing.

        `trusting` says that the kernel has told of no change since the last pass: only what is wanted differently now
        is sent, and nothing is read.
        """
        report = apply.incremental_sync(self._network, self._stands, desired) if self._stands else None
        if report is None or report.failed or not trusting:
            report = self._compared(desired, report)
        self._stands = None if report.failed else desired
        self.progress.unprogrammed = min(self.progress.peers, len(report.failed))
        self._say_changes(report.changed)
        self._record("tunnel", "; ".join(report.failed[:_MANY]))
        return min(self._backend.mtu, report.mtu)

    def _compared(self, desired: Desired, done: apply.SyncReport | None) -> apply.SyncReport:
        """Compare with everything in the kernel; after an incremental sync, what is changed now is drift."""
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
        """Return whether this network is not isolated from others yet, and its devices have not been created."""
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
        """Return the bytes (received, sent) by device, and by peer's subnet with WireGuard.

        It starts programs, so it must not run in the event loop.
        """
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
        """Return how many packets the tunnel filter dropped, by reason; empty without a filter.

        It starts programs, so it must not run in the event loop.
        """
        wanted = self._stands.guard if self._stands else None
        try:
            return drop_counters.counted(guard.name(wanted.name)) if wanted else {}
        except KernelError:  # it is being replaced at this moment
            return {}

    def rules(self, own: Lease) -> tuple[NetworkRules, ...]:
        """Return the firewall rules this lease needs, one set per family."""
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
        """Return which packets the tunnel takes; None for a backend without a tunnel."""
        return guard.TunnelFilter(desired.guard, self._duties.allowed, self._duties.guarded) if desired.guard else None

    def firewall(self, outcome: SyncResult) -> None:
        """Record how the last firewall sync went."""
        self._say_changes(outcome.changed)
        self._record("firewall", outcome.problem)
        self._record("tunnel guard", outcome.unguarded)
        self._record("isolation", outcome.exposed)
        self._record("firewall tool", outcome.notice, fatal=False)
        self._record("firewall loop", outcome.contested, fatal=False)
        self.progress.contested = bool(outcome.contested)

    def bridge(self, own: Lease, mtu: int) -> None:
        """Keep the bridge up with the gateway address, if there is one in the settings and the MTU is known."""
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
            self._record("bridge", str(problem))
        else:
            self._record("bridge", "")

    def publish(self, own: Lease, mtu: int) -> None:
        """Write the lease file, unless devices or firewall are not as wanted: containers would start without them."""
        # a container that starts now must not reach another network, nor lack its masquerade
        if not mtu or {"firewall", "isolation"} & self.progress.failed.keys():
            return
        said = env_file.content(self._duties.config, own.subnet, mtu=mtu, ipmasq=self._duties.masquerade)
        try:
            if self._file.publish(said):
                self._log.info("lease file written", path=self._file.path, subnet=own.subnet, mtu=mtu)
        except OSError as problem:
            self.progress.written = False
            self._record("lease file", f"{self._file.path} cannot be written: {problem.strerror or problem}")
        else:
            self.progress.written = True
            self._record("lease file", "")

    def withdraw(self, lease: Lease, reason: str) -> None:
        """Delete the lease file: no container may start on this subnet any more."""
        self.progress.written = False
        try:
            self._file.withdraw()
        except OSError as problem:
            self._record("lease file", f"{self._file.path} cannot be removed: {problem.strerror}; remove it by hand")
        self._log.warning("lease withdrawn", subnet=lease.subnet, reason=reason)

    def _say_changes(self, changed: Sequence[str]) -> None:
        if changed:
            self.progress.repairs += len(changed)
            shown = "; ".join(map(self._named, changed[:_MANY])) + ("; ..." if len(changed) > _MANY else "")
            self._log.info("kernel brought in line", changes=len(changed), what=shown)

    def _named(self, request: str) -> str:
        """Return a request's words with the names of links in place of their indexes; a link that is gone keeps its index."""

        def name(found: re.Match[str]) -> str:
            try:
                link = self._network.link(int(found[1]))
            except KernelError:
                link = None
            return link.name if link is not None else found[0]

        return _LINK.sub(name, request)

    def _record(self, part: str, problem: str, *, fatal: bool = True) -> None:
        """Record or clear the failure of a part; it is logged once, and once more when it is over."""
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
