"""Does what a container runtime does with a conflist (libcni; docs/reference/cni.md 1.8): builds each request, runs the chain, remembers results.

The requests are built by pure functions; only `Runtime` starts programs, with an environment that holds the CNI variables and nothing
else. Must not know what a plugin does. Blind spot: results live in this process; `record` is what /var/lib/cni would hold.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.world import Place

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conflist:
    """A network configuration list: its name, its version and the plugins in order."""

    name: str
    version: str
    plugins: tuple[Json, ...]

    @classmethod
    def read(cls, path: Path) -> "Conflist":
        """Return the list a file holds."""
        return cls.decode(json.loads(path.read_text()))

    @classmethod
    def decode(cls, document: Json) -> "Conflist":
        """Return the list a decoded document holds."""
        return cls(document["name"], document["cniVersion"], tuple(document["plugins"]))

    def request(self, index: int, previous: Json | None, extra: Mapping[str, Any]) -> bytes:
        """Return what plugin `index` reads on stdin: the list's name and version win, `prevResult` only when there is one."""
        document = {**self.plugins[index], "name": self.name, "cniVersion": self.version, **extra}
        if previous is not None:
            document["prevResult"] = previous
        return json.dumps(document).encode()

    @property
    def document(self) -> Json:
        """The list as a file holds it."""
        return {"cniVersion": self.version, "name": self.name, "plugins": list(self.plugins)}


class PluginError(Exception):
    """A plugin refused: the members of its error document, or code -1 when it printed none."""

    def __init__(self, plugin: str, verb: str, done: "CompletedProcess[str]") -> None:
        try:
            said = json.loads(done.stdout)
        except ValueError:
            said = {"code": -1, "msg": f"no error document (exit {done.returncode}): {done.stdout}{done.stderr}"}
        self.code: int = said["code"]
        self.msg: str = said["msg"]
        more = ": ".join(filter(None, (said.get("details"), said.get("remedy"))))
        super().__init__(f"{plugin} {verb}: code {self.code}: {self.msg}: {more}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """One container's place in the network, by the three names every request carries."""

    container: str
    netns: str = ""
    ifname: str = "eth0"
    args: str = ""

    def environment(self, verb: str, path: Path) -> dict[str, str]:
        """Return the variables of a request (specification, "Parameters"): these and no other."""
        return {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": self.container,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.ifname,
            "CNI_ARGS": self.args,
            "CNI_PATH": str(path),
        }


@dataclass(slots=True)
class Runtime:
    """A runtime on one pretend host with one conflist; `path` is its CNI_PATH."""

    place: Place
    conflist: Conflist
    path: Path
    cache: dict[tuple[str, str], Json] = field(default_factory=dict)
    capabilities: Json = field(default_factory=dict)
    """What is handed to the plugins that declare it (capabilityArgs)."""

    def add(self, attachment: Attachment) -> Json:
        """Run ADD through the chain and return the last result; a refusal raises PluginError and leaves the DEL to the caller."""
        result: Json | None = None
        for index in range(len(self.conflist.plugins)):
            result = json.loads(self.call("ADD", attachment, index, result))
        if result is None:
            raise ValueError(f"the conflist {self.conflist.name} lists no plugin")
        self.cache[attachment.container, attachment.ifname] = result
        return result

    def delete(self, attachment: Attachment) -> None:
        """Run DEL through the chain backwards, with the remembered result when there is one."""
        result = self.cache.get((attachment.container, attachment.ifname))
        for index in reversed(range(len(self.conflist.plugins))):
            self.call("DEL", attachment, index, result)
        self.cache.pop((attachment.container, attachment.ifname), None)

    def check(self, attachment: Attachment) -> None:
        """Run CHECK through the chain with the remembered result."""
        result = self.cache[attachment.container, attachment.ifname]
        for index in range(len(self.conflist.plugins)):
            self.call("CHECK", attachment, index, result)

    def status(self) -> None:
        """Ask every plugin whether it could serve an ADD now."""
        for index in range(len(self.conflist.plugins)):
            self.call("STATUS", Attachment("-"), index, None)

    def collect(self, valid: Sequence[Attachment]) -> None:
        """Run GC through the chain: all attachments but these are stale."""
        names = [{"containerID": attachment.container, "ifname": attachment.ifname} for attachment in valid]
        extra = {"cni.dev/valid-attachments": names, "cni.dev/attachments": names}
        for index in range(len(self.conflist.plugins)):
            self.call("GC", Attachment("-"), index, None, extra)

    def record(self, attachment: Attachment) -> tuple[str, Json]:
        """Return the file below results/ and what libcni writes to it after ADD."""
        name, config = self.conflist.name, json.dumps(self.conflist.document).encode()
        document = {
            "kind": "cniCacheV1",
            "containerId": attachment.container,
            "config": base64.b64encode(config).decode(),
            "ifName": attachment.ifname,
            "networkName": name,
            "netns": attachment.netns,
            "cniArgs": [pair.split("=", 1) for pair in attachment.args.split(";") if pair],
            "capabilityArgs": self.capabilities,
            "result": self.cache[attachment.container, attachment.ifname],
        }
        return f"{name}-{attachment.container}-{attachment.ifname}", document

    def call(
        self,
        verb: str,
        attachment: Attachment,
        index: int,
        previous: Json | None,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """Start one plugin of the chain and return its stdout; raise PluginError when it refuses."""
        plugin = self.conflist.plugins[index]["type"]
        declared = self.conflist.plugins[index].get("capabilities", {})
        given = {name: value for name, value in self.capabilities.items() if declared.get(name)}
        own = {"runtimeConfig": given} if given else {}
        stdin = self.conflist.request(index, previous, {**own, **(extra or {})}).decode()
        done = self.place.attempt(self.path / plugin, stdin=stdin, env=attachment.environment(verb, self.path))
        if done.returncode:
            raise PluginError(plugin, verb, done)
        return done.stdout
