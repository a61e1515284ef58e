"""Claims about 200 requests at once while workers, supervisors and launchers are killed at random:

- every launcher that is not killed itself answers: a result, or for an ADD that its worker died (11)
- when the runtime has sent the DEL of every ADD that failed, exactly the addresses of the others are taken
- agents started anew, as systemd does, serve on the same socket
"""

import json
import os
import random
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.test_agent import PROGRAMS, environment, host_local
from tests.lab import warm
from tests.lab.waiting import until
from tests.lab.warm import Agent

HALF = 100
LAUNCHERS_KILLED, SUPERVISORS_KILLED = 20, 3
STRIKE_EVERY = 8
"""Requests begun between two killings, while requests are begun."""
SHORTEST, LONGEST = 5, 40
"""Milliseconds between two killings, afterwards."""


@dataclass
class Call:
    """One launcher, and how it ended."""

    verb: str
    container: str
    process: "subprocess.Popen[bytes]"

    @property
    def succeeded(self) -> bool:
        return self.process.returncode == 0

    def answer(self) -> dict[str, object]:
        assert self.process.stdout is not None
        said = self.process.stdout.read()
        self.process.stdout.close()
        return dict(json.loads(said)) if said else {}


@dataclass
class Chaos:
    """Kills what it may, until the last launcher has ended."""

    directory: Path
    stack: ExitStack
    dice: random.Random
    agent: Agent = field(init=False)
    killed: dict[str, int] = field(default_factory=lambda: {"worker": 0, "supervisor": 0, "launcher": 0})

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.agent = self.stack.enter_context(warm.agent(self.directory, "--workers", "6"))

    def call(self, verb: str, container: str) -> Call:
        environ = environment(verb, container, TULLE_AGENT=str(self.directory / "agent.sock"))
        with (self.directory / "stdin").open("rb") as stdin:
            process = subprocess.Popen([PROGRAMS / "host-local"], env=environ, stdin=stdin, stdout=subprocess.PIPE)
        return Call(verb, container, process)

    def strike(self, calls: list[Call]) -> None:
        """Kill one of them all."""
        victim = self.dice.choice(["supervisor", *["launcher"] * 4, *["worker"] * 8])
        if victim == "worker":
            workers = self.workers()
            if not workers:
                return
            os.kill(self.dice.choice(workers), signal.SIGKILL)
        elif victim == "supervisor" and self.killed["supervisor"] < SUPERVISORS_KILLED:
            self.agent.process.kill()
            self.agent.process.wait()
            self.start()
        elif victim == "launcher" and self.killed["launcher"] < LAUNCHERS_KILLED:
            self.dice.choice(calls).process.kill()
        else:
            return
        self.killed[victim] += 1

    def workers(self) -> list[int]:
        """Return the workers that live at this moment."""
        return [worker.pid for worker in self.agent.status().workers if worker.memory_kib]

    def rage(self, calls: list[Call]) -> None:
        """Strike until every call has ended."""
        with _ends(calls) as watch:
            while running := [call for call in calls if call.process.poll() is None]:
                watch.poll(self.dice.randint(SHORTEST, LONGEST))
                self.strike(running)


@contextmanager
def _ends(calls: list[Call]) -> Iterator["select.epoll"]:
    """Yield what becomes ready, once for each, when a call ends."""
    with select.epoll() as watch:
        descriptors = [os.pidfd_open(call.process.pid) for call in calls if call.process.poll() is None]
        for descriptor in descriptors:
            watch.register(descriptor, select.EPOLLIN | select.EPOLLET)
        yield watch
        for descriptor in descriptors:
            os.close(descriptor)


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("an agent needs root")
    (tmp_path / "stdin").write_bytes(host_local(tmp_path / "book"))
    seed = random.randrange(2**32)
    with ExitStack() as stack:
        print(f"seed {seed}")
        yield Chaos(tmp_path, stack, random.Random(seed))


def addresses(directory: Path) -> set[str]:
    """Return the addresses that are taken."""
    return {path.name for path in (directory / "book" / "net").iterdir() if path.name[0].isdigit()}


def test_every_caller_is_answered_and_no_address_leaks(chaos: Chaos, tmp_path: Path) -> None:
    before = [chaos.call("ADD", f"old{number}") for number in range(HALF)]
    assert [call.process.wait() for call in before] == [0] * HALF
    for call in before:
        call.answer()

    calls: list[Call] = []
    for number in range(HALF):
        calls += [chaos.call("ADD", f"new{number}"), chaos.call("DEL", f"old{number}")]
        if len(calls) % STRIKE_EVERY == 0:
            chaos.strike(calls[-STRIKE_EVERY:])
    chaos.rage(calls)

    answers = {call.container: call.answer() for call in calls}
    for call in calls:
        died = call.verb == "ADD" and answers[call.container].get("code") == 11
        assert call.succeeded or died or call.process.returncode == -signal.SIGKILL, answers[call.container]
    assert sum(call.process.returncode < 0 for call in calls) <= chaos.killed["launcher"]

    until(lambda: all(each.busy_seconds is None for each in chaos.agent.status().workers), "nothing is in hand")
    after = [chaos.call("DEL", call.container) for call in calls if not call.succeeded]
    assert [call.process.wait() for call in after] == [0] * len(after)
    for call in after:
        call.answer()
    given = [str(answers[call.container]["ips"]) for call in calls if call.verb == "ADD" and call.succeeded]
    assert len(set(given)) == len(given)
    assert addresses(tmp_path) == {json.loads(each.replace("'", '"'))[0]["address"].partition("/")[0] for each in given}
    assert chaos.killed["worker"] + chaos.killed["supervisor"] > 0
    print(f"killed: {chaos.killed}, served warm by the last agent: {chaos.agent.status().warm}")
