"""`tulle init [RUNTIME...]`: makes the network known to the runtimes of this host, and undoes that with --undo.

Everything is decided, and every file in the way is found, before the first file is written. No service is started or
restarted.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cli.inspect import daemon_settings, detect
from cli.inspect.address_owners import Subnet
from cli.inspect.detect import HostFacts
from cli.nearest import meant
from cli.setup import address_books
from cli.setup import runtimes as homes
from cli.setup.address_books import Choice
from cli.setup.managed_files import ManagedFiles, NotOurs
from cli.setup.runtimes import RuntimePlan, RuntimeRequest
from lease import file as lease_file
from overlay.errors import Refused

CONFLIST = Path(__file__).resolve().parents[2] / "conf" / "20-tulle-ports.conflist"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line of `tulle`."""
    parser = commands.add_parser("init", help="make the network known to this host's container runtimes")
    parser.add_argument(
        "runtimes",
        nargs="*",
        metavar="RUNTIME",
        help=f"{', '.join(homes.HOMES)}; without one all that are installed, but docker",
    )
    parser.add_argument(
        "--first", action="store_true", help="put it before other configurations: containerd takes the first"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done")
    parser.add_argument("--undo", action="store_true", help="remove what init wrote, of all runtimes")
    parser.add_argument(
        "--subnet-file",
        metavar="FILE",
        help="the lease file the network goes by (default: the one of tulled's settings)",
    )
    parser.set_defaults(show=run)


def run(options: argparse.Namespace, root: Path = Path("/")) -> int:
    """Execute the command below `root`. Return 0, 1 when something is in the way, or 2 for an unknown runtime."""
    strange = [name for name in options.runtimes if name not in homes.HOMES]
    if strange or (options.undo and options.runtimes):
        what = (
            f"unknown runtime {strange[0]}{meant(strange[0], homes.HOMES) or '; it knows ' + ', '.join(homes.HOMES)}"
            if strange
            else "--undo is for all runtimes"
        )
        print(f"tulle init: {what}", file=sys.stderr)
        return 2
    try:
        ours = ManagedFiles(root)
        return undo(ours, dry=options.dry_run) if options.undo else _init(options, root, ours)
    except (NotOurs, homes.Impossible, detect.Unreadable, lease_file.Unavailable, Refused, OSError) as reason:
        print(f"tulle init: {reason}", file=sys.stderr)
        return 1


def undo(ours: ManagedFiles, *, dry: bool) -> int:
    """Remove every file of ours that nobody has edited. Return 1 when one stays."""
    kept = 0
    for path in ours.recorded():
        if dry:
            print(f"would remove {path}")
        elif ours.remove(path):
            print(f"removed {path}{homes.AFTER.get(path, '')}")
        else:
            print(f"tulle init: {path} was edited since and stays; remove it by hand", file=sys.stderr)
            kept = 1
    return kept


def _init(options: argparse.Namespace, root: Path, ours: ManagedFiles) -> int:
    lease, name = _network(
        options.subnet_file, daemon_settings.lease_files({}, detect.under(root, daemon_settings.FILE))
    )
    here = detect.look(root, detect.podman_version() if root == Path("/") else (), _subnet(lease))
    runtimes = options.runtimes or homes.found(here)
    if not runtimes:
        others = ", ".join(one for one in detect.PROGRAMS if one != homes.DOCKER)
        print(f"tulle init: none of {others} is installed; name one to prepare for it{_docker(here)}", file=sys.stderr)
        return 1
    choice = Choice(tuple(options.runtimes)) if options.runtimes else address_books.choose(runtimes, here)
    if problem := address_books.conflict(choice.served, here):
        raise homes.Impossible(problem)
    keeps = daemon_settings.variables(detect.under(root, daemon_settings.FILE)).get("TULLED_KEEP_SOURCE") == "true"
    read = partial(lease_file.read, lease)
    wish = RuntimeRequest(here, ours.paths(), "", read, options.first, lease, keeps, name)
    wish = replace(wish, conflist=_conflist(lease, wish))
    wanted = [homes.home(runtime, wish) for runtime in dict.fromkeys(choice.served)]
    ours.refuse(file for each in wanted for file in each.files)
    _write(wanted, ours, dry=options.dry_run)
    _tell(wanted)
    if wanted and options.subnet_file and not Path(lease).exists():
        print(f"\nnote: there is no lease file {lease} yet; containers start once tulled has written it")
    if choice.said:
        print(choice.said if not wanted else f"\n{choice.said}")
    print("" if options.runtimes else _docker(here), end="")
    return 0


def _network(asked: str | None, kept: Sequence[str]) -> tuple[str, str]:
    """Return lease file and name of the network. Raises Refused if tulled has several and none was named."""
    if len(kept) == 1:
        return asked or kept[0], homes.NAME
    if not asked:
        what = f"tulled keeps several networks here: {', '.join(kept)}"
        raise Refused(what, remedy="choose one after the other: tulle init --subnet-file FILE")
    return asked, re.sub(r"[^A-Za-z0-9_.-]", "", Path(asked).stem).lstrip("_.-") or homes.NAME


def _conflist(lease: str, wish: RuntimeRequest) -> str:
    """Return the text of the conflist for a lease file, with the names of its network and bridge."""
    text = CONFLIST.read_text()
    names = {lease_file.DEFAULT_PATH: lease, homes.BRIDGE: wish.bridge, homes.NAME: wish.name}
    for usual, name in names.items():
        text = text.replace(json.dumps(usual), json.dumps(name))
    return text


def _subnet(path: str) -> Subnet:
    """Return what claims are searched for: the lease file, and its subnets if it exists."""
    try:
        return Subnet(path, lease_file.read(path).subnets)
    except lease_file.Unavailable:
        return Subnet(path)


def _docker(here: HostFacts) -> str:
    """Print how Docker could be served, if it is installed."""
    told = (
        "\ndocker is installed too; it has its own address book, so it shares the subnet with nobody: tulle init docker"
    )
    return told if homes.DOCKER in here.runtimes else ""


def _write(wanted: Iterable[RuntimePlan], ours: ManagedFiles, *, dry: bool) -> None:
    for file in dict.fromkeys(file for each in wanted for file in each.files):
        if ours.stands(file):
            print(f"{file.path} unchanged")
        elif dry:
            print(f"would write {file.path}:\n{file.content}", end="")
        else:
            ours.write(file)
            print(f"wrote {file.path}")


def _tell(wanted: Iterable[RuntimePlan]) -> None:
    for each in wanted:
        print(f"\n{each.runtime}:")
        for note in each.notes:
            print(f"  note: {note}")
        for command in each.next:
            print(f"  next: {command}")
