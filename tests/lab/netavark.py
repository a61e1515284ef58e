"""Does what Podman does with netavark: creates a network through the plugin, and has netavark set containers up and tear them down.

netavark is the one of Debian's next suite (build/newer.sh), run with that suite's own libraries. Must not know what the plugin does.
Blind spot: the address book of netavark's own drivers, which plugins have no part in.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.lab.daemon import DIST, ROOT
from tests.lab.hosts import Host
from tests.lab.world import PATH

Json = dict[str, Any]
TREE = ROOT / ".newer" / "tree"
LIBRARIES = TREE / "usr" / "lib" / "x86_64-linux-gnu"
NETAVARK = (
    LIBRARIES / "ld-linux-x86-64.so.2",
    "--library-path",
    LIBRARIES,
    TREE / "usr" / "lib" / "podman" / "netavark",
)
AARDVARK = TREE / "usr" / "lib" / "podman" / "aardvark-dns"
PLUGINS = DIST / "netavark"


def require(*programs: str) -> None:
    """Skip, or in CI fail, unless the newer programs are unpacked."""
    missing = [name for name in programs if not (TREE / name).is_file()]
    if missing:
        reason = (
            f"{missing[0]} of a newer Debian is absent: `sh build/newer.sh` unpacks it where apt knows Debian's archive"
        )
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


class RefusedError(Exception):
    """What netavark, or the plugin at `create`, answered instead of a result."""


def call(host: Host, command: Sequence[str | Path], told: Json) -> Json:
    """Run a command that takes JSON and answers with JSON or an error document."""
    return answer(host.place.attempt(*command, stdin=json.dumps(told), env={"PATH": PATH}))


def answer(done: CompletedProcess[str]) -> Json:
    """Return what a command answered; RefusedError with its words if it refused."""
    said: Json = json.loads(done.stdout or "{}")
    if done.returncode:
        raise RefusedError(said["error"])
    return said


def create(host: Host, name: str, **given: Any) -> Json:
    """Return the network that `podman network create -d tulle NAME` makes Podman keep."""
    network = {
        "name": name,
        "id": "0" * 64,
        "driver": "tulle",
        "created": "0001-01-01T00:00:00Z",
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": True,
        **given,
    }
    return call(host, (PLUGINS / "tulle", "create"), network) | {
        "dns_enabled": False
    }  # Podman's word on every IPAM "none"


@dataclass(frozen=True)
class Container:
    """One container: its id, the network namespace below /run/netns called `name`, its ports and its networks."""

    name: str
    identity: str
    networks: Mapping[str, Json]
    wishes: Mapping[str, Json] = field(default_factory=dict)
    ports: tuple[Json, ...] = ()

    @property
    def options(self) -> Json:
        """What Podman tells netavark."""
        default: Json = {"aliases": [self.identity[:12]], "static_ips": None, "static_mac": None}
        return {
            "container_id": self.identity,
            "container_name": self.name,
            "port_mappings": list(self.ports) or None,
            "networks": {
                name: {**default, "interface_name": f"eth{index}", **self.wishes.get(name, {})}
                for index, name in enumerate(self.networks)
            },
            "network_info": dict(self.networks),
        }


def run(host: Host, verb: str, container: Container) -> Json:
    """Have netavark `setup` or `teardown` a container; RefusedError with its words."""
    return answer(attempt(host, verb, container, name_server(host.workdir)))


def attempt(host: Host, verb: str, container: Container, aardvark: Path) -> CompletedProcess[str]:
    """Have netavark do so, told of that name server, as Podman tells it what it found; return all it said."""
    config = host.workdir / f"netavark-{host.name}"
    config.mkdir(exist_ok=True)
    found = ("--plugin-directory", PLUGINS, "--aardvark-binary", aardvark)
    words = (*NETAVARK, "--config", config, *found, verb, f"/run/netns/{container.name}")
    return host.place.attempt(*words, stdin=json.dumps(container.options), env={"PATH": PATH})


def name_server(folder: Path) -> Path:
    """Return a program in `folder` that is the newer aardvark-dns with its own libraries."""
    program = folder / "aardvark-dns"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec {" ".join(map(str, NETAVARK[:3]))} {AARDVARK} "$@"\n')
        program.chmod(0o755)
    return program


def port(host_port: int, container_port: int, *, host_ip: str = "", protocol: str = "tcp", length: int = 1) -> Json:
    """Return a port mapping as Podman writes it."""
    return {
        "host_ip": host_ip,
        "host_port": host_port,
        "container_port": container_port,
        "protocol": protocol,
        "range": length,
    }
