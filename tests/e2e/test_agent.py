"""Claims about the built `tulle agent`, asked over its socket as the launcher asks:

- a request is served in the caller's network namespace and working directory, with its umask, and the worker comes home clean
- a program it starts gets the caller's environment, and nothing of ours
- no module loads after the first request could come, whatever program and verb is asked
- a withdrawn request is dropped, and one whose caller has ended; a request cut in half, or of another build, is declined
- 5,000 requests leave its memory as it was, 4 workers take less than 150 MiB together, and one that has grown is replaced
- a stuck worker is ended, the time it waits for another program not counted
- it finishes what is in hand when it is told to end, and starts anew when its files are replaced, on the same socket
- told to start anew while its files are being replaced, it waits for them
- a second agent refuses the socket of the first; a socket nobody listens on is taken over
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent import protocol, status
from catalogue import CNI as PROGRAM_NAMES
from kernel import netns as namespaces
from tests.e2e.conftest import DIST
from tests.lab import warm
from tests.lab.asking import Question, Reply, send
from tests.lab.waiting import until
from tests.lab.warm import Agent
from tests.netns.spaces import Space

LIMIT_KIB = 150 << 10
GROWTH_KIB = 2 << 10
PROGRAMS = DIST / "cni"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("an agent needs root")
    with warm.agent(tmp_path_factory.mktemp("agent"), "--workers", "4") as running:
        yield running


@pytest.fixture
def host() -> Iterator[Space]:
    space = Space("host")
    yield space
    space.close()


@pytest.fixture
def container() -> Iterator[Space]:
    space = Space("container")
    yield space
    space.close()


def environment(verb: str, container: str = "c0", netns: str = "/var/run/netns/absent", **more: str) -> dict[str, str]:
    given = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": "eth0"}
    return {**given, "CNI_PATH": str(PROGRAMS), **more}


def host_local(directory: Path) -> bytes:
    ipam = {"type": "host-local", "dataDir": str(directory), "ranges": [[{"subnet": "10.77.0.0/16"}]]}
    return json.dumps({"cniVersion": "1.1.0", "name": "net", "type": "host-local", "ipam": ipam}).encode()


def bridge(directory: Path, **more: object) -> bytes:
    ipam = json.loads(host_local(directory))["ipam"]
    base = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "tl0", "isGateway": True, "ipam": ipam}
    return json.dumps({**base, **more}).encode()


def script(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def relay(directory: Path, name: str) -> bytes:
    """Return a flannel configuration whose delegate is the script `name`."""
    return json.dumps(
        {"cniVersion": "1.0.0", "name": "net", "type": "flannel", "dataDir": str(directory / "flannel"),
         "subnetFile": str(lease(directory)), "delegate": {"type": name}}
    ).encode()  # fmt: skip


def lease(directory: Path) -> Path:
    path = directory / "subnet.env"
    path.write_text("FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n")
    return path


def test_a_request_is_served_at_the_callers_and_the_worker_comes_home(
    agent: Agent, host: Space, container: Space, tmp_path: Path
) -> None:
    with namespaces.inside(host.namespace):
        added = agent.ask(Question("bridge", environment("ADD", netns=container.path), bridge(tmp_path)))

    assert (added.taken, added.status) == (True, 0), added
    assert json.loads(added.stdout)["ips"][0]["address"] == "10.77.0.2/16"
    assert {link.name for link in host.network.links()} > {"lo", "tl0"}
    assert agent.status().restarts == {}


def test_relative_names_and_the_umask_are_the_callers(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, "witness", 'echo "$PWD $(umask)" >&2; echo "{}"')
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o027)
    try:
        told = agent.ask(Question("flannel", environment("ADD", CNI_PATH="."), relay(tmp_path, "witness")))
    finally:
        os.umask(before)

    assert told.stderr.decode().splitlines()[-1] == f"{tmp_path} 0027"


def test_a_program_it_starts_gets_the_callers_environment_alone(agent: Agent, tmp_path: Path) -> None:
    script(tmp_path, "witness", "exec /usr/bin/env -0 >&2")
    given = environment("ADD", CNI_PATH=str(tmp_path), HELLO="there")

    said = agent.ask(Question("flannel", given, relay(tmp_path, "witness"))).stderr.decode()

    told = dict(line.split("=", 1) for line in said.partition("\n")[2].split("\0") if "=" in line)
    assert {name: value for name, value in told.items() if name not in ("_", "PWD", "SHLVL", "OLDPWD")} == given


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_no_module_loads_after_the_start(
    agent: Agent, host: Space, container: Space, tmp_path: Path, backend: str
) -> None:
    document = bridge(
        tmp_path, ipMasq=True, ipMasqBackend=backend, macspoofchk=True, **{"cni.dev/valid-attachments": []}
    )
    with namespaces.inside(host.namespace):
        added = agent.ask(Question("bridge", environment("ADD", netns=container.path), document))
        assert added.status == 0, added
        carried = json.dumps({**json.loads(document), "prevResult": json.loads(added.stdout)}).encode()
        for verb in ("CHECK", "STATUS", "DEL", "GC", "VERSION"):
            told = agent.ask(Question("bridge", environment(verb, netns=container.path), carried))
            assert told.status == 0, (verb, told)
        for program in sorted(set(PROGRAM_NAMES) - {"bridge"}):
            for verb in ("ADD", "CHECK", "STATUS", "DEL", "GC"):
                environ = environment(verb, netns=container.path, TULLE_DEBUG="1")
                assert agent.ask(Question(program, environ, document)).taken

    assert agent.status().late_modules == 0


@pytest.mark.parametrize("by_files", [False, True], ids=["datagram", "files"])
def test_what_is_too_large_for_a_datagram_is_served_alike(agent: Agent, tmp_path: Path, by_files: bool) -> None:
    name = "-" * (protocol.INLINE_BYTES if by_files else 9)
    document = json.dumps({"cniVersion": "1.1.0", "name": name}).encode()

    told = agent.ask(Question("host-local", environment("ADD"), document, by_files=by_files))

    assert json.loads(told.stdout)["details"] == name


def test_a_withdrawn_request_is_dropped(agent: Agent, tmp_path: Path) -> None:
    before = agent.status().withdrawn

    assert agent.ask(Question("host-local", environment("ADD"), host_local(tmp_path), withdrawn=True)) == Reply()
    until(lambda: agent.status().withdrawn == before + 1, "the withdrawal is counted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bent", "reason"),
    [
        (Question("unheard-of", environment("ADD")), protocol.Reason.PROGRAM),
        (Question("bridge", environment("ADD", netns="run/netns/x")), protocol.Reason.RELATIVE),
        (Question("bridge", environment("ADD", netns="/proc/self/ns/net")), protocol.Reason.OWN),
        (Question("bridge", environment("ADD", netns="/proc/thread-self/ns/net")), protocol.Reason.OWN),
        (Question("bridge", environment("ADD", netns="/dev/fd/3")), protocol.Reason.OWN),
        (Question("bridge", environment("ADD"), dropped=1), protocol.Reason.MALFORMED),
        (Question("x" * 5000, environment("ADD")), protocol.Reason.MALFORMED),
        (Question("bridge", environment("ADD"), by_files=True, dropped=1), protocol.Reason.MALFORMED),
        (Question("bridge", environment("ADD"), by_files=True, instead={1: 0}), protocol.Reason.MALFORMED),
        (Question("bridge", environment("ADD"), by_files=True, instead={2: 0}), protocol.Reason.MALFORMED),
    ],
)
def test_what_may_not_be_asked_is_declined_with_the_reason(
    agent: Agent, bent: Question, reason: protocol.Reason
) -> None:
    assert agent.ask(bent) == Reply(reason=reason.value)


def test_a_request_of_another_build_is_declined(agent: Agent) -> None:
    other = Agent(agent.path, agent.process, agent.log, b"\1" * 32)

    assert other.ask(Question("bridge", environment("ADD"))) == Reply(reason="another build")


def test_a_caller_that_says_nothing_is_not_waited_for(agent: Agent, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(str(agent.path))
        silent.settimeout(5)
        assert silent.recv(1) == b""
    assert agent.ask(Question("host-local", environment("ADD"), host_local(tmp_path))).status == 0


def test_5000_requests_leave_the_memory_as_it_was(host: Space, container: Space, tmp_path: Path) -> None:
    """One worker serves them all, so that nothing is spread thin; the first thousand touch what is shared with the supervisor."""
    masquerading = bridge(tmp_path, ipMasq=True)

    def round_trip(agent: Agent, number: int) -> None:
        for verb in ("ADD", "DEL"):
            cheap = Question("host-local", environment(verb, f"c{number}"), host_local(tmp_path))
            assert agent.ask(cheap).status == 0
            if number % 50 == 0:
                full = Question("bridge", environment(verb, f"b{number}", container.path), masquerading)
                assert agent.ask(full).status == 0

    with warm.agent(tmp_path, "--workers", "1") as agent, namespaces.inside(host.namespace):
        for number in range(500):
            round_trip(agent, number)
        before = agent.status()
        for number in range(500, 2960):
            round_trip(agent, number)
        after = agent.status()

    assert after.warm - before.warm > 4990
    assert after.restarts == {}
    assert after.memory_kib - before.memory_kib < GROWTH_KIB


def test_four_workers_take_less_than_150_mib(agent: Agent) -> None:
    assert len(agent.status().workers) == 4
    assert agent.status().memory_kib < LIMIT_KIB


def test_a_stuck_worker_is_ended_but_not_one_that_waits_for_a_program(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool, warm.agent(tmp_path, "--workers", "3", "--patience", "1.5") as agent:
        gate, lock = tmp_path / "gate", tmp_path / "book" / "net" / "lock"
        os.mkfifo(gate)
        script(tmp_path, "slow", f'read line <{gate}; echo "{{}}"')
        lock.parent.mkdir(parents=True)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            waiting = pool.submit(
                agent.ask, Question("flannel", environment("ADD", "a", CNI_PATH=str(tmp_path)), relay(tmp_path, "slow"))
            )
            stuck = pool.submit(
                agent.ask, Question("host-local", environment("ADD", "b"), host_local(tmp_path / "book"))
            )
            assert stuck.result() == Reply(taken=True)
        until(lambda: agent.status().restarts == {"stuck": 1}, "the stuck worker is counted")
        gate.write_text("go\n")
        assert waiting.result().taken
        assert waiting.result().status is not None
        until(lambda: len(agent.status().workers) == 3, "the ended worker is replaced")


def test_it_finishes_what_is_in_hand_when_told_to_end(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script(tmp_path, "slow", f'read line <{gate}; echo "{{}}"')
    with ThreadPoolExecutor() as pool, warm.agent(tmp_path, "--workers", "2") as agent:
        question = Question("flannel", environment("ADD", CNI_PATH=str(tmp_path)), relay(tmp_path, "slow"))
        waiting = pool.submit(agent.ask, question)
        until(lambda: any(each.busy_seconds is not None for each in agent.status().workers), "the request is in hand")
        agent.process.send_signal(signal.SIGTERM)
        until(lambda: len(agent.status().workers) == 1, "the idle worker has ended")
        gate.write_text("go\n")
        assert waiting.result().status is not None
        assert agent.process.wait(timeout=10) == 0
    assert not agent.path.exists()


def test_replaced_files_start_it_anew_without_losing_a_request(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    shutil.copytree(DIST / "lib", lib, symlinks=True)
    with warm.agent(tmp_path, "--workers", "2", program=lib / "tulle") as agent:
        fresh = tmp_path / "fresh"
        fresh.write_text(f"{'ab' * 32}\n")
        fresh.replace(lib / "build-id")
        new = Agent(agent.path, agent.process, agent.log, bytes.fromhex("ab" * 32))
        replies: list[Reply] = []

        def served_anew() -> bool:
            replies.append(
                new.ask(Question("host-local", environment("ADD", f"c{len(replies)}"), host_local(tmp_path)))
            )
            return replies[-1].status == 0

        until(served_anew, "the new build serves")
        assert all(reply.status == 0 or not reply.taken for reply in replies)
        assert agent.process.poll() is None


def test_it_waits_for_its_files_to_start_anew(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    shutil.copytree(DIST / "lib", lib, symlinks=True)
    with warm.agent(tmp_path, "--workers", "1", program=lib / "tulle") as agent:
        before = agent.status().workers
        (lib / "tulle").rename(lib / "away")
        agent.process.send_signal(signal.SIGHUP)
        until(lambda: "cannot start anew" in agent.log.read_text(), "it has tried")
        (lib / "away").rename(lib / "tulle")
        until(agent.listens, "it has started anew", within=60)
        assert agent.status().workers != before
        assert agent.process.poll() is None


def test_a_second_agent_refuses_the_socket_of_the_first(agent: Agent) -> None:
    done = subprocess.run([warm.TULLE, "agent", "--socket", agent.path], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (
        1, f"tulle agent: another agent listens on {status.place(agent.path)}: stop it, or choose another --socket\n"
    )  # fmt: skip
    assert agent.listens()


def test_a_socket_nobody_listens_on_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(tmp_path / "agent.sock"))
    with warm.agent(tmp_path, "--workers", "1") as agent:
        assert agent.listens()
        assert agent.path.stat().st_mode & 0o777 == 0o600


def test_a_request_whose_caller_was_killed_is_not_begun(tmp_path: Path) -> None:
    with warm.agent(tmp_path, "--workers", "1") as agent:
        worker = agent.status().workers[0].pid
        os.kill(worker, signal.SIGSTOP)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.connect(str(agent.path))
            send(door, agent.build, Question("host-local", environment("ADD"), host_local(tmp_path / "book")))
        os.kill(worker, signal.SIGCONT)
        until(lambda: agent.status().cold == 1, "it is counted")
        assert agent.status().declined == {"the caller is gone": 1}
    assert not (tmp_path / "book").exists()


def test_a_worker_that_has_grown_is_replaced(tmp_path: Path) -> None:
    with warm.agent(tmp_path, "--workers", "1", "--growth", "0") as agent:
        for number in range(32):
            assert agent.ask(Question("host-local", environment("ADD", f"c{number}"), host_local(tmp_path))).status == 0
        until(lambda: agent.status().restarts == {"grown": 1} and agent.status().workers, "another worker is there")
        assert agent.ask(Question("host-local", environment("DEL", "c1"), host_local(tmp_path))).status == 0
