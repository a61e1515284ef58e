"""Stores what the name server of this host must know.

One file of ours, and the server's directory, made from that file.

One lock protects both. Ours is written first; every change writes the whole directory and notifies the server, so that
it repairs what a killed process left out. The files are under /run, so a reboot empties them.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH108, PTH118, PTH123, PTH208

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from driver import zones
from driver.name_server import PID, NameServer, SilentError
from kernel.netlink.handle import Handle
from system import atomic_file, folders, locks
from system.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from driver.zones import Entry, Zone, Zones
    from system.ip import IPAddress

FOLDER = "/run/tulle/names"
SERVED = "served"
STATE = "containers.json"
PENDING = ".pending"
PATIENCE = 50.0
"""Seconds to wait for the lock while other containers have it."""


@dataclass(frozen=True, slots=True)
class Known:
    """The content of our file."""

    zones: Zones = ()
    trouble: str = ""  # why names do not resolve; empty when they do


@dataclass(frozen=True, slots=True)
class Register:
    """The register in one directory."""

    folder: str
    caller: int  # process that started us
    environ: Mapping[str, str]  # of the process that started us
    locks: str = locks.FOLDER  # directory of the lock

    def enter(self, zone: Zone, entry: Entry) -> tuple[tuple[IPAddress, ...], str]:
        """Add a container's names.

        Return the name servers that it must ask in addition to those it has, and a new trouble.

        The trouble says why names do not resolve, if that was not reported before. The names are stored anyway, for the
        next start of a server. Raises OSError.
        """
        with self._turn(), Handle() as host:
            before = read(self.folder)
            present = zones.living(before.zones, {link.alias for link in host.links()})
            local = _local(host)
            servers = zones.untold(present, zone, entry.container_id, local)
            wanted = zones.entered(present, zone, replace(entry, told=servers))
            self._write(Known(wanted, before.trouble), local)
            problem = self._serve()
            if problem:
                servers, wanted = (), zones.entered(present, zone, entry)
            if problem or before.trouble:
                self._remember(Known(wanted, problem))
        return servers, problem if problem != before.trouble else ""

    def strike(self, alias: str) -> None:
        """Remove the container whose host link has this alias. The server ends with the last one. Raises OSError."""
        if not os.path.lexists(os.path.join(self.folder, STATE)):
            return
        with self._turn(), Handle() as host:
            before = read(self.folder)
            left = zones.struck(before.zones, alias)
            self._write(Known(left, before.trouble), _local(host))
            if left:
                self._server.reload()
                return
            self._server.end()
            os.unlink(os.path.join(self.folder, STATE))

    @property
    def _served(self) -> str:
        return os.path.join(self.folder, SERVED)

    @property
    def _server(self) -> NameServer:
        return NameServer(self._served, self.caller, self.environ)

    def _serve(self) -> str:
        try:
            self._server.serve()
        except SilentError as problem:
            return str(problem)
        return ""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock for the block. Raises TimeoutError that names who has it."""
        folders.make(self._served)
        with Lock("names", locks.place(self.folder), patience=PATIENCE, folder=self.locks):
            yield

    def _write(self, known: Known, local: Collection[IPAddress]) -> None:
        """Write our file, then those of the server, which follow from it."""
        self._remember(known)
        wanted = zones.files(known.zones, local)
        for name in {*os.listdir(self._served)} - {*wanted, PID}:
            os.unlink(os.path.join(self._served, name))
        for name, text in wanted.items():
            _replace(self._served, name, text)

    def _remember(self, known: Known) -> None:
        _replace(self.folder, STATE, json.dumps({"trouble": known.trouble, "zones": zones.dump(known.zones)}))


def read(folder: str = FOLDER) -> Known:
    """Return the content of our file; empty when it is absent or of another version."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        with open(os.path.join(folder, STATE), encoding="utf-8") as file:
            members = json.load(file)
        return Known(zones.load(members["zones"]), str(members["trouble"]))
    return Known()


def trouble(folder: str = FOLDER) -> str | None:
    """Return why names do not resolve on this host now; empty when they do; None when no container has names."""
    known = read(folder)
    if not known.zones:
        return None
    if known.trouble or NameServer(os.path.join(folder, SERVED), 0, {}).runs():
        return known.trouble
    return "aardvark-dns, which answered for them, has ended"


def _local(host: Handle) -> frozenset[IPAddress]:
    return frozenset(entry.address.ip for entry in host.addresses())


def _replace(folder: str, name: str, text: str) -> None:
    atomic_file.replace(os.path.join(folder, name), text.encode(), 0o644, pending=os.path.join(folder, PENDING))
