"""`tulle repair`: finds which rules of which containers are missing, has them made again, and prints what it did.

libcni's cache says which attachments there are. Those of Podman's network driver are in no cache; Podman itself makes
their rules again. Attachments that are recorded nowhere are only listed.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cli.inspect import detect, orphans
from cli.repair import attachments as host
from cli.repair import cni_cache
from cli.repair.restore import Part, Runner, State
from cni.attachment_id import AttachmentID
from driver import attachment
from ipam import boot
from kernel import spawn
from kernel.errors import KernelError
from overlay.errors import Unavailable
from overlay.firewall.isolation_sync import Isolation
from overlay.firewall.known_networks import KnownNetworks

CACHE = "/var/lib/cni"
DIRECTORIES = tuple(dict.fromkeys([detect.CNI_PLUGINS, *detect.PODMAN_PLUGINS, detect.PACKAGED]))
"""Where containerd, nerdctl and Podman look for programs, and where `tulle init` may have told Podman to look."""

EPILOG = """Exit codes: 0 every rule stands, repaired ones too; 1 something is left for a person (a part that is still missing, with
--dry-run any missing part, a file of the cache that cannot be read, a container that is in no record); 2 wrong usage"""

PATIENCE = 60.0
"""Seconds that Podman may take for one container."""
FINISHED = (State.STANDS, State.REPAIRED)
RELOAD = "is Podman's, through its network driver; after a firewall reload run: podman network reload {container}"
RESTART = "start its container again (Podman: podman network reload), or, if there is none: ip link delete {link}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """The state of one attachment."""

    owner: AttachmentID
    left_out: str = ""  # why nothing was asked about it
    failed: bool = False
    parts: tuple[Part, ...] = ()  # what its programs answered

    @property
    def whole(self) -> bool:
        """Whether nothing is left to do."""
        return not self.failed and all(part.state in FINISHED for part in self.parts)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is printed."""

    attachments: tuple[Attachment, ...]
    unreadable: tuple[cni_cache.Unreadable, ...]
    unrecorded: Mapping[AttachmentID, str]  # attachments without a record, with their host end
    driven: Mapping[AttachmentID, str]  # attachments of Podman's driver, with their host end
    reloaded: Mapping[AttachmentID, str]
    """What `podman network reload` printed for attachments of Podman's driver without rules, if it was run.

    "" for success.
    """
    isolation: Part
    """The rules that separate the networks of this host's daemons."""

    @property
    def whole(self) -> bool:
        """Whether nothing is left for a person to do."""
        unfinished = self.unreadable or self.unrecorded or self.isolation.state not in FINISHED
        return not unfinished and not any(self.reloaded.values()) and all(each.whole for each in self.attachments)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the command to the command line of `tulle`, and return its parser."""
    parser = commands.add_parser("repair", help="restore container rules after a firewall reload", epilog=EPILOG)
    parser.add_argument("--dry-run", action="store_true", help="say what is missing and change nothing")
    parser.add_argument(
        "--podman",
        action="store_true",
        help="also run `podman network reload` for containers of Podman's network driver that no rule names",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument("--cache", default=CACHE, metavar="DIR", help="libcni's cache (default %(default)s)")
    parser.add_argument(
        "--cni-path",
        metavar="DIR[:DIR]",
        help=f"where the programs are (default $CNI_PATH, else {':'.join(DIRECTORIES)})",
    )
    parser.add_argument("--network", metavar="NAME", action="append", help="this network only; repeated: these")
    parser.add_argument(
        "--container",
        metavar="ID",
        action="append",
        help="this container only, by the start of its id; repeated: these",
    )
    return parser


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Repair what was chosen, print the result and return the exit code."""
    path = options.cni_path or environ.get("CNI_PATH") or ":".join(DIRECTORIES)
    inherited = {name: value for name, value in environ.items() if not name.startswith("CNI_")}
    try:
        if options.cache != CACHE and not Path(options.cache).is_dir():
            raise NotADirectoryError(f"there is no directory {options.cache}; leave --cache out for {CACHE}")
        report = _repair(options, Runner(inherited, path))
    except (OSError, KernelError) as refused:
        print(f"tulle repair: {refused}", file=sys.stderr)
        return 1
    print(json.dumps(_document(report))) if options.json else _print(report)
    if absent := _absent(options, report):
        print(f"tulle repair: no attachment here is of container {absent}: name it by its id", file=sys.stderr)
        return 1
    return 0 if report.whole else 1


def _absent(options: argparse.Namespace, report: Report) -> str:
    """Return the containers that were asked for and do not exist. A network may well have none."""
    owners = [*(each.owner for each in report.attachments), *report.unrecorded, *report.driven]
    starts = options.container or ()
    return ", ".join(start for start in starts if not any(one.container_id.startswith(start) for one in owners))


def chosen(owner: AttachmentID, networks: Sequence[str] | None, containers: Sequence[str] | None) -> bool:
    """Return whether an attachment was asked for. Without names all are."""
    of_network = not networks or owner.network in networks
    return of_network and (not containers or any(owner.container_id.startswith(start) for start in containers))


def _isolation(*, change: bool) -> Part:
    """Add the rules that separate the networks again, also while no tulled runs."""
    try:
        done = Isolation(KnownNetworks(boot.current().decode())).keep(change=change)
    except Unavailable as problem:
        return Part("isolation", State.BROKEN, str(problem))
    state = (State.REPAIRED if change else State.MISSING) if done else State.STANDS
    return Part("isolation", state, "; ".join(done))


def _repair(options: argparse.Namespace, runner: Runner) -> Report:
    whole_host = not (options.network or options.container)
    # first, because without these rules networks reach each other
    isolation = _isolation(change=not options.dry_run) if whole_host else Part("isolation", State.STANDS)
    read = list(cni_cache.read(Path(options.cache)))
    records = [each for each in read if isinstance(each, cni_cache.Record)]
    unreadable = tuple(each for each in read if isinstance(each, cni_cache.Unreadable))
    known = {record.owner for record in records}
    wanted = [each for each in records if chosen(each.owner, options.network, options.container)]
    strangers = {
        owner: link
        for owner, link in host.attachments().items()
        if owner not in known and chosen(owner, options.network, options.container)
    }
    judged = tuple(_judged(record, runner, change=not options.dry_run) for record in wanted)
    driven = {owner: link for owner, link in strangers.items() if owner.network.startswith(attachment.PREFIX)}
    unrecorded = {owner: link for owner, link in strangers.items() if owner not in driven}
    reloaded = _reloaded(driven) if options.podman and not options.dry_run else {}
    return Report(judged, unreadable, unrecorded, driven, reloaded, isolation)


def _reloaded(driven: Mapping[AttachmentID, str]) -> dict[AttachmentID, str]:
    """Have Podman make the missing rules of its driver's containers again: only Podman knows their ports."""
    named = {owner.mark: owner for owner in driven}
    kept = {(one.network, one.container_id) for one in (trace.owner for trace in orphans.ruled(named))}
    lacking = [owner for owner in driven if (owner.network, owner.container_id) not in kept]
    said = {identity: _reload(identity) for identity in {owner.container_id for owner in lacking}}
    return {owner: said[owner.container_id] for owner in lacking}


def _reload(container_id: str) -> str:
    try:
        done = spawn.run(["podman", "network", "reload", container_id], within=PATIENCE)
    except KernelError as refused:
        return str(refused)
    return "" if done.code == 0 else done.stderr.strip() or f"podman ended with {done.code}"


def _judged(record: cni_cache.Record, runner: Runner, *, change: bool) -> Attachment:
    if not record.checked:
        return Attachment(record.owner, "its list says disableCheck, so nothing can tell what is missing")
    try:
        dead = host.death(record)
    except KernelError as refused:
        return Attachment(record.owner, str(refused), failed=True)
    if dead:
        return Attachment(record.owner, f"{dead}: DEL or GC by its runtime removes what is left")
    return Attachment(record.owner, parts=tuple(runner.parts(record, change=change)))


def _document(report: Report) -> dict[str, object]:
    return {
        "attachments": [
            {**_names(each.owner), "leftOut": each.left_out, "parts": [asdict(part) for part in each.parts]}
            for each in report.attachments
        ],
        "unreadable": [asdict(each) for each in report.unreadable],
        "unrecorded": [{**_names(owner), "link": link} for owner, link in report.unrecorded.items()],
        "driven": [
            {**_names(owner), "link": link, "reload": _outcome(report.reloaded.get(owner))}
            for owner, link in report.driven.items()
        ],
        "isolation": asdict(report.isolation),
    }


def _outcome(said: str | None) -> str:
    """Return the result of a reload as text; "" if there was none."""
    return "" if said is None else f"podman network reload failed: {said}" if said else "reloaded by Podman"


def _names(owner: AttachmentID) -> dict[str, str]:
    return {"network": owner.network, "containerId": owner.container_id, "ifname": owner.ifname}


def _print(report: Report) -> None:
    for line in _lines(report):
        print(line)


def _lines(report: Report) -> Iterator[str]:
    if report.isolation.said:
        yield f"networks: isolation {report.isolation.state}: {report.isolation.said}"
    for each in report.attachments:
        if each.left_out:
            yield f"{each.owner.alias}: left out: {each.left_out}"
        for part in each.parts:
            yield f"{each.owner.alias}: {part.program} {part.state}" + (f": {part.said}" if part.said else "")
    for wrong in report.unreadable:
        yield f"{wrong.file}: cannot be read: {wrong.problem}\n    its container's rules are not repaired: start it again, and remove the file"
    for owner, link in report.unrecorded.items():
        yield f"{owner.alias}: is in no record of the cache, so nothing can be repaired\n    {RESTART.format(link=link)}"
    for owner in report.driven:
        outcome = _outcome(report.reloaded.get(owner))
        yield f"{owner.alias}: {outcome or RELOAD.format(container=owner.container_id[:12])}"
    if not (report.attachments or report.unreadable or report.unrecorded or report.driven):
        yield "no attachments"
