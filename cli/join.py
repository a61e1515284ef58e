"""`tulle join HOST...`: makes this host a member of a network, with the hosts file and tulled's settings.

Everything is decided, and whatever is in the way found, before the first file is written. What was edited by hand stays. Starts
the daemon only when told to, and never touches the kernel. Must not know runtimes: that is `tulle init`.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from pathlib import Path

from cli import daemon, machine, membership
from cli.homes import BRIDGE
from cli.machine import Machine, under
from kernel import tools
from kernel.errors import KernelError
from kernel.network import Network
from lease import durable
from overlay import settings as tulled
from overlay.errors import Refused
from overlay.stores import etcd_names

SYSTEMD = "/run/systemd/system"
"""There while systemd runs the machine (sd_booted(3))."""

UNITS = ("tulle-agent", "tulled")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line of `tulle`."""
    parser = commands.add_parser("join", help="make this host a member of a network: tulled's settings")
    parser.add_argument(
        "hosts",
        nargs="*",
        metavar="HOST",
        help="IPv4 addresses of all hosts, this one too: the same words on every host",
    )
    parser.add_argument("--etcd", default="", metavar="URLS", help="instead of HOSTs: members of etcd, commas between")
    parser.add_argument(
        "--network", default=membership.NETWORK, metavar="CIDR", help="network of all hosts (default %(default)s)"
    )
    parser.add_argument(
        "--now", action="store_true", help="start tulled and the agent, now and at every boot (systemd)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be written")
    parser.set_defaults(show=run)


def run(options: argparse.Namespace, root: Path = Path("/")) -> int:
    """Do as asked below `root`; 0 when all is done, 1 when something is in the way, 2 for wrong usage."""
    if bool(options.hosts) == bool(options.etcd):
        print("tulle join: name all hosts, or give --etcd URLS", file=sys.stderr)
        return 2
    try:
        files = decide(options, root, () if options.etcd else local_addresses())
        changed = _write(files, root, dry=options.dry_run)
    except (Refused, KernelError, machine.Unreadable, OSError) as problem:
        print(f"tulle join: {problem}", file=sys.stderr)
        return 1
    return _go_on(options, root, changed=daemon.FILE in changed)


def local_addresses() -> tuple[IPv4Address, ...]:
    """List the addresses of this host."""
    with Network() as kernel:
        found = (held.address.ip for held in kernel.addresses())
        return tuple(one for one in found if isinstance(one, IPv4Address))


def decide(options: argparse.Namespace, root: Path, here: Iterable[IPv4Address]) -> dict[str, str]:
    """Give the files to write, by path; raises Refused, also for settings that tulled itself would refuse."""
    variables = {"TULLED_IP_MASQ": "true", "TULLED_BRIDGE": BRIDGE}
    files = {}
    if options.etcd:
        etcd = {"TULLED_ETCD_ENDPOINTS": _endpoints(options.etcd)}
        variables = {**etcd, **variables}
    else:
        named = membership.addresses(options.hosts)
        if not set(named) & set(here):
            remedy = "name this host, too, by the address the others reach it at (behind NAT: docs/daemon.md)"
            raise Refused("none of these addresses is this host's", remedy=remedy)
        files[membership.HOSTS] = membership.hosts(options.network, named, _text(root, membership.HOSTS))
        variables = {"TULLED_STORE": f"file:{membership.HOSTS}", **variables}
    if _netavark_translates(machine.look(root, machine.podman_version() if root == Path("/") else ())):
        variables["TULLED_KEEP_SOURCE"] = "true"
    files[daemon.FILE] = membership.settings(_text(root, daemon.FILE), variables, daemon.FILE)
    tulled.parse([], daemon.assignments(files[daemon.FILE], daemon.FILE), io.StringIO())
    return files


def _netavark_translates(here: Machine) -> bool:
    """Tell whether containers are wired by a netavark without our driver: it masquerades what goes to other hosts, too."""
    return "podman" in here.runtimes and here.podman.backend == "netavark" and not here.podman.driven


def _endpoints(text: str) -> str:
    try:
        etcd_names.endpoints(text)
    except ValueError as problem:
        raise Refused(f"{text!r} cannot be used", where="--etcd", remedy=str(problem)) from None
    return text


def _text(root: Path, path: str) -> str:
    try:
        return under(root, path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _write(files: Mapping[str, str], root: Path, *, dry: bool) -> set[str]:
    """Write what differs, the daemon's settings with the mode they have; return the paths."""
    changed = {path for path, text in files.items() if _text(root, path) != text}
    for path, text in files.items():
        if path not in changed:
            print(f"{path} is as it should be")
        elif dry:
            print(f"would write {path}:\n{text}", end="")
        else:
            place = under(root, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            mode = place.stat().st_mode & 0o777 if place.exists() else 0o644
            durable.replace(str(place), text.encode(), mode, pending=str(place.with_name(f".{place.name}.new")))
            print(f"wrote {path}")
    return changed


def _go_on(options: argparse.Namespace, root: Path, *, changed: bool) -> int:
    """Start the daemon, or say how."""
    booted = under(root, SYSTEMD).is_dir()
    if options.dry_run or not (options.now and booted):
        _tell(options, booted=booted)
        return int(options.now and not booted)
    print("starting tulled and tulle-agent; what tulled waits for, if it does: journalctl -u tulled", flush=True)
    for words in (("enable", *UNITS), ("restart" if changed else "start", *UNITS)):
        done = tools.run(["systemctl", *words])
        if done.code:
            print(f"tulle join: systemctl {' '.join(words)}: {done.stderr.strip()}", file=sys.stderr)
            print("tulle join: journalctl -u tulled says why", file=sys.stderr)
            return 1
    print("tulled runs: this host has its subnet\nnext: tulle init")
    return 0


def _tell(options: argparse.Namespace, *, booted: bool) -> None:
    start = f"systemctl enable --now {' '.join(UNITS)}" if booted else f"(set -a; . {daemon.FILE}; exec tulled) &"
    if options.now and not booted:
        print("tulle join: no systemd runs here, so nothing was started", file=sys.stderr)
    print(f"next: {start}\nnext: tulle init")
