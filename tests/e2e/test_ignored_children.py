"""The built programs where their caller ignores SIGCHLD, which execve(2) hands down. Claims:

- ADD, CHECK and DEL of a chain that starts iptables and a delegate of another build hold, with either backend, and leave no rule
- a warm worker of an agent that was started so serves the same
- the daemon is ready and has its rules in iptables
- the Podman driver sets a container up and tears it down
- the command's answers are what they are otherwise
- what a program starts has the default again
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import DIST
from tests.lab import daemon, warm
from tests.lab.hosts import Host, Lab
from tests.lab.runtime import Attachment, Conflist, Runtime
from tests.lab.world import PATH, Place
from tests.netns.spaces import Space

IGNORING = ("/usr/bin/env", "--ignore-signal=CHLD")
ANSWERS = ("status", "doctor", "gc --dry-run", "repair")

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and "CI" not in os.environ, reason="an agent needs root")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Lab({"host-a": 1}) as lab:
        host = lab.hosts["host-a"]
        host.daemon = daemon.start(ignoring(host.place), host.workdir, "--ip-masq")
        host.daemon.wait_ready()
        yield host


def ignoring(place: Place) -> Place:
    """Return the same place, where everything is started by a caller that ignores SIGCHLD."""
    return Place(place.name, (*place.prefix, *IGNORING), place.jobs)


def chain(backend: str) -> dict[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "net",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "br0",
                "isGateway": True,
                "ipMasq": True,
                "ipMasqBackend": backend,
                "ipam": {"type": "foreign", "subnet": "10.9.0.0/24"},
            },
            {"type": "portmap", "backend": backend, "capabilities": {"portMappings": True}},
            {"type": "firewall", "backend": backend},
        ],
    }


def foreign(folder: Path) -> Path:
    """Return `folder` as a CNI_PATH with the built programs and a delegate that is a program of its own."""
    for program in (DIST / "cni").iterdir():
        (folder / program.name).symlink_to(program)
    (folder / "foreign").write_text(f'#!/bin/sh\nexec "{DIST}/cni/host-local"\n')
    (folder / "foreign").chmod(0o755)
    return folder


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_a_chain_that_starts_programs_holds(host: Host, tmp_path: Path, backend: str) -> None:
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    runtime = Runtime(ignoring(host.place), Conflist.decode(chain(backend)), foreign(tmp_path), capabilities=ports)
    attachment = host.make_namespace(f"c-{backend}")

    runtime.add(attachment)
    runtime.check(attachment)
    runtime.delete(attachment)

    assert attachment.container not in host.place.run("sh", "-c", "iptables-save; nft list ruleset")


def test_the_daemon_has_its_rules(host: Host) -> None:
    assert "FLANNEL-POSTRTG" in host.place.run("iptables", "-t", "nat", "-S")


@pytest.mark.parametrize("command", ANSWERS)
def test_the_commands_answers_are_the_same(host: Host, command: str) -> None:
    words = (str(DIST / "bin" / "tulle"), *command.split())

    told, otherwise = (place.attempt(*words) for place in (ignoring(host.place), host.place))

    assert (told.returncode, told.stderr) == (otherwise.returncode, otherwise.stderr)
    assert "No child processes" not in told.stdout


def test_the_podman_driver_sets_up_and_tears_down(host: Host) -> None:
    plugin, place = DIST / "netavark" / "tulle", ignoring(host.place)
    network = {"name": "web", "id": "0" * 64, "driver": "tulle", "dns_enabled": False, "ipv6_enabled": False}
    made = json.loads(place.attempt(plugin, "create", stdin=json.dumps(network)).stdout) | {"dns_enabled": False}
    attachment = host.make_namespace("web")
    request = {
        "container_id": "1" * 64,
        "container_name": "web",
        "network": made,
        "network_options": {"interface_name": "eth0"},
        "port_mappings": [{"host_ip": "", "container_port": 80, "host_port": 8081, "range": 1, "protocol": "tcp"}],
    }

    done = [
        place.attempt(plugin, verb, attachment.netns, stdin=json.dumps(request), env={"PATH": PATH})
        for verb in ("setup", "teardown")
    ]

    assert [(each.returncode, "error" in each.stdout) for each in done] == [(0, False), (0, False)]
    assert "8081" not in host.place.run("sh", "-c", "iptables-save; nft list ruleset")


def test_a_warm_worker_serves_programs_that_start_others(tmp_path: Path) -> None:
    space = Space("host")
    document = json.dumps({**chain("iptables")["plugins"][0], "cniVersion": "1.0.0", "name": "net"})
    attachment = Attachment("c0", "")
    try:
        with warm.agent(tmp_path, "--workers", "1", within=IGNORING) as agent:
            here = Place("host", ("/usr/bin/nsenter", f"--net={space.path}", *IGNORING))
            environ = attachment.environment("DEL", foreign(tmp_path)) | {"TULLE_AGENT": str(agent.path)}
            told = here.attempt(DIST / "cni" / "bridge", stdin=document, env=environ)
            served = agent.status().warm
    finally:
        space.close()

    assert (told.returncode, told.stdout, served) == (0, "", 1)


def test_what_a_program_starts_has_the_default_again(tmp_path: Path) -> None:
    script = f"import signal; print(signal.getsignal(signal.SIGCHLD).name, file=open('{tmp_path}/told', 'w'))"
    (tmp_path / "foreign").write_text(f"#!{sys.executable}\n{script}\n")
    (tmp_path / "foreign").chmod(0o755)
    environ = Attachment("c0").environment("DEL", tmp_path)
    document = json.dumps({**chain("iptables")["plugins"][0], "cniVersion": "1.0.0", "name": "net"})

    Place("here", IGNORING).attempt(DIST / "cni" / "bridge", stdin=document, env=environ)

    assert (tmp_path / "told").read_text() == "SIG_DFL\n"
