"""Claims about what the launcher sends:

- the datagram tells the protocol, the build, the umask and the name, then the whole environment and stdin, and nothing else
- what is too large for a datagram comes as sealed files, both of them
- the token is one byte in a pipe nobody can fill again
- namespaces, root, working directory and stderr are the launcher's own, by descriptor
- no agent, one that is not wanted, a full queue, a name nobody could send: the cold program, at once
"""

import os
import socket
from pathlib import Path

import pytest

from agent import protocol
from tests.lab import agents
from tests.lab.agents import Meeting
from tests.lab.launchers import BUILD_ID, CONFIG, Launcher
from tests.unit.build.launcher.conftest import Play


def same(descriptor: int, path: str) -> bool:
    return os.path.samestat(os.fstat(descriptor), Path(path).stat())


def test_the_datagram_tells_protocol_build_umask_and_name(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        magic, number, build, umask, length, _ = agents.HEAD.unpack_from(meeting.data)
        assert (magic, number, build) == (b"tulle\0", protocol.PROTOCOL, bytes.fromhex(BUILD_ID))
        assert (umask, length) == (0o027, len(bytes(launcher.bridge)))
        assert meeting.name == bytes(launcher.bridge)
        meeting.answer(b"{}")

    command = ["/bin/sh", "-c", 'umask 027; exec "$0"', str(launcher.bridge)]
    with play(part) as agent:
        process = launcher.start(launcher.environ("ADD", TULLE_AGENT=agent), command=command)
        assert launcher.finish(process, CONFIG).stdout == b"{}"


ROOM = 20_000
LARGE = {"LONG": "x" * 120_000, **{f"MANY_{index}": "y" * 999 for index in range(200)}}


@pytest.mark.parametrize(
    ("config", "more", "files"),
    [
        (CONFIG, {"EMPTY": ""}, False),
        (b"", {}, False),
        (b"c" * ROOM, {}, False),
        (b"c" * ROOM, {"LONG": "x" * ROOM}, True),
        (b"c" * agents.INLINE, {}, True),
        (b"c" * (1 << 20), {}, True),
        (CONFIG, LARGE, True),
        (b"c" * (1 << 20), LARGE, True),
    ],
    ids=lambda each: str(len(each)) if isinstance(each, (bytes, dict)) else None,
)
def test_stdin_and_environment_come_whole(
    config: bytes, more: dict[str, str], files: bool, launcher: Launcher, play: Play
) -> None:
    def part(meeting: Meeting) -> None:
        assert [name in meeting.descriptors for name in agents.FILES] == [files, files]
        assert meeting.stdin == config
        strings = [f"{name}={value}" for name, value in environ.items()]
        assert meeting.environ.decode() == "".join(f"{each}\0" for each in strings)
        meeting.answer(b"{}")

    with play(part) as agent:
        environ = launcher.environ("ADD", TULLE_AGENT=agent, **more)
        outcome = launcher.finish(launcher.start(environ), config)

    assert outcome.stdout == b"{}"


def test_the_token_is_one_byte_that_nobody_can_put_back(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        assert not meeting.take()
        meeting.answer(b"{}")

    with play(part) as agent:
        assert launcher.run("ADD", agent=agent).stdout == b"{}"


def test_places_are_the_launchers_own(launcher: Launcher, play: Play, tmp_path: Path) -> None:
    def part(meeting: Meeting) -> None:
        of = meeting.descriptors
        for name in ("net", "mnt", "user", "pid"):
            assert same(of[name], f"/proc/self/ns/{name}"), name
        assert same(of["root"], "/")
        assert same(of["cwd"], str(tmp_path))
        os.write(of["stderr"], b"from the worker\n")
        meeting.answer(b"{}")

    with play(part) as agent:
        process = launcher.start(launcher.environ("ADD", TULLE_AGENT=agent), cwd=tmp_path)
        outcome = launcher.finish(process, CONFIG)

    assert outcome.stderr == "from the worker\n"


@pytest.mark.parametrize("agent", ["", "/nowhere/agent.sock", "/" + "x" * 107, "/" + "x" * 200])
def test_without_an_agent_nobody_is_asked(agent: str, launcher: Launcher) -> None:
    assert launcher.run("ADD", agent=agent).stdout == b"cold"


def test_a_full_queue_is_not_waited_for(launcher: Launcher, tmp_path: Path) -> None:
    path = str(tmp_path / "agent.sock")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as agent,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first,
    ):
        agent.bind(path)
        agent.listen(0)
        first.connect(path)

        assert launcher.run("ADD", agent=path).stdout == b"cold"


@pytest.mark.parametrize("length", [4096, 4097])
def test_a_name_nobody_could_send_is_the_cold_programs(length: int, launcher: Launcher, play: Play) -> None:
    name = "x" * length
    command = [
        "/usr/bin/python3",
        "-ISc",
        "import os, sys; os.execv(sys.argv[1], sys.argv[2:])",
        str(launcher.bridge),
        name,
    ]

    def part(meeting: Meeting) -> None:
        meeting.answer(meeting.name)

    if length > 4096:
        outcome = launcher.finish(launcher.start(launcher.environ("ADD"), command=command), CONFIG)
        assert outcome.cold[0]["argv"] == [name]
        return
    with play(part) as agent:
        outcome = launcher.finish(launcher.start(launcher.environ("ADD", TULLE_AGENT=agent), command=command), CONFIG)
    assert outcome.stdout == name.encode()
