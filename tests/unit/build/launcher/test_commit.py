"""Claims about the commit point, whatever the agent does:

- an answer is printed whole, with its exit status, whether `taken` was said before it or not
- a refusal, silence, junk or the end before the token was taken: the cold program serves it, once
- an agent that answers after its request was withdrawn finds the token gone
- after `taken` there is no deadline; the end or junk then means that the worker died
- who took the token and does not say so is not waited for either, and does not begin: nobody hears it
- what the agent has to say on stderr is written there, and what it asks to have repeated is repeated
- a lost ADD is undone by its own DEL and ends in code 11, with the DEL's failure told; a lost other verb is run cold
- an ADD whose result cannot be delivered is undone by its own DEL
- a worker that reads on after it lost cannot shorten what the cold program reads
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import agents, waiting
from tests.lab.agents import Meeting
from tests.lab.launchers import CONFIG, Launcher, digest
from tests.unit.build.launcher.conftest import Play

Part = Callable[[Meeting], None]


def with_descriptors(words: bytes, *paths: str) -> Part:
    def part(meeting: Meeting) -> None:
        opened = [os.open(path, os.O_RDONLY) for path in paths]
        meeting.say(words, *opened)
        for descriptor in opened:
            os.close(descriptor)

    return part


def words(*each: bytes) -> Part:
    def part(meeting: Meeting) -> None:
        for word in each:
            meeting.say(word)

    return part


def dies(meeting: Meeting) -> None:
    """Play a worker that dies in the middle of a request."""
    assert meeting.take()
    meeting.say(b"T")


FILE = "/proc/self/mountinfo"
JUNK: dict[str, Part] = {
    "ends": words(),
    "empty": words(b""),
    "unknown kind": words(b"X"),
    "long": words(b"X" * 60_000),
    "taken with a tail": words(b"T!"),
    "answer without a status": words(b"A"),
    "answer without a status, a file": with_descriptors(b"A", FILE),
    "answer that is too long": words(b"A\0" + b"x" * (agents.INLINE + 1)),
    "answer inside and a file": with_descriptors(b"A\0!", FILE),
    "answer with a directory": with_descriptors(b"A\0", "/"),
    "answer with two files": with_descriptors(b"A\0", FILE, FILE),
    "answer with many files": with_descriptors(b"A\0", *[FILE] * 50),
    "lines with a file": with_descriptors(b"E\0line\n", FILE),
    "lines of another kind": words(b"E!line\n"),
    "nothing to repeat": words(b"P"),
    "junk with files": with_descriptors(b"?" * 9, FILE, FILE),
}


@pytest.mark.parametrize(
    ("document", "status"),
    [(b"", 0), (b"{}", 1), (b"x" * agents.INLINE, 0), (b"x" * (agents.INLINE + 1), 3), (b"x" * 300_000, 255)],
    ids=["none", "short", "as long as a datagram takes", "one more", "long"],
)
def test_an_answer_is_printed_whole(document: bytes, status: int, launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        meeting.say(b"T")
        meeting.answer(document, status)

    with play(part) as agent:
        outcome = launcher.run("ADD", agent=agent)

    assert (outcome.status, outcome.stdout, outcome.stderr, outcome.cold) == (status, document, "", [])


@pytest.mark.parametrize("reason", [b"D", b"D" + "another build, größer".encode(), b"D" * 5000], ids=len)
def test_a_refused_request_is_served_cold_without_a_word(reason: bytes, launcher: Launcher, play: Play) -> None:
    with play(words(reason)) as agent:
        outcome = launcher.run("ADD", agent=agent)

    assert (outcome.stdout, outcome.stderr) == (b"cold", "")
    assert [noted["verb"] for noted in outcome.cold] == ["ADD"]


@pytest.mark.parametrize("part", JUNK.values(), ids=JUNK)
def test_junk_before_the_token_is_taken_is_served_cold(part: Part, launcher: Launcher, play: Play) -> None:
    with play(part) as agent:
        outcome = launcher.run("ADD", agent=agent)

    assert outcome.stdout == b"cold"
    assert [(noted["verb"], noted["stdin"]) for noted in outcome.cold] == [("ADD", digest(CONFIG))]


@pytest.mark.parametrize("part", JUNK.values(), ids=JUNK)
def test_junk_after_the_token_was_taken_undoes_an_add(part: Part, launcher: Launcher, play: Play) -> None:
    def after(meeting: Meeting) -> None:
        assert meeting.take()
        meeting.say(b"T")
        part(meeting)

    with play(after) as agent:
        outcome = launcher.run("ADD", agent=agent)

    assert outcome.refusal == {
        "cniVersion": "1.1.0",
        "code": 11,
        "msg": "the worker that served this ADD died",
        "remedy": "what it had made was removed again by a DEL: try again",
    }
    assert outcome.status == 1
    assert [(noted["verb"], noted["stdin"]) for noted in outcome.cold] == [("DEL", digest(CONFIG))]


@pytest.mark.parametrize("length", [2, 60_000])
@pytest.mark.parametrize(("verb", "status", "undone"), [("ADD", 0, ["DEL"]), ("ADD", 1, []), ("DEL", 0, [])])
def test_an_add_that_cannot_be_told_is_undone(
    launcher: Launcher, play: Play, length: int, verb: str, status: int, undone: list[str]
) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        meeting.answer(b"x" * length, status)

    with play(part) as agent, Path("/dev/full").open("wb") as full:
        outcome = launcher.finish(launcher.start(launcher.environ(verb, TULLE_AGENT=agent), stdout=full), CONFIG)

    assert outcome.status == 1
    assert outcome.stderr.startswith("cannot deliver the answer: No space left on device\n")
    assert ("tulle: the ADD was undone\n" in outcome.stderr) is bool(undone)
    assert [noted["verb"] for noted in outcome.cold] == undone


def test_silence_is_not_waited_for(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        meeting.wait_for_farewell()
        assert not meeting.take()

    with play(part) as agent:
        started = time.monotonic()
        outcome = launcher.run("ADD", agent=agent)

    assert outcome.stdout == b"cold"
    assert time.monotonic() - started >= 0.2


def test_a_worker_that_said_taken_is_waited_for(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        meeting.say(b"T")
        waiting.until(lambda: time.monotonic() > taken + 0.4, "twice the launcher's patience is over")
        meeting.answer(b"late")

    taken = time.monotonic()
    with play(part) as agent:
        outcome = launcher.run("ADD", agent=agent)

    assert (outcome.stdout, outcome.cold) == (b"late", [])


@pytest.mark.parametrize("frozen", [False, True], ids=["died", "frozen"])
def test_who_took_the_token_and_did_not_say_so_has_begun_nothing(frozen: bool, launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        if frozen:
            meeting.wait_for_farewell()
            with pytest.raises(BrokenPipeError):
                meeting.say(b"T")

    with play(part) as agent:
        outcome = launcher.run("ADD", agent=agent)

    assert outcome.stdout == b"cold"
    assert [noted["verb"] for noted in outcome.cold] == ["ADD"]


def test_lines_go_to_stderr_in_their_order(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        meeting.say(b"E\0first\n")
        meeting.say(b"T")
        for line in (b"second\n", b"x" * (agents.INLINE - 1) + b"\n"):
            meeting.say(b"E\0" + line)
        meeting.answer(b"{}")

    with play(part) as agent:
        outcome = launcher.run("ADD", agent=agent)

    assert (outcome.stdout, outcome.cold) == (b"{}", [])
    assert outcome.stderr == "first\nsecond\n" + "x" * (agents.INLINE - 1) + "\n"


def test_what_it_is_asked_to_repeat_it_repeats(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        for asked in (b"P\0" + bytes(range(16)), b"P\0" + b"x" * agents.INLINE):
            meeting.say(asked)
            assert meeting.connection.recv(2 * agents.INLINE) == asked
        meeting.say(b"D")

    with play(part) as agent:
        assert launcher.run("ADD", agent=agent).stdout == b"cold"


@pytest.mark.parametrize("verb", ["DEL", "CHECK", "STATUS", "GC", "add"])
def test_a_lost_request_that_is_no_add_is_served_cold(verb: str, launcher: Launcher, play: Play) -> None:
    with play(dies) as agent:
        outcome = launcher.run(verb, agent=agent, EXIT="3")

    assert (outcome.status, outcome.stdout) == (3, b"cold")
    assert "the cold program serves it again" in outcome.stderr
    assert [(noted["verb"], noted["stdin"]) for noted in outcome.cold] == [(verb, digest(CONFIG))]


def test_the_undoing_del_gets_what_the_add_got(launcher: Launcher, play: Play) -> None:
    with play(dies) as agent:
        environ = {"CNI_IFNAME": "eth0", **launcher.environ("ADD", TULLE_AGENT=agent, CNI_ARGS="A=1")}
        [cold] = launcher.finish(launcher.start(environ), CONFIG).cold

    assert cold["environ"] == [f"{name}={value}" for name, value in {**environ, "CNI_COMMAND": "DEL"}.items()]
    assert (cold["argv"], cold["descriptors"]) == ([str(launcher.bridge)], [0, 1, 2])


@pytest.mark.parametrize("trouble", ["fails", "does not start"])
def test_an_undo_that_fails_is_told(trouble: str, launcher: Launcher, play: Play) -> None:
    if trouble == "does not start":
        launcher.cold.unlink()
    with play(dies) as agent:
        outcome = launcher.run("ADD", agent=agent, EXIT="1")

    assert outcome.refusal["code"] == 11
    assert "run DEL, then try again" in str(outcome.refusal["remedy"])


def test_a_caller_that_ignores_its_children_learns_of_the_undo(launcher: Launcher, play: Play) -> None:
    command = ["/usr/bin/python3", "-ISc", IGNORING, str(launcher.bridge)]
    with play(dies) as agent:
        process = launcher.start(launcher.environ("ADD", TULLE_AGENT=agent), command=command)
        outcome = launcher.finish(process, CONFIG)

    assert outcome.refusal["remedy"] == "what it had made was removed again by a DEL: try again"


IGNORING = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"


def test_a_worker_that_lost_cannot_shorten_the_configuration(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        os.lseek(meeting.descriptors["stdin"], 0, os.SEEK_END)
        meeting.say(b"D")

    large = CONFIG + b" " * agents.INLINE
    with play(part) as agent:
        [cold] = launcher.run("ADD", large, agent=agent).cold

    assert cold["stdin"] == digest(large)


@pytest.mark.parametrize("size", [0, agents.INLINE - 1, agents.INLINE, agents.INLINE + 1], ids=str)
@pytest.mark.parametrize("word", [b"D", b""], ids=["declined", "lost"])
def test_what_was_sent_is_what_the_cold_program_gets(size: int, word: bytes, launcher: Launcher, play: Play) -> None:
    config = os.urandom(size)

    def part(meeting: Meeting) -> None:
        assert meeting.stdin == config
        if not word:
            dies(meeting)
        meeting.say(word)

    with play(part) as agent:
        [cold] = launcher.run("DEL", config, agent=agent).cold

    assert (cold["size"], cold["stdin"]) == (size, digest(config))


def test_a_launcher_that_was_stopped_goes_on_waiting(launcher: Launcher, play: Play) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        meeting.say(b"T")
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        os.kill(process.pid, signal.SIGCONT)
        meeting.answer(b"{}")

    with play(part) as agent:
        process = launcher.start(launcher.environ("ADD", TULLE_AGENT=agent))
        outcome = launcher.finish(process, CONFIG)

    assert outcome.stdout == b"{}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runtimes_timeout_ends_it_and_the_worker_learns(
    number: signal.Signals, launcher: Launcher, play: Play
) -> None:
    def part(meeting: Meeting) -> None:
        assert meeting.take()
        meeting.say(b"T")
        os.kill(process.pid, number)
        meeting.wait_for_farewell()

    with play(part) as agent:
        process = launcher.start(launcher.environ("ADD", TULLE_AGENT=agent))
        outcome = launcher.finish(process, CONFIG)

    assert (outcome.status, outcome.stdout, outcome.cold) == (-number, b"", [])
