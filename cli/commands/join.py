"""`tulle join HOST...`: makes this host a member of a network, by the hosts file and tulled's settings.

Everything is decided and tested before the first file is written. What a person edited stays; what an earlier join
wrote is corrected. The daemon is only started when asked for. `tulle init` tells the runtimes.
"""

import argparse
import io
import shlex
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cli.checks import join
from cli.checks.join import Trial
from cli.inspect import daemon_settings, detect, foreign_files
from cli.inspect.detect import HostFacts, under
from cli.setup import firewall, hosts_file, joined, start_services
from cli.setup.hosts_file import Wanted
from cli.setup.runtimes import BRIDGE
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from lease import file as lease_file
from overlay.config import settings as tulled
from overlay.config.settings import Settings
from overlay.errors import Refused
from overlay.stores.etcd import keys
from system import atomic_file, folders

SYSTEMD = "/run/systemd/system"
"""Exists while systemd manages the host (sd_booted(3))."""

ETCD_ALONE = (
    "TULLED_ETCD_PREFIX",
    "TULLED_ETCD_CAFILE",
    "TULLED_ETCD_CERTFILE",
    "TULLED_ETCD_KEYFILE",
    "TULLED_ETCD_USERNAME",
    "TULLED_ETCD_PASSWORD",
)
"""Settings that have no meaning without an etcd."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write."""

    files: Mapping[str, str]  # texts by path
    variables: Mapping[str, str]  # the daemon's variables among them
    settings: Settings  # as tulled reads them then

    @property
    def hosts(self) -> str:
        """The text of the hosts file; empty with etcd."""
        return self.files.get(hosts_file.HOSTS, "")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line of `tulle`."""
    parser = commands.add_parser("join", help="make this host a member of a network: tulled's settings")
    parser.add_argument(
        "hosts",
        nargs="*",
        metavar="HOST",
        help="IPv4 addresses (or names) of all hosts including this one; type the same list on every host",
    )
    parser.add_argument("--etcd", default="", metavar="URLS", help="instead of HOSTs: members of etcd, commas between")
    parser.add_argument(
        "--network", default=hosts_file.NETWORK, metavar="CIDR", help="network of all hosts (default %(default)s)"
    )
    parser.add_argument(
        "--now", action="store_true", help="start tulled and the agent, now and at every boot (systemd)"
    )
    parser.add_argument(
        "--replace", action="store_true", help="write over what was edited by hand in the hosts file and the settings"
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="ask neither etcd nor the kernel: for an image of a host that is not up yet",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be written")
    parser.set_defaults(show=run)


def run(options: argparse.Namespace, root: Path = Path("/")) -> int:
    """Execute the command below `root`. Return 0, 1 when something is in the way, or 2 for wrong usage."""
    if wrong := _usage(options):
        print(f"tulle join: {wrong}", file=sys.stderr)
        return 2
    try:
        decision = decide(options, root, () if options.etcd or options.offline else local_addresses())
        tried = None if options.offline or root != Path("/") else join.run(decision.settings, decision.hosts, (BRIDGE,))
        changed = _write(decision.files, root, dry=options.dry_run)
        if not options.dry_run:
            joined.write(root, decision.variables, decision.hosts)
    except (Refused, KernelError, detect.Unreadable, OSError) as problem:
        print(f"tulle join: {problem}", file=sys.stderr)
        return 1
    for warning in tried.warnings if tried else ():
        print(f"note: {warning}")
    return _go_on(options, root, decision, tried, changed=daemon_settings.FILE in changed)


def _usage(options: argparse.Namespace) -> str:
    """Return what is wrong with the options together; empty when nothing is."""
    if bool(options.hosts) == bool(options.etcd):
        return "name all hosts (tulle join 192.0.2.11 192.0.2.12), or give --etcd URLS"
    if options.etcd and options.network != hosts_file.NETWORK:
        return "--network is for a list of hosts; with --etcd the range is in etcd's network config"
    return (
        "--offline and --now do not go together: --now starts what is joined" if options.offline and options.now else ""
    )


def local_addresses() -> tuple[IPv4Address, ...]:
    """Return the addresses of this host."""
    with Handle() as kernel:
        found = (held.address.ip for held in kernel.addresses())
        return tuple(one for one in found if isinstance(one, IPv4Address))


def decide(options: argparse.Namespace, root: Path, here: Iterable[IPv4Address]) -> Decision:
    """Decide what to write. Raises Refused, also for settings that tulled would refuse."""
    usual = {"TULLED_IP_MASQ": "true", "TULLED_BRIDGE": BRIDGE}
    if _netavark_translates(detect.look(root, detect.podman_version() if root == Path("/") else ())):
        usual["TULLED_KEEP_SOURCE"] = "true"
    before, text = joined.read(root), _text(root, daemon_settings.FILE)
    files = {}
    if options.etcd:
        stores = (
            ()
            if daemon_settings.assignments(text, daemon_settings.FILE).get("TULLED_STORE") == "etcd"
            else ("TULLED_STORE",)
        )
        wanted = Wanted({"TULLED_ETCD_ENDPOINTS": _endpoints(options.etcd)}, usual, stores)
    else:
        files[hosts_file.HOSTS] = _hosts(options, root, tuple(here), before)
        wanted = Wanted({"TULLED_STORE": f"file:{hosts_file.HOSTS}"}, usual, ("TULLED_ETCD_ENDPOINTS", *ETCD_ALONE))
    mine = {**before.variables, **(hosts_file.decisive(text, wanted) if options.replace else {})}
    files[daemon_settings.FILE] = hosts_file.settings(text, wanted, daemon_settings.FILE, mine)
    chosen = tulled.parse(
        [], daemon_settings.assignments(files[daemon_settings.FILE], daemon_settings.FILE), io.StringIO()
    )
    return Decision(files, wanted.all, chosen)


def _hosts(options: argparse.Namespace, root: Path, here: Sequence[IPv4Address], before: joined.Joined) -> str:
    """Return the text of the hosts file. Raises Refused if this host is not in the list."""
    named = hosts_file.addresses(options.hosts, _resolved)
    own = next((one for one in here if not one.is_loopback), None)
    if not options.offline and not {one.address for one in named} & set(here):
        shown = (*options.hosts, *([own] if own else ()))
        remedy = f"name it too, by the address the others reach it at: tulle join {' '.join(map(str, shown))} (behind NAT: docs/daemon.md)"
        raise Refused(
            f"this host ({own}) is not in the list" if own else "this host has no address but loopback", remedy=remedy
        )
    held = _text(root, hosts_file.HOSTS)
    return hosts_file.hosts(options.network, named, "" if options.replace else held, ours=before.wrote(held))


def _resolved(name: str) -> str:
    """Return the IPv4 address of a host's name. Raises Refused if it has none."""
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_DGRAM)[0][4][0])
    except (OSError, UnicodeError) as problem:
        why = getattr(problem, "strerror", "") or str(problem)
        raise Refused(f"{name} has no IPv4 address here: {why}", remedy="name that host by its address") from None


def _netavark_translates(here: HostFacts) -> bool:
    """Return whether netavark without our driver attaches containers: it also masquerades packets to other hosts."""
    return "podman" in here.runtimes and here.podman.backend == "netavark" and not here.podman.driven


def _endpoints(text: str) -> str:
    try:
        keys.endpoints(text)
    except ValueError as problem:
        raise Refused("cannot be used", where="--etcd", remedy=str(problem)) from None
    return text


def _text(root: Path, path: str) -> str:
    try:
        return foreign_files.text(under(root, path))
    except FileNotFoundError:
        return ""
    except foreign_files.Unfit as problem:
        raise Refused(str(problem), where=path, remedy="move it away") from None


def _write(files: Mapping[str, str], root: Path, *, dry: bool) -> set[str]:
    """Write what differs, and keep the mode of the daemon's settings. Return the paths."""
    changed = {path for path, text in files.items() if _text(root, path) != text}
    for path, text in files.items():
        if path not in changed:
            print(f"{path} unchanged")
        elif dry:
            print(f"would write {path}:\n{text}", end="")
        else:
            place = under(root, path)
            folders.make(str(place.parent))
            mode = place.stat().st_mode & 0o777 if place.exists() else 0o644
            atomic_file.replace(str(place), text.encode(), mode, pending=str(place.with_name(f".{place.name}.new")))
            print(f"wrote {path}")
    return changed


def _go_on(options: argparse.Namespace, root: Path, decision: Decision, tried: Trial | None, *, changed: bool) -> int:
    """Start the daemon, or print how; and print what else must be done."""
    booted = under(root, SYSTEMD).is_dir()
    if options.dry_run or not (options.now and booted):
        if options.now and not booted:
            print("tulle join: no systemd runs here, so nothing was started", file=sys.stderr)
        by_hand = f"(set -a; . {daemon_settings.FILE}; exec tulled) &"
        command = f"systemctl enable --now {' '.join(start_services.UNITS)}" if booted else by_hand
        print(f"next: {command}\nnext: tulle init")
        return int(options.now and not booted)
    print("starting tulled and tulle-agent ... (taking long? journalctl -fu tulled)", flush=True)
    try:
        begun = start_services.start(again=changed)
    except KernelError as problem:
        begun = start_services.Start(str(problem))
    if begun.failure:
        print(f"tulle join: {begun.failure}", file=sys.stderr)
        print(
            f"tulle join: {f'tulled says: {begun.reason}' if begun.reason else 'journalctl -u tulled says why'}",
            file=sys.stderr,
        )
        return 1
    _tell(options, decision, tried)
    return 0


def _tell(options: argparse.Namespace, decision: Decision, tried: Trial | None) -> None:
    """Print what this host has now, what its firewall must allow, and what to type next, here and on the next host."""
    try:
        lease = lease_file.read(decision.settings.each[0].subnet_file)
        has = ", ".join(f"{net}, gateway {gateway}" for net, gateway in zip(lease.subnets, lease.gateways, strict=True))
        print(f"tulled is running; this host has {has}")
    except lease_file.Unavailable as missing:
        print(f"tulled is running; {missing}")
    if tried is not None and tried.ports:
        here = set(local_addresses())
        opened = firewall.lines(tried.ports, [one for one in tried.hosts if one not in here])
        for line in opened:
            print(f"firewall here: {line}")
        if not opened:
            print(f"no firewall found here; between the hosts UDP {' and '.join(map(str, tried.ports))} must be open")
    words = ("--etcd", options.etcd) if options.etcd else options.hosts
    network = () if options.network == hosts_file.NETWORK else ("--network", options.network)
    print(f"on the next host: tulle join --now {shlex.join((*network, *words))}\nnext: tulle init")
