"""Builds the daemon of one network from its settings: store, config, interface, backend, lease file, in this order.

Each step checks what the next one needs, so that a wrong setting ends the start before anything is changed. What must
be closed again is registered on the stack that the caller hands in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

from kernel.errors import KernelError
from kernel.firewall.nft_monitor import NftEvents
from kernel.netlink.handle import Handle
from kernel.netlink.monitor import Events
from overlay.backends import GatewayRoutes, Underlay, registry, wireguard_key
from overlay.config import documents, network, ranges
from overlay.config.network import NetworkConfig
from overlay.config.settings import Settings
from overlay.daemon import Daemon, Listener, Outside
from overlay.datapath import apply, diff, l3_device
from overlay.datapath import underlay as interfaces
from overlay.datapath.cleanup import Cleanup
from overlay.datapath.conflicts import ConflictChecker
from overlay.datapath.reconciler import Reconciler, ReconcilerConfig
from overlay.datapath.record import CreatedObjectsFile
from overlay.datapath.underlay import InterfaceSelection
from overlay.datapath.underlay_monitor import UnderlayMonitor, UnderlayState
from overlay.errors import Refused, Unavailable, unusable
from overlay.firewall.isolation_sync import Isolation
from overlay.firewall.known_networks import KnownNetworks
from overlay.firewall.manager import FirewallManager
from overlay.firewall.rules import NetworkRules
from overlay.firewall.sync import FirewallSync
from overlay.monitoring.entry_problems import Complaints
from overlay.monitoring.log import Log
from overlay.stores import Store
from overlay.stores.etcd import keys
from overlay.stores.file import FileStore
from overlay.stores.sqlite import Clock, SqliteStore
from overlay.subnet.attributes import compact
from overlay.subnet.env_file import LeaseFile
from overlay.subnet.manager import Clock as LeaseClock
from overlay.subnet.state_machine import LeasePolicy, LeaseState
from system.ip import IPNetwork

CONFIG_RETRY = 1.0
"""Seconds until a store without a network config is asked again (docs/reference/flannel.md 2.8)."""
LOOK, BURST = 5.0, 0.1
"""Seconds until a missing interface is looked for again without an event of the kernel, and after an event."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What all networks of one process share."""

    lease_clock: LeaseClock
    """Time and random numbers, for leases."""
    clock: Clock
    """The time since boot, and the id of the boot."""
    firewall: FirewallManager
    """The firewall of all networks."""
    register: ConflictChecker
    """What each network needs of the host for itself."""


def share(chosen: Settings, stack: ExitStack, lease_clock: LeaseClock, clock: Clock) -> ProcessContext:
    """Return what the networks of these settings share."""
    apart = Isolation(KnownNetworks(clock.boot), holding=True)
    firewall = FirewallManager(FirewallSync(), _firewall_events(stack), chosen.iptables_resync, apart)
    return ProcessContext(lease_clock, clock, firewall, ConflictChecker())


async def assemble(chosen: Settings, stack: ExitStack, shared: ProcessContext, listener: Listener, log: Log) -> Daemon:
    """Return the daemon, as soon as config and interface are there; raises Refused, Unavailable or KernelError.

    Nothing in the kernel has been changed until then.
    """
    file = LeaseFile(chosen.subnet_file)
    file.acquire()
    stack.callback(file.release)
    kernel = stack.enter_context(Handle())
    events = stack.enter_context(Events())
    record = CreatedObjectsFile(chosen.subnet_file, shared.clock.boot)
    previous = file.previous()
    vet = partial(_vet, chosen, kernel, (*record.subnets(), *(previous.networks if previous else ())), log)
    if text := _to_be_stored(chosen):
        vet(network.parse(text, chosen.store))
    store = open_store(chosen, kernel, shared.clock, stack, log)
    wait = partial(_patiently, listener, log)
    text = await wait("the network config", store.read_config, partial(asyncio.sleep, CONFIG_RETRY))
    config = network.parse(text, f"network config in {chosen.store}")
    entry = registry.require_known(config)
    try:
        vet(config)
    except Unavailable:
        vet(config, await _listed(chosen, store, kernel))
    shared.register.enter(chosen.name, entry.resources(config))
    stack.callback(shared.register.leave, chosen.name)
    key = wireguard_key.private_key(chosen.wireguard_key_file) if entry.key_device else ""
    settle = partial(_settle, chosen, store, kernel, config, key)
    selection, build, first = await wait("the interface of the tunnels", settle, partial(_change, events))
    underlay = first.underlay
    log.info("interface chosen", interface=underlay.interface, public_ip=underlay.public_ip, mtu=underlay.mtu)
    _retire_forwarder(config, str(file.path), log)
    ground = UnderlayMonitor(first, build, selection, kernel, shared.lease_clock.now, dual=config.ipv6 is not None)
    reconciler = Reconciler(
        kernel, ground.stand.backend, file, _duties(chosen, config, key), Cleanup(kernel, record), log
    )
    outside = Outside(store, ground, events, listener, shared.lease_clock, log, shared.firewall, chosen.name)
    state = LeaseState(ground.stand.policy, previous=previous)
    return Daemon(outside, state, reconciler)


def _to_be_stored(chosen: Settings) -> str:
    """Return the network config that will be stored in a new store; empty when the store exists."""
    new = chosen.store_kind == "sqlite" and not Path(chosen.store_path).exists()
    return initial_config(chosen) if new else ""


def _vet(
    chosen: Settings,
    kernel: Handle,
    held: tuple[IPNetwork, ...],
    log: Log,
    config: NetworkConfig,
    listed: tuple[IPNetwork, ...] = (),
) -> None:
    """Raise Refused for a range no network can have, Unavailable while this host has an address or a route in it; log doubts.

    `held` are the subnets this host has had in this boot: a network it is already in continues, whatever overlaps it
    now. `listed` are those that the store has for this host: a bridge may have been given such an address before the
    daemon started.
    """
    seen = ranges.Seen(kernel.links(), kernel.addresses(), kernel.routes()).outside((*held, *listed))
    for one in config.networks:
        if why := ranges.forbidden(one):
            raise Refused(why, where=chosen.store, remedy="give a private range, like 10.42.0.0/16")
        if doubt := ranges.doubtful(one):
            log.change(f"range {one}", "warning", "the network's range is doubtful", reason=doubt)
        joined = any(one.version == subnet.version and subnet.network_address in one for subnet in held)
        peers = GatewayRoutes(frozenset(), (one,) if joined else ())
        routes = [route for route in seen.routes if not diff.by_host(route, peers)]
        taken = list(ranges.overlaps(one, seen.links, seen.addresses, routes, (chosen.bridge,)))
        what = f"{one} overlaps {' and '.join(taken)} on this host"
        if taken and not joined and not chosen.allow_overlap:
            remedy = "give the network another range (--network, or its config in the store), take that away here, or give --allow-overlap"
            raise Unavailable(f"{what}; {remedy}")
        if taken:
            log.change(f"overlap {one}", "warning", "the network's range is taken on this host", reason=what)


async def _listed(chosen: Settings, store: Store, kernel: Handle) -> tuple[IPNetwork, ...]:
    """Return the subnets that the store has for this host, as far as it answers."""
    try:
        leases = (await store.leases()).leases
    except (Refused, Unavailable):
        return ()
    here = {str(held.address.ip) for held in kernel.addresses()} | {chosen.public_ip}
    return tuple(one for lease in leases if str(lease.attributes.public_ip) in here for one in lease.subnet.networks)


async def _settle(
    chosen: Settings, store: Store, kernel: Handle, config: NetworkConfig, key: str
) -> tuple[InterfaceSelection, Callable[[Underlay], UnderlayState], UnderlayState]:
    """Choose the interface and build the backend for it; raises Refused, or Unavailable while there is no such interface."""
    selection = _interface_selection(chosen, store, kernel)
    underlay = interfaces.choose(kernel, selection, dual=config.ipv6 is not None)
    entry = registry.require_known(config)
    kept = apply.kept_macs(kernel, entry.devices(config, underlay)) if store.exchanges else {}
    kept |= {entry.key_device: wireguard_key.public_key(key, chosen.wireguard_key_file)} if key else {}
    build = partial(_underlay_state, config, kept, chosen.subnet_lease_renew_margin * 60.0)
    return selection, build, build(underlay)


def _underlay_state(config: NetworkConfig, kept: Mapping[str, str], margin: float, underlay: Underlay) -> UnderlayState:
    backend = registry.build(config, underlay, kept)
    return UnderlayState(underlay, backend, LeasePolicy(config, underlay.public_ip, backend.attributes, margin))


def _firewall_events(stack: ExitStack) -> NftEvents | None:
    """Return a listener for changes of nftables; None where the kernel has no nftables."""
    try:
        return stack.enter_context(NftEvents())
    except KernelError:
        return None


def initial_config(chosen: Settings) -> str:
    """Return the network config that the settings describe, empty when they describe none; raises Refused."""
    if chosen.net_config:
        try:
            text = Path(chosen.net_config).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            remedy = "name a readable file with flannel's network config"
            raise unusable(problem, f"cannot be read: {problem}", where=chosen.net_config, remedy=remedy) from problem
        registry.require_known(network.parse(text, chosen.net_config))
        return text
    if not chosen.network:
        return ""
    backend: dict[str, object] = {"Type": registry.DEFAULT, "VNI": chosen.vni or 1}
    if chosen.port is not None:
        backend["Port"] = chosen.port
    text = compact({"Network": chosen.network, "Backend": backend})
    registry.require_known(network.parse(text, "--network"))
    return text


async def _patiently(
    listener: Listener, log: Log, what: str, attempt: Callable[[], Awaitable[_T]], pause: Callable[[], Awaitable[None]]
) -> _T:
    """Try until it is no longer Unavailable; what is waited for is logged once, and is the status of the service."""
    while True:
        try:
            found = await attempt()
        except Unavailable as problem:
            log.change(what, "warning", f"waiting for {what}", problem=problem)
            listener.status(f"waiting for {what}: {problem}")
            await pause()
        else:
            log.settled(what, f"{what} is there")
            return found


async def _change(events: Events) -> None:
    """Return after a change in the kernel, or after LOOK seconds; a burst of changes counts as one."""
    loop, happened = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(events.fileno(), happened.set)
    try:
        async with asyncio.timeout(LOOK):
            await happened.wait()
            await asyncio.sleep(BURST)
    except TimeoutError:
        pass
    finally:
        loop.remove_reader(events.fileno())
    events.read()


def open_store(chosen: Settings, kernel: Handle, clock: Clock, stack: ExitStack, log: Log) -> "Store":
    """Open the store of these settings, and store the network config they describe, if any; raises Refused.

    The store is closed with `stack`.
    """
    report = Complaints(log).report
    if chosen.store_kind == "etcd":
        return _open_etcd(chosen, stack, log)
    if chosen.store_kind == "file":
        addresses = partial(interfaces.local_addresses, kernel)
        return FileStore(chosen.store_path, derive=registry.derive, addresses=addresses, report=report)
    founding = initial_config(chosen)
    store = SqliteStore(chosen.store_path, clock=clock, report=report)
    stack.callback(store.close)
    if founding:
        _initialise(store, founding, chosen)
    return store


def _open_etcd(chosen: Settings, stack: ExitStack, log: Log) -> Store:
    """Return the etcd store; its client is imported here, because the import is slow and other stores do not need it."""
    from overlay.stores.etcd.client import Client, Credentials  # noqa: PLC0415 - see above
    from overlay.stores.etcd.store import EtcdStore  # noqa: PLC0415 - see above

    endpoints = chosen.etcd_endpoints or keys.endpoints(keys.DEFAULT_ENDPOINTS)
    credentials = Credentials(
        chosen.etcd_username, chosen.etcd_password, chosen.etcd_cafile, chosen.etcd_certfile, chosen.etcd_keyfile
    )
    plain = [str(endpoint) for endpoint in endpoints if not endpoint.tls]
    if plain and (chosen.etcd_cafile or chosen.etcd_certfile):
        log.warning("etcd without encryption, though files for TLS are given", endpoints=", ".join(plain))
    prefix = chosen.prefix
    log.info("store opened", store="etcd", prefix=prefix, endpoints=", ".join(map(str, endpoints)))
    store = EtcdStore(Client(endpoints, credentials), prefix, report=Complaints(log).report)
    stack.callback(store.close)
    return store


def _initialise(store: SqliteStore, founding: str, chosen: Settings) -> None:
    """Store the config if the store has none; raises Refused when it has another one."""
    stored = store.initialise(founding)
    if stored == founding:
        return
    wanted, held = (documents.parse(text, chosen.store) for text in (founding, stored))
    found = network.differences(wanted, held)
    if found:
        remedy = (
            "give what the store has, or leave it out; to change the network, stop all daemons and remove the store"
        )
        raise Refused("; ".join(map(str, found)), where=chosen.store, remedy=remedy)


def _interface_selection(chosen: Settings, store: Store, kernel: Handle) -> InterfaceSelection:
    """Return what the settings select; if that is nothing, the address of this host that a hosts file lists.

    Raises Unavailable while this host has none of those addresses.
    """
    selection = InterfaceSelection(
        chosen.iface, chosen.iface_regex, chosen.iface_can_reach, chosen.public_ip, chosen.public_ipv6
    )
    if not isinstance(store, FileStore) or selection != InterfaceSelection():
        return selection
    here = {held.address.ip for held in kernel.addresses()}
    listed = [address for address in store.known if address in here]
    if not listed:
        remedy = (
            'give this host one of them, or add it to "Hosts" on every host; behind NAT, give --iface and --public-ip'
        )
        what = store.stranger("an address of this host as its PublicIP")
        raise Unavailable(f"{chosen.store_path}: {what}; {remedy}")
    return replace(selection, public_ip=str(listed[0]))


def _retire_forwarder(config: NetworkConfig, owner: str, log: Log) -> None:
    """Stop the forwarder of an earlier start if the network now has another backend."""
    for device in registry.forwarders(but=config.backend_type):
        if l3_device.stop_forwarder(device, owner):
            log.info("forwarder of the earlier backend stopped", device=device)


def earlier_rules(chosen: Settings, boot: str) -> tuple[NetworkRules, ...]:
    """Return the firewall rules for the subnets of earlier starts in this boot, with the present settings."""
    return tuple(
        NetworkRules(
            *(network, subnet, chosen.ip_masq, chosen.iptables_forward_rules),
            *(not chosen.ip_masq_fully_random_disable, _excluded(chosen, network.version), native, chosen.keep_source),
        )
        for network, subnet, native in CreatedObjectsFile(chosen.subnet_file, boot).read().rules
    )


def _excluded(chosen: Settings, version: int) -> tuple[IPNetwork, ...]:
    return tuple(one for one in map(ip_network, chosen.ip_masq_exclude) if one.version == version)


def _duties(chosen: Settings, config: NetworkConfig, private_key: str) -> ReconcilerConfig:
    return ReconcilerConfig(
        config=config,
        bridge=chosen.bridge,
        masquerade=chosen.ip_masq,
        forward=chosen.iptables_forward_rules,
        fully_random=not chosen.ip_masq_fully_random_disable,
        excluded=tuple(map(ip_network, chosen.ip_masq_exclude)),
        keep_source=chosen.keep_source,
        guarded=chosen.tunnel_guard,
        allowed=tuple(map(ip_network, chosen.tunnel_allow)),
        private_key=private_key,
        blackhole=chosen.ip_blackhole_route,
    )
