"""Claims about what the launcher sends:

- the datagram tells the protocol, the build, the umask and the name, then the whole environment and stdin, and nothing else
- what is too large for a datagram comes as sealed files, both of them
- the token is one byte in a pipe nobody can fill again
- no descriptor of the caller's is sent: nothing that lies unread keeps its stderr open
- no agent, one that is not wanted, a full queue, a name nobody could send: the cold program, at once
- a socket, or a directory of it, that somebody else may have put there or may change is not connected to, nor one that another listens on
"""

import os
import socket
import time
from pathlib import Path

import pytest

from agent import protocol
from tests.lab import agents
from tests.lab.agents import Meeting
from tests.lab.launchers import BUILD_ID, CONFIG, Launcher
from tests.unit.build.launcher.conftest import Play


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


@pytest.mark.parametrize("size", [0, 1 << 20], ids=["datagram", "files"])
def test_what_lies_unread_keeps_nothing_of_the_callers_open(size: int, launcher: Launcher, tmp_path: Path) -> None:
    path = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as frozen:
        frozen.bind(path)
        Path(path).chmod(0o600)
        frozen.listen()

        outcome = launcher.run("ADD", b"c" * size, agent=path)  # reads stderr to its end

        assert (outcome.stdout, outcome.stderr) == (b"cold", "")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707, 0o1777])
def test_a_directory_that_others_may_write_to_is_not_trusted(mode: int, launcher: Launcher, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with agents.playing(lambda meeting: meeting.answer(b"{}"), folder / "agent.sock") as agent:
        folder.chmod(mode)
        assert launcher.run("ADD", agent=agent).stdout == b"cold"
        folder.chmod(0o755)
        assert launcher.run("ADD", agent=agent).stdout == b"{}"


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_socket_that_others_may_write_to_is_not_trusted(mode: int, launcher: Launcher, play: Play) -> None:
    with play(lambda meeting: meeting.answer(b"{}")) as agent:
        Path(agent).chmod(mode)
        assert launcher.run("ADD", agent=agent).stdout == b"cold"
        Path(agent).chmod(0o600)
        assert launcher.run("ADD", agent=agent).stdout == b"{}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("given", ["directory", "socket", "listener"])
def test_what_belongs_to_another_user_is_not_trusted(given: str, launcher: Launcher, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(folder / "agent.sock"))
    (folder / "agent.sock").chmod(0o600)
    if given == "listener":
        os.seteuid(NOBODY)
    listening.listen()
    os.seteuid(0)
    if given != "listener":
        os.chown(folder if given == "directory" else folder / "agent.sock", NOBODY, NOBODY)

    started = time.monotonic()
    with listening:
        assert launcher.run("ADD", agent=str(folder / "agent.sock")).stdout == b"cold"
        listening.setblocking(False)
        assert time.monotonic() - started < 5
        if given != "listener":
            with pytest.raises(BlockingIOError):
                listening.accept()


NOBODY = 65534


def test_a_link_to_the_socket_is_followed(launcher: Launcher, play: Play, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "agent.sock")
    with play(lambda meeting: meeting.answer(b"{}")):
        assert launcher.run("ADD", agent=str(tmp_path / "link")).stdout == b"{}"


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
        Path(path).chmod(0o600)
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
