"""`tulle agent`: runs the supervisor, or asks a running one for its status.

What only the supervisor needs is imported when it is started, so that the status command stays quick.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from agent import build_id, listening, protocol, status

WORKERS = 16
PATIENCE = 60.0
GROWTH_MIB = 32
STALL = 0.5
HIGHEST_WORKERS = 256


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options to `parser`."""
    parser.add_argument(
        "action", nargs="?", choices=("status",), metavar="status", help="tell what a running agent is doing"
    )
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        default=Path(protocol.PATH),
        help="where it listens (default %(default)s)",
    )
    parser.add_argument(
        "--workers", type=_workers, metavar="N", default=WORKERS, help="warm processes (default %(default)s)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        default=PATIENCE,
        help="seconds after which a worker is stuck (default %(default).0f)",
    )
    parser.add_argument(
        "--growth",
        type=int,
        metavar="MIB",
        default=GROWTH_MIB,
        help="MiB by which a worker may grow before it is replaced (default %(default)s)",
    )
    parser.add_argument(
        "--stall",
        type=float,
        metavar="SECONDS",
        default=STALL,
        help="seconds without a free worker after which requests are left to cold programs (default %(default)s)",
    )
    parser.add_argument(
        "--no-repair",
        action="store_true",
        help="do not make rules of containers again (tulle repair) when a reload of the firewall took them",
    )
    parser.add_argument("--json", action="store_true", help="print the status as one JSON object")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do as asked; return the exit code: 1 when there is no agent to ask, or nothing to listen on."""
    return _show(options) if options.action == "status" else _serve(options, environ)


def _workers(text: str) -> int:
    number = int(text)
    if not 0 < number <= HIGHEST_WORKERS:
        raise argparse.ArgumentTypeError(f"{number} is not between 1 and {HIGHEST_WORKERS}")
    return number


def _show(options: argparse.Namespace) -> int:
    try:
        found = status.ask(options.socket)
    except OSError as absent:
        print(f"tulle agent: no agent listens on {options.socket}: {absent.strerror or absent}", file=sys.stderr)
        return 1
    print(found.encode().decode() if options.json else "\n".join(found.lines()))
    return 0


def _serve(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from agent import preload  # noqa: PLC0415 - the status must not pay for all programs
    from agent.supervisor import Options, Supervisor  # noqa: PLC0415

    chosen = Options(
        options.workers, options.socket, options.patience, options.growth << 20, options.stall, not options.no_repair
    )
    try:
        build = build_id.Build.read(build_id.build_file())
        status_socket = listening.bind(status.place(chosen.path))  # first: nobody but a living supervisor answers there
        listener = listening.listen(chosen.path, environ)
        preload.import_everything()
        supervisor = Supervisor(chosen, build, listener, status_socket, command=build_id.command(), environ=environ)
    except (build_id.NoBuildError, listening.UnusableError) as unusable:
        print(f"tulle agent: {unusable}", file=sys.stderr)
        return 1
    return supervisor.run()
