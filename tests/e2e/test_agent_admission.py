"""Claims about who may ask the built agent, each shown by a real process in that situation:

- a process in another mount, user or pid namespace, below another root directory, or without one of the two capabilities is
  declined with the reason, and nothing is started for it
- who is uid 0 in a user namespace of its own is such a process
- the same process without any of that is served
- on a kernel that tells the caller's number alone, the launcher proves who it is, also when every worker is busy
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import Reason
from tests.e2e.test_agent import PROGRAMS, environment, host_local, relay, script
from tests.lab import asking, warm
from tests.lab.waiting import until
from tests.lab.warm import Agent

ROOT = Path(__file__).resolve().parents[2]

SITUATIONS = {
    Reason.MOUNTS: ["unshare", "--mount"],
    Reason.USERS: ["unshare", "--user", "--map-root-user"],
    Reason.PROCESSES: ["unshare", "--pid", "--fork"],
    Reason.RIGHTS: ["setpriv", "--bounding-set=-sys_admin"],
}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("an agent needs root")
    with warm.agent(tmp_path_factory.mktemp("agent"), "--workers", "1") as running:
        yield running


def asked_by(situation: list[str], agent: Agent, book: Path, *options: str) -> str:
    """Have a process in `situation` ask for an address; return what it says of the answer."""
    command = [*situation, sys.executable, "-m", asking.__name__, str(agent.path), agent.build.hex(), *options]
    done = subprocess.run(
        command, cwd=ROOT, input=host_local(book), env={**environment("ADD"), "PYTHONPATH": str(ROOT)},
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.mark.parametrize("reason", SITUATIONS, ids=lambda reason: reason.value)
def test_who_is_elsewhere_or_has_fewer_rights_is_declined(agent: Agent, tmp_path: Path, reason: Reason) -> None:
    assert asked_by(SITUATIONS[reason], agent, tmp_path) == f"declined: {reason.value}"
    assert agent.status().declined[reason.value] == 1
    assert not any(tmp_path.iterdir())


def test_one_capability_of_the_two_is_not_enough(agent: Agent, tmp_path: Path) -> None:
    without = ["setpriv", "--bounding-set=-net_admin"]

    assert asked_by(without, agent, tmp_path) == f"declined: {Reason.RIGHTS.value}"


def test_another_root_directory_is_declined(agent: Agent, tmp_path: Path) -> None:
    assert asked_by([], agent, tmp_path, str(agent.path.parent)) == f"declined: {Reason.ROOT.value}"


def test_the_same_directory_as_root_over_another_mount_is_declined(agent: Agent, tmp_path: Path) -> None:
    shown = tmp_path / "root"
    shown.mkdir()
    subprocess.run(["mount", "--bind", "/", shown], check=True)
    try:
        told = asked_by([], agent, tmp_path / "book", str(shown))
    finally:
        subprocess.run(["umount", shown], check=True)

    assert told == f"declined: {Reason.ROOT.value}"


def test_a_process_like_the_agent_is_served(agent: Agent, tmp_path: Path) -> None:
    assert asked_by([], agent, tmp_path) == "answered: 0"


OLD = """
import argparse, os, sys
import agent.peercred
agent.peercred.SO_PEERPIDFD = 9999  # unheard of, as before Linux 6.5
from agent import main
parser = argparse.ArgumentParser()
main.declare(parser)
sys.exit(main.run(parser.parse_args(sys.argv[1:]), dict(os.environ)))
"""


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Agent]:
    """Run the agent from the checkout as if on an older kernel, with the number of the built launcher."""
    path = tmp_path / "agent.sock"
    command = [sys.executable, "-c", OLD, "--socket", str(path), "--workers", "1", "--stall", "60"]
    process = subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL)
    agent = Agent(path, process, tmp_path / "log", bytes.fromhex(warm.BUILD_ID.read_text()))
    try:
        until(agent.listens, "the agent listens", within=60)
        yield agent
    finally:
        agent.stop()


def test_on_an_older_kernel_the_launcher_proves_who_it_is(old: Agent, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script(tmp_path, "slow", f'read line <{gate}; echo "{{}}"')

    def launch(program: str, container: str, config: bytes, **more: str) -> "subprocess.Popen[bytes]":
        environ = environment("ADD", container, TULLE_AGENT=str(old.path), **more)
        process = subprocess.Popen([PROGRAMS / program], env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin is not None
        process.stdin.write(config)
        process.stdin.close()
        return process

    assert launch("host-local", "a", host_local(tmp_path / "book")).wait() == 0
    assert old.status().warm == 1
    slow = launch("flannel", "b", relay(tmp_path, "slow"), CNI_PATH=str(tmp_path))
    until(lambda: old.status().workers[0].busy_seconds is not None, "the only worker is busy")
    ahead = launch("host-local", "c", host_local(tmp_path / "book"))
    old.status()
    gate.write_text("go\n")
    assert [slow.wait(), ahead.wait()] == [0, 0]
    assert (old.status().cold, old.status().declined) == (0, {})
    assert asked_by(["setpriv", "--bounding-set=-sys_admin"], old, tmp_path) == f"declined: {Reason.RIGHTS.value}"
