"""Keeps what the name server of this host is to know: one file that is ours, and the folder it serves, which is made from that.

Both change under one lock, ours first, and every change writes and tells all of it: whatever a killed one left out, the next makes good.
A reboot empties /run, and with it the register. Must not decide what the files say, nor how a server is run.
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

    from cni.types import IPAddress
    from driver.zones import Entry, Zone, Zones

FOLDER = "/run/tulle/names"
SERVED = "served"
STATE = "containers.json"
PENDING = ".pending"
PATIENCE = 50.0
"""Seconds to wait for another container's turn."""


@dataclass(frozen=True, slots=True)
class Known:
    """The content of our file; `trouble` says why names do not resolve, and is empty when they do."""

    zones: Zones = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Register:
    """The register in `folder`; `caller` and `environ` are of whoever started us, `locks` is where the lock lies."""

    folder: str
    caller: int
    environ: Mapping[str, str]
    locks: str = locks.FOLDER

    def enter(self, zone: Zone, entry: Entry) -> tuple[tuple[IPAddress, ...], str]:
        """Make a container's names known; return the servers it is to ask besides those it asks already, and news of trouble.

        Trouble says why names do not resolve, where that was not said before; they are kept all the same, for the next start of a
        server. Raises OSError.
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
        """Forget the container whose host link has this alias; the server goes with the last one. Raises OSError."""
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
        """Wait for our turn, and hold it for the block; TimeoutError, with who has it, when that does not end."""
        folders.make(self._served)
        with Lock("names", locks.place(self.folder), patience=PATIENCE, folder=self.locks):
            yield

    def _write(self, known: Known, local: Collection[IPAddress]) -> None:
        """Write our file, then those of the server as they follow from it."""
        self._remember(known)
        wanted = zones.files(known.zones, local)
        for name in {*os.listdir(self._served)} - {*wanted, PID}:
            os.unlink(os.path.join(self._served, name))
        for name, text in wanted.items():
            _replace(self._served, name, text)

    def _remember(self, known: Known) -> None:
        _replace(self.folder, STATE, json.dumps({"trouble": known.trouble, "zones": zones.dump(known.zones)}))


def read(folder: str = FOLDER) -> Known:
    """Return what our file says; what nobody wrote, or another version, says nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        with open(os.path.join(folder, STATE), encoding="utf-8") as file:
            members = json.load(file)
        return Known(zones.load(members["zones"]), str(members["trouble"]))
    return Known()


def trouble(folder: str = FOLDER) -> str | None:
    """Return why names do not resolve on this host now, empty when they do; None where no container has names."""
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
