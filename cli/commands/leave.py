"""`tulle leave`: removes what tulled made on this host: lease file, bridge, tunnel, rules, and the lease in the store.

For a host that leaves for good, after tulled was stopped. While containers are attached, nothing is removed. tulled's
record says what it made, so nothing is guessed; a bridge that is in neither the record nor the conflist is not found.
Settings, runtimes and programs stay: `tulle init --undo` and `make uninstall` remove those.
"""

import argparse
import asyncio
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cli.inspect import daemon_settings, network_state
from cli.inspect.network_state import NetworkState
from cli.setup.runtimes import BRIDGE
from ipam import boot
from kernel.errors import KernelError
from kernel.firewall import nft
from kernel.netlink import requests
from kernel.netlink.handle import Handle
from kernel.netlink.objects import Link
from overlay.backends import Desired, registry
from overlay.datapath import l3_device
from overlay.datapath.cleanup import Cleanup
from overlay.datapath.record import CreatedObjects, CreatedObjectsFile
from overlay.errors import Refused, Unavailable
from overlay.firewall.isolation_sync import Isolation
from overlay.firewall.known_networks import KnownNetworks
from overlay.firewall.sync import FirewallSync
from overlay.monitoring.log import Log
from overlay.subnet.env_file import LeaseFile
from overlay.subnet.lease import Lease
from system.ip import IPNetwork

PATIENCE = 10.0
"""Seconds in which the store must take the lease back."""


SPOOFING = "tulle-spoofchk"
"""The table of the key `spoofchk`.

It stays for other networks' containers, and is removed with the host's last network.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to remove."""

    what: str
    take: Callable[[], Sequence[str]]  # removes it, and returns why it could not


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the command to the command line of `tulle`, and return its parser."""
    parser = commands.add_parser("leave", help="take the network off this host for good, once tulled is stopped")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--host",
        default="",
        metavar="IP",
        help="instead of this host: give back the lease of one that is gone for good, by the address others reached it at",
    )
    daemon_settings.declare(parser)
    return parser


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Leave every network of the settings. Return 1 if one cannot be left or something stays, else 0."""
    try:
        networks = [network_state.read(each) for each in daemon_settings.read(options, environ)]
        if host := getattr(options, "host", ""):
            return _forget_everywhere(networks, host, dry=options.dry_run)
        stay = [_leave(found, dry=options.dry_run) for found in networks]
    except (Refused, Unavailable, KernelError) as problem:
        print(f"tulle leave: {problem}", file=sys.stderr)
        return 1
    return int(any(stay))


def _leave(found: NetworkState, *, dry: bool) -> bool:
    """Leave one network, and return whether something stays.

    Raises Refused while containers are attached, Unavailable while tulled runs.
    """
    file = LeaseFile(found.settings.subnet_file)
    with ExitStack() as stack:
        try:
            file.acquire()
        except Unavailable as held:
            if "kept by another tulled" not in str(held):
                raise
            remedy = "stop it first: systemctl disable --now tulled tulle-agent, then tulle leave again"
            raise Refused(f"tulled is running here, and would take the network again ({held})", remedy=remedy) from None
        stack.callback(file.release)
        kernel = stack.enter_context(Handle())
        _refuse_attached(found)
        failed = False
        for step in steps(found, file, kernel):
            if dry:
                print(f"would remove {step.what}")
                continue
            problems = step.take()
            failed = failed or bool(problems)
            print(f"removed {step.what}" if not problems else f"left {step.what}: {'; '.join(problems)}")
        if not (dry or failed):
            for kept in (f"{file.path}.made", f"{file.path}.lock"):
                Path(kept).unlink(missing_ok=True)
            with suppress(OSError):  # another program's files may be in it
                Path(file.path).parent.rmdir()
    print(_entry(found))
    return failed


def _forget_everywhere(networks: Sequence[NetworkState], host: str, *, dry: bool) -> int:
    """Give back the leases of another host that is gone for good.

    Raises Refused if there is none, or it may still live.
    """
    away = next((found.store_problem for found in networks if found.store_problem), "")
    if away:
        raise Refused(away, remedy="the store has to answer for this")
    theirs = [(found, one) for found in networks for one in found.leases if host in map(str, _addresses(one))]
    if not theirs:
        known = sorted({str(one.attributes.public_ip) for found in networks for one in found.leases})
        raise Refused(f"no host has the address {host}", remedy=f"the hosts: {', '.join(known) or 'none'}")
    done = [_forget(found, lease, host, dry=dry) for found, lease in theirs]
    return int(not all(done))


def _forget(found: NetworkState, lease: Lease, host: str, *, dry: bool) -> bool:
    """Give back the lease of another host, and return whether that was done. Raises Refused if it may still live."""
    if _own(found) == lease:
        raise Refused(f"{host} is this host", remedy="for this host: tulle leave, without --host")
    if found.settings.store_kind == "file":
        remedy = (
            f"take its line out of {found.settings.store_path} on every host; daemons that run see it by themselves"
        )
        raise Refused(f"{host} stands in a hosts file", remedy=remedy)
    if dry:
        print(f"would remove the lease of {lease.subnet} at {host} in {found.settings.store}")
        return True
    with Handle() as kernel:
        problems = _give_back(found, lease, kernel)
    what = f"the lease of {lease.subnet} at {host} in {found.settings.store}"
    print(
        f"left {what}: {'; '.join(problems)}" if problems else f"removed {what}; a host that comes back takes another"
    )
    return not problems


def _addresses(lease: Lease) -> tuple[object, ...]:
    return lease.attributes.public_ip, lease.attributes.public_ipv6


def _refuse_attached(found: NetworkState) -> None:
    """Raise Refused while a bridge of the lease has ports: their containers would lose the network."""
    bridges = {link.index for link in _bridges(found)}
    ports = [link for link in found.links if link.master in bridges]
    if ports:
        names = ", ".join(port.alias or port.name for port in ports)
        raise Refused(f"still attached: {names}", remedy="remove these containers first; what is dead: tulle gc")


def _bridges(found: NetworkState) -> Iterator[Link]:
    """Yield the bridges with a gateway address of the lease."""
    gateways = set(found.lease.gateways) if found.lease else set()
    held = {one.link for one in found.addresses if one.address.ip in gateways}
    yield from (link for link in found.links if link.kind == "bridge" and link.index in held)


def steps(found: NetworkState, file: LeaseFile, kernel: Handle) -> Iterator[Step]:
    """Yield what there is to remove: first the file by which containers start, last the lease that other hosts use."""
    if found.lease is not None:
        yield Step(f"the lease file {file.path}", partial(_attempt, file.withdraw))
    named = {found.settings.bridge, BRIDGE}
    for bridge in (link for link in _bridges(found) if link.name in named):
        gone = partial(kernel.apply, requests.DeleteLink(bridge.index))
        yield Step(f"the bridge {bridge.name}", partial(_attempt, gone))
    record = CreatedObjectsFile(file.path, boot.current().decode())
    made = record.read()
    if told := ", ".join(_made(made)):
        yield Step(told, partial(_clear, kernel, record, file))
    if made.rules or found.lease is not None:
        said: list[IPNetwork] = [*found.lease.networks, *found.lease.ipv6_networks] if found.lease else []
        networks = frozenset([*said, *(network for network, _, _ in made.rules)])
        yield Step("tulled's rules in the firewall", partial(_unfilter, networks, file.path))
    if _idle(nft.listing("bridge", SPOOFING)):
        gone_table = {"delete": {"table": {"family": "bridge", "name": SPOOFING}}}
        yield Step(f"table bridge {SPOOFING}", partial(_attempt, partial(nft.run, [gone_table])))
    if (own := _own(found)) is not None and own.ttl is not None:
        yield Step(f"the lease of {own.subnet} in {found.settings.store}", partial(_give_back, found, own, kernel))


def _idle(table: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the table exists and its set of ports is empty."""
    sets = [each["set"] for each in table if "set" in each]
    return bool(table) and not any(one.get("elem") for one in sets if one.get("name") == "ports")


def _made(made: CreatedObjects) -> Iterator[str]:
    """Yield, as text, what the record names."""
    yield from (name for name, _ in sorted(made.links))
    yield from (f"the guard of the tunnel {name}" for name in sorted(made.guards))
    yield from (f"routes into {one}" for one in sorted(map(str, made.gateways)))
    yield from (f"the blackhole {one}" for one in sorted(map(str, made.blackholes)))


def _clear(kernel: Handle, record: CreatedObjectsFile, file: LeaseFile) -> list[str]:
    failed: list[str] = []
    for device in registry.forwarders():
        l3_device.stop_forwarder(device, file.path)
    Cleanup(kernel, record).clear(Desired(), (), failed)
    return failed


def _unfilter(networks: frozenset[IPNetwork], lease_file: str) -> list[str]:
    """Remove the rules of these networks, also those that separate them from others. The others stay separated."""
    problem = FirewallSync().enforce((), None, networks).problem
    try:
        Isolation(KnownNetworks(boot.current().decode())).leave(lease_file)
    except Unavailable as refused:
        return [problem, str(refused)] if problem else [str(refused)]
    return [problem] if problem else []


def _attempt(act: Callable[[], object]) -> list[str]:
    try:
        act()
    except (KernelError, OSError) as problem:
        return [str(problem)]
    return []


def _own(found: NetworkState) -> Lease | None:
    """Return this host's lease, unless it has become another host's meanwhile."""
    here = {str(held.address.ip) for held in found.addresses} | {found.settings.public_ip}
    own = found.own
    return own if own is not None and str(own.attributes.public_ip) in here else None


def _give_back(found: NetworkState, own: Lease, kernel: Handle) -> list[str]:
    try:
        asyncio.run(_remove(found, own, kernel))
    except TimeoutError:
        return ["the store does not answer; other hosts will forget this one within a day"]
    except (Refused, Unavailable) as problem:
        return [f"{problem}; other hosts will forget it within a day"]
    return []


async def _remove(found: NetworkState, own: Lease, kernel: Handle) -> None:
    with ExitStack() as stack:
        store = network_state.open_store(found.settings, kernel, stack, Log(io.StringIO(), clock=lambda: ""))
        async with asyncio.timeout(PATIENCE):
            await store.remove(own)


def _entry(found: NetworkState) -> str:
    """Return what a person must still do in the store."""
    if found.settings.store_kind == "file":
        return f"next: take this host out of {found.settings.store_path} on every other host"
    if found.store_problem:
        return f"note: the store was not asked ({found.store_problem}); other hosts will forget this one within a day"
    if (own := _own(found)) is not None and own.ttl is None:
        return f"note: {own.subnet} is a reservation in {found.settings.store} and stays"
    return "this host has left"
