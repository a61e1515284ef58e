"""Asks every program in a living attachment's chain what is missing, and has those that add rules add theirs again.

A chained program does that in its ADD with the recorded result, which adds what is missing. `bridge`, whose ADD would
make a new attachment, has a function for its rules alone, also behind `flannel`. What CHECK accepts is not changed, and
what cannot be repaired is reported.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from bridge import plugin as bridge
from cli.repair.cni_cache import Json, Record
from cni import invoke, request
from cni.attachment_lock import AttachmentLock
from cni.errors import CniError, Code, RelayedError
from kernel.errors import KernelError
from meta.flannel import plugin as flannel

CHAINED = frozenset({"firewall", "portmap"})
"""Programs whose ADD adds rules on the host, and nothing twice."""

RESTART = "start the container again: its runtime then makes this anew"


class State(StrEnum):
    """The result for one program."""

    STANDS = "stands"
    MISSING = "missing"
    REPAIRED = "repaired"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Part:
    """One program of an attachment's chain."""

    program: str
    state: State
    said: str = ""  # what CHECK found missing, or why it stays


@dataclass(frozen=True, slots=True)
class Runner:
    """Calls programs as a runtime would."""

    environ: Mapping[str, str]  # which the programs inherit
    path: str  # where they are searched

    def parts(self, record: Record, *, change: bool) -> Iterator[Part]:
        """Yield the result for each program, in the order of ADD. Without `change` nothing is added."""
        for plugin in record.plugins:
            yield self._part(record, plugin, change=change)

    def _part(self, record: Record, plugin: Json, *, change: bool) -> Part:
        program = str(plugin["type"])
        wrong = self._complaint(record, plugin)
        if wrong is None:
            return Part(program, State.STANDS)
        if not isinstance(wrong, RelayedError) or wrong.code == Code.INCOMPATIBLE_VERSION:
            return Part(program, State.BROKEN, str(wrong))
        kept = self._keeper(record, plugin)
        if kept is None:
            return Part(program, State.BROKEN, f"{wrong}; {RESTART}")
        if not change:
            return Part(program, State.MISSING, str(wrong))
        try:
            self._mend(record, *kept)
        except (CniError, KernelError, OSError) as refused:
            return Part(program, State.BROKEN, f"{wrong.msg}; and it cannot be repaired: {refused}")
        left = self._complaint(record, plugin)
        return Part(program, State.BROKEN, f"{left}; {RESTART}") if left else Part(program, State.REPAIRED, wrong.msg)

    def _complaint(self, record: Record, plugin: Json) -> CniError | None:
        try:
            invoke.delegate(self._request(record, plugin, "CHECK"), str(plugin["type"]), "CHECK")
        except CniError as refused:
            return refused
        return None

    def _keeper(self, record: Record, plugin: Json) -> tuple[str, Json] | None:
        """Return the program that can add rules again, with its configuration: behind `flannel` its delegate.

        None if none can.
        """
        program = str(plugin["type"])
        if program == "flannel":
            try:
                delegation = flannel.standing(self._request(record, plugin, "CHECK"))
            except CniError:
                return None
            program, plugin = delegation.type, json.loads(delegation.document)
        return (program, plugin) if program in CHAINED | {"bridge"} else None

    def _mend(self, record: Record, program: str, plugin: Json) -> None:
        if program in CHAINED:
            invoke.delegate(self._request(record, plugin, "ADD"), program, "ADD")
            return
        owner = record.owner
        with AttachmentLock(program, owner.network, owner.container_id, owner.ifname):
            bridge.restore(self._request(record, plugin, "CHECK"))

    def _request(self, record: Record, plugin: Json, verb: str) -> request.Request:
        environ = record.environ(verb, self.environ, self.path)
        composed = request.compose(environ, record.stdin(plugin), _log)
        return replace(composed, own_netns="/proc/thread-self/ns/net")


def _log(text: str) -> None:
    print(text, file=sys.stderr)
