"""`tulle gc`: removes what dead attachments left on this host, and lists what may belong to a living one.

cli.inspect.orphans decides what is dead; that is repeated while the attachment's own requests are locked out. Then each
program of the network's configuration runs DEL, the last one first, as the runtime would have done.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bridge.program import PROGRAM
from cli.commands import doctor
from cli.inspect import cni_configs, daemon_settings, network_state, orphans
from cli.inspect.cni_configs import Conflist, RuntimeConfig
from cli.inspect.network_state import NetworkState
from cli.inspect.orphans import DEAD, Orphan
from cni import invoke, request
from cni.attachment_id import AttachmentID
from cni.attachment_lock import AttachmentLock
from cni.errors import CniError
from ipam import disk
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from overlay.errors import Refused

IFNAME = "eth0"
"""The interface's name where a rule names none. The container has no link left, whatever its name was."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one orphan."""

    what: str
    attachment: str
    outcome: str  # "removed", "would be removed", "kept" or "failed"
    reason: str


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options to `parser`."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--json", action="store_true", help="print JSON: a list of what was found per network")
    doctor.declare_directories(parser)
    daemon_settings.declare(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Clean up after every network of the settings. Return 1 if something dead could not be removed, else 0."""
    try:
        looked = tuple(map(cni_configs.look, cni_configs.installed(options.conf_dir, options.bin_dir)))
        seen = {each.name: network_state.read(each) for each in daemon_settings.read(options, environ)}
        told = {
            name: list(clean(found, looked, dry=options.dry_run, search=environ.get("PATH", os.defpath)))
            for name, found in seen.items()
        }
    except (Refused, KernelError, NotADirectoryError) as problem:
        print(f"tulle gc: {problem}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({name: [_members(one) for one in outcomes] for name, outcomes in told.items()}))
    else:
        print("\n".join(line for outcomes in told.values() for line in _lines(outcomes)))
    return int(any(one.outcome == "failed" for outcomes in told.values() for one in outcomes))


def clean(found: NetworkState, looked: Sequence[RuntimeConfig], *, dry: bool, search: str) -> Iterator[Outcome]:
    """Remove what is dead, one attachment at a time, and yield what became of everything. With `dry` change nothing."""
    conflists = {one.name: (one, each) for each in looked for one in each.conflists if one.wires_by_bridge}
    left = orphans.find(found, [one for each in looked for one in each.conflists])
    done: dict[AttachmentID, str] = {}
    for one in left:
        if one.verdict != DEAD:
            yield _told(one, "kept")
        elif dry:
            yield _told(one, "would be removed")
        elif one.owner is None:
            yield _ended(one, _problem(partial(_release, found, one)))
        else:
            owner = _whole(one.owner, left)
            if owner not in done:
                done[owner] = _problem(partial(detach, owner, *conflists[owner.network], search))
            yield _ended(one, done[owner])


def detach(owner: AttachmentID, conflist: Conflist, seen: RuntimeConfig, search: str) -> None:
    """Run DEL of every program of the network for a dead attachment.

    Raises CniError, or what the bridge program raises.

    `bridge` runs inside this process: it would wait for ever for the lock that we hold on the attachment.
    """
    environ = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": owner.container_id,
        "CNI_NETNS": "",
        "CNI_IFNAME": owner.ifname,
        "CNI_PATH": ":".join(seen.runtime.bin_dirs),
        "PATH": search,
    }
    first, *chained = conflist.plugins
    with AttachmentLock(PROGRAM.name, owner.network, owner.container_id, owner.ifname), Handle() as kernel:
        if orphans.lives(owner, kernel):
            return
        for plugin in reversed(chained):
            asked = request.compose(environ, _stdin(plugin, conflist), _say)
            invoke.delegate(asked, str(plugin.get("type", "")), "DEL")
        PROGRAM.load()["DEL"](request.compose(environ, _stdin(first, conflist), _say))


def _release(found: NetworkState, one: Orphan) -> None:
    """Free a vacant address, unless a container has got it meanwhile."""
    if found.book is not None:
        with disk.locked(found.book.path, _say, create=False, reclaim=True) as book:
            for each in book.reservations():
                if each.path == one.path and each.vacant:
                    book.release(each)


def _problem(act: Callable[[], object]) -> str:
    """Call `act` and return its error as text, or empty."""
    try:
        act()
    except CniError as refused:
        return str(refused)
    except (OSError, ExceptionGroup) as refused:
        return str(refused)
    return ""


def _whole(owner: AttachmentID, left: Collection[Orphan]) -> AttachmentID:
    """Return the owner with an interface name, taken from the other things of that container that have one."""
    if owner.ifname:
        return owner
    same = (one.owner for one in left if one.owner and one.owner.ifname)
    known = (one for one in same if (one.network, one.container_id) == (owner.network, owner.container_id))
    return next(known, AttachmentID(owner.network, owner.container_id, IFNAME))


def _stdin(plugin: Mapping[str, object], conflist: Conflist) -> bytes:
    return json.dumps({**plugin, "name": conflist.name, "cniVersion": conflist.version}).encode()


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _told(one: Orphan, outcome: str, reason: str = "") -> Outcome:
    return Outcome(one.what, one.owner.alias if one.owner else "", outcome, reason or one.reason)


def _ended(one: Orphan, problem: str) -> Outcome:
    return _told(one, "failed" if problem else "removed", problem)


def _members(one: Outcome) -> dict[str, str]:
    return {"what": one.what, "attachment": one.attachment, "outcome": one.outcome, "reason": one.reason}


def _lines(outcomes: Collection[Outcome]) -> list[str]:
    told = [
        f"{one.outcome}: {one.what}{f' of {one.attachment}' if one.attachment else ''}: {one.reason}"
        for one in outcomes
    ]
    return told or ["nothing is left over"]
