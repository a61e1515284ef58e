"""The command `tulle`: shows people what the programs and the daemon work with.

Reads and prints; must not change anything but the file `docker-opts` is asked for, what `init` writes, what `agent` serves, what `gc`
removes, what `repair` mends, and what `join` writes and `leave` takes away. Exit codes: 0 shown, 1 not available (with the reason) or, of
lint, doctor, gc, repair and leave, something left to do, 2 wrong usage.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence

from agent import main as agent
from cli import collect, docker_opts, doctor, init, join, leave, lint, status
from cli.repair import command as repair
from cli.written import Written
from cni import release
from lease import file as lease_file

DRIVER = "Podman calls it too, as a network driver, with create, setup, teardown and info: see tulle-netavark(8)."


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one command line and return the exit code."""
    options = command_line().parse_args(arguments)
    return int(options.show(options))


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="tulle", description="Shows what tulle's programs and daemon work with.", epilog=DRIVER
    )
    parser.add_argument("--version", action="version", version=f"tulle {release.version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    lease = commands.add_parser("lease", help="this host's share of the network, and what to run next")
    lease.add_argument(
        "--subnet-file", metavar="FILE", default=lease_file.DEFAULT_PATH, help="the lease file (default %(default)s)"
    )
    lease.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
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
    swept = commands.add_parser("gc", help="remove what containers that are gone left here, and list what is kept")
    collect.declare(swept)
    swept.set_defaults(show=_collect)
    warm = commands.add_parser("agent", help="serve CNI requests warm, or tell how that goes (status)")
    agent.declare(warm)
    warm.set_defaults(show=_run_agent)
    repair.add_command(commands).set_defaults(show=_repair)
    leave.add_command(commands).set_defaults(show=_leave)
    return parser


def _show_lease(options: argparse.Namespace) -> int:
    try:
        lease = lease_file.read(options.subnet_file)
    except lease_file.Unavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    rows = _rows(lease)
    if options.json:
        print(json.dumps({key: value for key, (_, value) in rows.items()}))
        return 0
    for label, value in rows.values():
        print(f"{label:<22}{' '.join(value) if isinstance(value, list) else value}")
    print(f"\nnext: {_next_step()}")
    return 0


def _write_docker_opts(options: argparse.Namespace) -> int:
    return docker_opts.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _show_status(options: argparse.Namespace) -> int:
    return status.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _examine(options: argparse.Namespace) -> int:
    return doctor.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _collect(options: argparse.Namespace) -> int:
    return collect.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _run_agent(options: argparse.Namespace) -> int:
    return agent.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _repair(options: argparse.Namespace) -> int:
    return repair.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _leave(options: argparse.Namespace) -> int:
    return leave.run(options, os.environ)  # noqa: TID251 - the command's one reader of the environment


def _next_step() -> str:
    with contextlib.suppress(PermissionError):  # the record is root's
        if Written().paths():
            return "start a container on the network tulle, like: podman run --rm -it --network tulle IMAGE"
    return "tulle init, which makes the network known to this host's container runtimes"


def _rows(lease: lease_file.Lease) -> dict[str, tuple[str, object]]:
    """Return what there is to show, by JSON key: the label for people and the value."""
    networks = [str(network) for network in (*lease.networks, *lease.ipv6_networks)]
    return {
        "networks": ("network", networks),
        "subnets": ("subnet of this host", [str(subnet) for subnet in lease.subnets]),
        "gateways": ("gateway", [str(gateway) for gateway in lease.gateways]),
        "mtu": ("MTU", lease.mtu),
        "masquerade": ("masquerade by", "tulled" if lease.ipmasq else "bridge"),
        "book": ("address book", f"/run/tulle/books/{lease.key}"),
    }
