"""The command `tulle`: one table of all commands, and the start of the one that was typed.

Exit codes: 0 done or shown; 1 not available (with the reason), or for lint, doctor, gc, repair and leave something left
to do; 2 wrong usage.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from agent import main as agent
from cli import commandline, plain
from cli.commandline import Parser
from cli.commands import docker_opts, doctor, gc, init, join, leave, lint, repair, status
from cli.inspect import daemon_settings
from cli.setup.managed_files import ManagedFiles, NotOurs
from cni import release
from lease import file as lease_file
from overlay.errors import Refused

NEEDS_ROOT = frozenset({"status", "doctor", "gc", "repair", "leave"})
"""Commands that read the kernel, or whose answer would be wrong without root."""

EXAMPLES = {
    "lease": "Example: tulle lease --json",
    "join": "Examples: tulle join --now 192.0.2.11 192.0.2.12; tulle join --now --etcd https://192.0.2.1:2379",
    "init": "Examples: tulle init; tulle init podman; tulle init --undo",
    "lint": "Examples: tulle lint /etc/cni/net.d; tulle lint /etc/tulle/hosts.json /etc/default/tulled",
    "docker-opts": "Example: tulle docker-opts -i",
    "status": "Examples: tulle status; tulle status --json; tulle status -- --store sqlite:/var/lib/tulle/network.db",
    "doctor": "Examples: tulle doctor; tulle doctor --json",
    "gc": "Example: tulle gc --dry-run",
    "agent": "Examples: tulle agent; tulle agent status",
    "repair": "Examples: tulle repair --dry-run; tulle repair --network web",
    "leave": "Example: tulle leave --dry-run",
}
"""The examples at the end of each command's --help."""

DRIVER = "Podman calls it too, as a network driver, with create, setup, teardown and info: see tulle-netavark(8)."


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute one command line and return the exit code. Raises SystemExit for a wrong one, and after help."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    with plain.printing():
        options = commandline.parse(command_line(), words)
        if options.needs_root and os.geteuid() != 0:
            print(f"tulle {options.command} needs root: sudo tulle {options.command}", file=sys.stderr)
            return 1
        if options.command != "agent":
            return int(options.show(options))
    return int(options.show(options))  # a daemon that has a log of its own


def command_line() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="tulle", description="Join hosts into one container network, and look after it.", epilog=DRIVER
    )
    parser.add_argument("--version", action="version", version=f"tulle {release.version()}")
    commands: Any = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    lease = commands.add_parser("lease", help="this host's share of the network, and what to run next")
    lease.add_argument(
        "--subnet-file", metavar="FILE", help="the lease file (default: of every network that tulled's settings have)"
    )
    lease.add_argument("--json", action="store_true", help="print JSON: an object, or of several networks a list")
    lease.set_defaults(show=_show_lease)
    join.add_command(commands)
    init.add_command(commands)
    lint.add_command(commands)
    docker = commands.add_parser("docker-opts", help="write dockerd's options for this host's share of the network")
    docker_opts.declare(docker)
    docker.set_defaults(show=_write_docker_opts)
    shown = commands.add_parser("status", help="the network as this host sees it: lease, peers, tunnels")
    status.declare(shown)
    shown.set_defaults(show=_show_status)
    asked = commands.add_parser(
        "doctor", help="what is wrong with the network here, why it matters, what to do about it"
    )
    doctor.declare(asked)
    asked.set_defaults(show=_examine)
    swept = commands.add_parser("gc", help="clean up after containers that no longer exist")
    gc.declare(swept)
    swept.set_defaults(show=_collect)
    warm = commands.add_parser(
        "agent", help="background workers that make container starts fast; agent status shows them"
    )
    agent.declare(warm)
    warm.set_defaults(show=_run_agent)
    repair.add_command(commands).set_defaults(show=_repair)
    leave.add_command(commands).set_defaults(show=_leave)
    parser.describe()
    for name, one in parser.commands.items():
        one.set_defaults(needs_root=name in NEEDS_ROOT)
        one.epilog = " ".join(filter(None, (one.epilog, EXAMPLES[name])))
    return parser


def _show_lease(options: argparse.Namespace) -> int:
    try:
        paths = (options.subnet_file,) if options.subnet_file else daemon_settings.lease_files(os.environ)  # noqa: TID251 - as below
        found = [_rows(lease_file.read(path)) for path in paths]
    except (lease_file.Unavailable, Refused) as missing:
        print(f"tulle lease: {missing}", file=sys.stderr)
        return 1
    if options.json:
        told = [{key: value for key, (_, value) in rows.items()} for rows in found]
        print(json.dumps(told[0] if len(told) == 1 else told))
        return 0
    for rows in found:
        for label, value in rows.values():
            print(f"{label:<22}{' '.join(value) if isinstance(value, list) else value}")
        print()
    print(f"next: {_next_step()}")
    return 0


def _write_docker_opts(options: argparse.Namespace) -> int:
    return docker_opts.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _show_status(options: argparse.Namespace) -> int:
    return status.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _examine(options: argparse.Namespace) -> int:
    return doctor.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _collect(options: argparse.Namespace) -> int:
    return gc.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _run_agent(options: argparse.Namespace) -> int:
    return agent.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _repair(options: argparse.Namespace) -> int:
    return repair.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _leave(options: argparse.Namespace) -> int:
    return leave.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _next_step() -> str:
    with contextlib.suppress(OSError, NotOurs):  # only root may read the record
        if ManagedFiles().paths():
            return "start a container on the network tulle, like: podman run --rm -it --network tulle IMAGE"
    return "tulle init, which makes the network known to this host's container runtimes"


def _rows(lease: lease_file.Lease) -> dict[str, tuple[str, object]]:
    """Return what is shown, by JSON key: the label for people and the value."""
    networks = [str(network) for network in (*lease.networks, *lease.ipv6_networks)]
    return {
        "networks": ("network", networks),
        "subnets": ("subnet of this host", [str(subnet) for subnet in lease.subnets]),
        "gateways": ("gateway", [str(gateway) for gateway in lease.gateways]),
        "mtu": ("MTU", lease.mtu),
        "masquerade": ("masquerade by", "tulled" if lease.ipmasq else "bridge"),
        "book": ("address book", f"/run/tulle/books/{lease.key}"),
    }
