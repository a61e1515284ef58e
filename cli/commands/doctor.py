"""`tulle doctor`: looks at everything that a network needs on this host, and says what is wrong and what to do.

First everything is read, then every check of the table looks at it. Nothing is changed.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cli import plain
from cli.checks import Check, DoctorInput, Finding, InapplicableError, host, lease, tunnel
from cli.checks import orphans as leftovers
from cli.inspect import address_holders, cni_configs, daemon_settings, detect, network_state, orphans, reachability
from cli.inspect.address_owners import Subnet
from cli.inspect.cni_configs import RuntimeConfig
from cli.inspect.detect import HostFacts
from cli.inspect.network_state import NetworkState
from driver import register
from ipam import boot
from kernel.errors import KernelError
from kernel.firewall import iptables
from kernel.netlink.handle import Handle
from meta.portmap import ports
from overlay.errors import Refused, Unavailable
from overlay.firewall.isolation_sync import Isolation
from overlay.firewall.known_networks import KnownNetworks
from overlay.stores.etcd import keys
from system.ip import IPNetwork

# fmt: off
CHECKS = (
    Check("store",          "hosts hear of each other through the store alone: without it nobody comes, goes or moves",
          "whether the store answers, and each of its entries can be used", lease.store),
    Check("lease-file",     "containers take their addresses from it: what the store gave to another host is a clash",
          "the file's subnet and network against the store; the published address against this host's", lease.lease_file),
    Check("bridge-address", "the gateway of containers must be the lease's, or their packets have no way out",
          "addresses of the network on bridges", lease.bridge_address),
    Check("rivals",         "two daemons on one prefix or VNI undo each other's work",
          "flanneld beside tulled, a second lease with our address, a second device with our VNI", lease.rivals),
    Check("forwarding",     "a host that does not forward keeps the packets of its containers",
          "ip_forward, for IPv6 too; the policy of iptables' FORWARD", host.forwarding),
    Check("isolation",      "two networks of a host reach each other unless a rule of tulled's says no, and rules that are fought over come and go",
          "table inet tulle-networks against the networks kept here; rules that something else changes again and again", host.isolation),
    Check("br-netfilter",   "with br_netfilter even frames between containers of one bridge pass iptables",
          "bridge-nf-call-iptables together with that policy", host.bridged),
    Check("rp-filter",      "a strict rp_filter drops what comes by another link than the answer would leave by",
          "rp_filter of the tunnel's devices and the way the kernel would take to each host", host.reverse_path),
    Check("routes",         "a route of the host's own inside the network takes packets away from the tunnel",
          "the main table's routes inside the network that are not the tunnel's or a bridge's", host.routes),
    Check("published",      "a port published on an address that is not here answers nobody until the address comes",
          "rules of published ports, of iptables and nftables, against the host's addresses", host.published),
    Check("entries",        "each lease is a neighbour, a forwarding entry and a route: without one of them a host is cut off",
          "what tulled would have to change now; leases that cannot be used", tunnel.entries),
    Check("mac",            "others address frames to the MAC in the store; a device with another one drops them",
          "the device's MAC against the store", tunnel.macs),
    Check("guard",          "a tunnel believes the sender's address: without rules any container and any stranger is a host of the network",
          "whether the table of the tunnel's guard stands", tunnel.guarded),
    Check("tunnel",         "packets to other hosts travel in UDP, which must pass both ways",
          "ping to every host, inside and outside the tunnel; who refuses its UDP port; each direction alone", tunnel.reachable),
    Check("mtu",            "a way narrower than the MTU loses large packets only: connections open and then hang",
          "the lease's MTU against interface and device; an echo of that size through the tunnel, never cut", tunnel.widths),
    Check("checksums",      "some cards miscount checksums inside tunnels: ping works, TCP does not",
          "TCP to a port nobody listens on, through the tunnel: a refusal is an answer", tunnel.checksums),
    Check("reservations",   "addresses that nobody uses run out",
          "the address book against the links of containers and the boot", leftovers.reservations),
    Check("duplicates",     "an address that two containers have belongs to whoever answers first: connections break at random",
          "who may give out addresses of this host's subnet; each of them on the links of the host and of its containers", leftovers.duplicates),
    Check("leaks",          "links and rules of containers that are gone catch the packets of later ones",
          "rules of iptables and nftables, and links, that name an attachment", leftovers.leaks),
    Check("programs",       "a runtime joins a container to the network only with a configuration and every program it names",
          "whether every installed runtime has its configuration, or our network driver, and all programs", leftovers.programs),
    Check("names",          "containers of Podman look for each other by name before they send a packet",
          "whether aardvark-dns runs for the networks of the Podman driver, or why it was not started", leftovers.names),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check."""

    check: str
    ok: bool | None  # None: there was nothing to look at
    why: str  # why the check matters
    at: str  # what it looked at
    findings: tuple[Finding, ...] = ()
    skipped: str = ""  # why there was nothing to look at

    def lines(self) -> list[str]:
        """Return the lines for people."""
        mark = {True: "ok     ", False: "FAILED ", None: "skipped"}[self.ok]
        first = f"{mark}  {self.check:<15}  {self.skipped or self.at}"
        why = [f"         why: {self.why}"] if self.findings else []
        return [first, *(f"         {word} {text}" for one in self.findings for word, text in _parts(one)), *why]


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options to `parser`."""
    parser.add_argument("--json", action="store_true", help="print JSON: a list of checks per network")
    declare_directories(parser)
    daemon_settings.declare(parser)


def declare_directories(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where a runtime's configurations and programs are."""
    parser.add_argument("--conf-dir", default="", metavar="DIR", help="where the runtime has its CNI configurations")
    parser.add_argument(
        "--bin-dir", action="append", default=[], metavar="DIR", help="where it has its CNI programs; may be repeated"
    )


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Examine every network of the settings. Return 1 when a check failed, else 0."""
    try:
        seen = {each.name: network_state.read(each) for each in daemon_settings.read(options, environ)}
        looked = tuple(map(cni_configs.look, cni_configs.installed(options.conf_dir, options.bin_dir)))
        told = {name: examine(gather(found, looked)) for name, found in seen.items()}
    except (Refused, KernelError, NotADirectoryError) as problem:
        print(f"tulle doctor: {problem}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({name: [asdict(one) for one in verdicts] for name, verdicts in told.items()}))
    else:
        text = "\n\n".join(report(name, told[name], lease.headline(found)) for name, found in seen.items())
        print(plain.fitted(text, plain.columns()))
    return int(any(one.ok is False for verdicts in told.values() for one in verdicts))


def report(name: str, verdicts: Collection[Verdict], headline: str = "") -> str:
    """Return the verdicts on one network for people; first what explains all of them, if anything does."""
    failed = sum(one.ok is False for one in verdicts)
    end = f"{failed} of {len(verdicts)} checks failed" if failed else "nothing is wrong here"
    first = [f"network in {name}", *([f"\n{headline}\n"] if headline else [])]
    return "\n".join([*first, *(line for one in verdicts for line in one.lines()), "", end])


def examine(seen: DoctorInput, checks: Iterable[Check] = CHECKS) -> list[Verdict]:
    """Return the verdict of every check."""
    return [_verdict(check, seen) for check in checks]


def _verdict(check: Check, seen: DoctorInput) -> Verdict:
    try:
        findings = tuple(check.look(seen))
    except InapplicableError as reason:
        return Verdict(check.name, None, check.why, check.at, skipped=str(reason))
    return Verdict(check.name, not findings, check.why, check.at, findings)


def gather(found: NetworkState, looked: tuple[RuntimeConfig, ...]) -> DoctorInput:
    """Read what network_state does not: other hosts' answers, orphans, the firewall, other daemons."""
    conflists = [one for each in looked for one in each.conflists]
    left = orphans.find(found, conflists)
    subnets = found.lease.subnets if found.lease else ()
    here = _machine(Subnet(found.settings.subnet_file, subnets))
    return DoctorInput(
        found,
        reachability.ask(found),
        left,
        looked,
        _forward_drops(found),
        tuple(_daemons(found.settings.prefix)),
        here if isinstance(here, HostFacts) else None,
        "" if isinstance(here, HostFacts) else here,
        address_holders.find(found.links, found.addresses, subnets),
        _exposed(),
        KnownNetworks(boot.current().decode()).complaint,
        register.trouble(),
        tuple(_waiting()),
    )


def _waiting() -> Iterable[Finding]:
    """Yield the published ports whose host address does not exist."""
    with Handle() as network:
        for each, command in ports.waiting(network):
            saw = f"{each.port}/{each.protocol} of {each.holder.name} is published on {each.host_ip}, no address of this host"
            yield Finding(saw, f"{command}, unless it is to come by itself (VRRP, DHCP)")


def _exposed() -> str:
    """Return what is missing of the rules that separate the networks. A rule that cannot be read counts as missing."""
    try:
        return "; ".join(Isolation(KnownNetworks(boot.current().decode())).keep(change=False))
    except Unavailable as problem:
        return str(problem)


def _machine(wanted: Subnet) -> HostFacts | str:
    """Return what tulle init decides by, or None and the error if a runtime's settings cannot be read."""
    try:
        return detect.look(Path("/"), detect.podman_version(), wanted)
    except detect.Unreadable as problem:
        return str(problem)


def _forward_drops(found: NetworkState) -> bool:
    """Return whether iptables' FORWARD drops by policy, and no rule accepts packets from the network."""
    networks: tuple[IPNetwork, ...] = found.config.networks if found.config else ()
    return any(_drops(network) for network in networks)


def _drops(network: IPNetwork) -> bool:
    tables = iptables.saved(network.version)
    accepts = (line.split() for line in tables.get("filter", ()) if line.endswith("-j ACCEPT"))
    accepted = any(str(network) in words for words in accepts)
    return iptables.policy(tables, "filter", "FORWARD") == "DROP" and not accepted


def _daemons(prefix: str) -> Iterable[str]:
    """Yield the names of the overlay daemons in this network namespace.

    Of flannelds only those with `prefix` in etcd.
    """
    here = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - as below
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
            if os.readlink(process / "ns" / "net") != here:  # noqa: PTH115 - no path
                continue
            if name == "tulled" or (name == "flanneld" and keys.join(_prefix(process)) == keys.join(prefix)):
                yield name
        except OSError:
            continue


def _prefix(process: Path) -> str:
    """Return the prefix in etcd of a running flanneld, from its option or variable. Raises OSError."""
    words, variables = ((process / name).read_text(errors="replace").split("\0") for name in ("cmdline", "environ"))
    given = re.search(r"\0--?etcd-prefix[=\0]([^\0]+)", "\0" + "\0".join(words))
    named = [one.partition("=")[2] for one in variables if one.startswith("FLANNELD_ETCD_PREFIX=")]
    return given[1] if given else next(iter(named), keys.DEFAULT_PREFIX)


def _parts(finding: Finding) -> tuple[tuple[str, Any], ...]:
    return ("saw:", finding.saw), ("do: ", finding.remedy)
