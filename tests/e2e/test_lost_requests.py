"""Claims about the built launcher and the built agent together, when one of them dies:

- a request is served by a worker, and answered as the cold program answers it
- an ADD whose worker dies, with or without all the others and the supervisor, ends in code 11 and leaves no address and no link
- a DEL whose worker dies is finished by the cold program
- an ADD whose launcher is killed after its request was taken, and before it is its turn, is not begun
- an agent that is stopped is not waited for, by the launcher or by who reads its stderr to the end, and starts nothing when it goes on

Each death is brought about by a delegate in the middle of the request, so it falls where it is meant to. Deaths at random
moments, under a crowd: test_agent_crashes.py.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import protocol
from cni import attachment_lock
from kernel import netns as namespaces
from tests.e2e.conftest import DIST
from tests.lab import asking, warm
from tests.lab.waiting import until
from tests.lab.warm import Agent
from tests.netns.spaces import Space

PROGRAMS = DIST / "cni"
PATIENCE = 60

FATAL = """#!/bin/sh
# a delegate that does its work and then kills who started it, once
"{programs}/{program}" || exit
[ "$CNI_COMMAND" = "{verb}" ] && mkdir "{folder}/once" 2>/dev/null || exit 0
{kill}
"""
KILL_WORKER = "kill -9 $PPID"
KILL_ALL = 'for each in $(cat /proc/{supervisor}/task/*/children) {supervisor}; do kill -9 "$each"; done'


@dataclass(frozen=True)
class Caller:
    """What a runtime is to one container of a test's own host."""

    host: Space
    folder: Path
    agent: str

    def call(self, verb: str, config: bytes, netns: str, program: str = "bridge") -> tuple[int, Mapping[str, object]]:
        """Call a program as a runtime does; return the exit code and the document."""
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c0", "CNI_NETNS": netns, "CNI_IFNAME": "eth0"}
        environ |= {"CNI_PATH": f"{self.folder}:{PROGRAMS}", "TULLE_AGENT": self.agent, "PATH": os.defpath}
        with namespaces.inside(self.host.namespace):
            process = subprocess.Popen(
                [PROGRAMS / program],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        with process:
            stdout, _ = process.communicate(config, timeout=PATIENCE)  # reads both to their ends
        return process.returncode, json.loads(stdout or b"{}")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("an agent needs root")
    with warm.agent(tmp_path, "--workers", "4") as running:
        yield running


@pytest.fixture
def caller(agent: Agent, tmp_path: Path) -> Iterator[Caller]:
    host = Space("host")
    yield Caller(host, tmp_path, str(agent.path))
    host.close()


@pytest.fixture
def netns() -> Iterator[str]:
    container = Space("container")
    yield container.path
    container.close()


def config(folder: Path, ipam: str = "host-local") -> bytes:
    book = {"type": ipam, "dataDir": f"{folder}/books", "ranges": [[{"subnet": "10.77.0.0/16"}]]}
    whole = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "tl0", "isGateway": True, "ipam": book}
    return json.dumps(whole).encode()


def put_fatal(folder: Path, verb: str, kill: str, program: str = "host-local") -> None:
    plugin = folder / "fatal"
    plugin.write_text(FATAL.format(programs=PROGRAMS, program=program, verb=verb, folder=folder, kill=kill))
    plugin.chmod(0o755)


def fatal(folder: Path, verb: str, kill: str) -> bytes:
    put_fatal(folder, verb, kill)
    return config(folder, "fatal")


def flannel(folder: Path) -> bytes:
    """Return a configuration of flannel whose delegate is the fatal one; the host's lease lies beside it."""
    lease = folder / "subnet.env"
    lease.write_text(
        "FLANNEL_NETWORK=10.77.0.0/16\nFLANNEL_SUBNET=10.77.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
    )
    whole = {
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "flannel",
        "subnetFile": str(lease),
        "dataDir": f"{folder}/kept",
    }
    return json.dumps({**whole, "delegate": {"type": "fatal"}, "ipam": {"dataDir": f"{folder}/books"}}).encode()


def reserved(folder: Path) -> dict[str, str]:
    """Return address -> container as the address book has it."""
    book = folder / "books" / "net"
    return {path.name: path.read_text().split()[0] for path in book.glob("10.*")}


def veths(host: Space) -> list[str]:
    return [line.split()[1] for line in host.run("ip", "-o", "link", "show", "type", "veth").splitlines()]


def test_a_worker_answers_as_the_cold_program_does(caller: Caller, agent: Agent, netns: str, tmp_path: Path) -> None:
    given, missing = config(tmp_path), config(tmp_path, "absent")
    assert caller.call("ADD", given, netns)[0] == 0
    assert caller.call("CHECK", given, netns)[0] == 1  # no prevResult
    warm_answers = [caller.call(verb, missing, netns) for verb in ("ADD", "STATUS")]
    assert caller.call("DEL", given, netns) == (0, {})

    cold = Caller(caller.host, tmp_path, "")

    assert [cold.call(verb, missing, netns) for verb in ("ADD", "STATUS")] == warm_answers
    assert (agent.status().warm, agent.status().cold, reserved(tmp_path)) == (5, 0, {})


@pytest.mark.parametrize("everybody", [False, True], ids=["worker", "worker and supervisor"])
def test_a_lost_add_is_undone(everybody: bool, caller: Caller, agent: Agent, netns: str, tmp_path: Path) -> None:
    kill = KILL_ALL.format(supervisor=agent.process.pid) if everybody else KILL_WORKER

    status, answer = caller.call("ADD", fatal(tmp_path, "ADD", kill), netns)

    assert (status, answer["code"], answer["msg"]) == (1, 11, "the worker that served this ADD died")
    assert "removed again by a DEL" in str(answer["remedy"])
    assert (reserved(tmp_path), veths(caller.host)) == ({}, [])
    status, answer = caller.call("ADD", config(tmp_path, "fatal"), netns)
    assert (status, list(reserved(tmp_path).values())) == (0, ["c0"])


def test_a_lost_add_takes_its_links_along(caller: Caller, netns: str, tmp_path: Path) -> None:
    put_fatal(tmp_path, "ADD", "ip -o link show type veth >$0.links; " + KILL_WORKER, program="bridge")

    _, answer = caller.call("ADD", flannel(tmp_path), netns, "flannel")

    assert answer["code"] == 11
    assert "veth" in (tmp_path / "fatal.links").read_text()
    assert (reserved(tmp_path), veths(caller.host), list((tmp_path / "kept").iterdir())) == ({}, [], [])


def test_a_lost_del_is_finished_cold(caller: Caller, agent: Agent, netns: str, tmp_path: Path) -> None:
    given = fatal(tmp_path, "DEL", KILL_WORKER)
    assert caller.call("ADD", given, netns)[0] == 0

    assert caller.call("DEL", given, netns) == (0, {})

    assert (reserved(tmp_path), veths(caller.host)) == ({}, [])
    until(lambda: agent.status().restarts == {"died": 1}, "the supervisor has counted the dead worker")


def test_an_add_nobody_waits_for_is_not_begun_when_its_turn_comes(agent: Agent, tmp_path: Path) -> None:
    environ = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "gone", "CNI_NETNS": "/absent", "CNI_IFNAME": "eth0"}
    question = asking.Question("host-local", {**environ, "CNI_PATH": str(PROGRAMS)}, config(tmp_path))
    with (
        attachment_lock.AttachmentLock("host-local", "net", "gone", "eth0"),
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as launcher,
    ):
        launcher.settimeout(PATIENCE)
        launcher.connect(str(agent.path))
        asking.send(launcher, agent.build, question)
        assert launcher.recv(1) == protocol.TAKEN
    until(lambda: agent.status().warm == 1, "the worker has had its turn")

    assert reserved(tmp_path) == {}
    assert agent.ask(question).status == 0
    assert list(reserved(tmp_path).values()) == ["gone"]


def test_a_stopped_agent_is_not_waited_for(caller: Caller, agent: Agent, netns: str, tmp_path: Path) -> None:
    stopped = [agent.process.pid, *(worker.pid for worker in agent.status().workers)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert caller.call("ADD", config(tmp_path), netns)[0] == 0
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    assert caller.call("DEL", config(tmp_path), netns) == (0, {})
    assert (agent.status().warm, reserved(tmp_path), veths(caller.host)) == (1, {}, [])
