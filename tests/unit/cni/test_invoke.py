"""Claims: a delegate is found in CNI_PATH alone and handed exactly what we were handed; what it answers is what we answer. One of
our own build is served in this process and cannot tell. One that is its own delegate is refused at once, and its DEL finishes.

Real programs are run: small shell scripts in a directory of the test. Not covered: a machine without memory files.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cni import invoke
from cni.dispatch import ADVICE
from cni.errors import CniError, RelayedError
from cni.in_process import InProcessPrograms
from cni.program import Program
from cni.request import compose
from cni.types import Address, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.request import Request

    Plugin = Callable[[str], Path]

STDIN = b' {"name":"net",  "cniVersion": "1.0.0", "Ipam":{"type":"probe"}, "x": "\xc3\xa9"}\n'
NEWEST = b'{"name": "net", "cniVersion": "1.1.0"}'
RESULT = '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}]}'
ENVIRON = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "a",
    "CNI_NETNS": "/var/run/netns/absent",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "IgnoreUnknown=1;A=b",
    "TRACEPARENT": "00-1-2-01",
    "LATIN": "\udce9",
}


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """Return a function that installs a shell script as the plugin `probe`."""

    def install(script: str) -> Path:
        program = tmp_path / "probe"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return install


def asked(path: Path | str, log: Callable[[str], object] = lambda _: None, stdin: bytes = STDIN) -> Request:
    return compose({**ENVIRON, "CNI_PATH": str(path)}, stdin, log)


def refused(path: Path | str, verb: str = "ADD") -> CniError:
    with pytest.raises(CniError) as caught:
        invoke.delegate(asked(path), "probe", verb)
    return caught.value


def test_an_answer_to_add_is_parsed(plugin: Plugin, tmp_path: Path) -> None:
    plugin(f"echo '{RESULT}'")
    assert invoke.delegate(asked(tmp_path), "probe", "ADD") == Result(ips=(Address(ip_interface("10.1.0.5/24")),))


def test_an_answer_without_version_has_the_configurations(plugin: Plugin, tmp_path: Path) -> None:
    plugin("""echo '{"ip4": {"ip": "10.1.0.5/24"}, "ips": [{"address": "10.1.0.6/24"}]}'""")
    request = asked(tmp_path, stdin=b'{"name": "net", "cniVersion": "0.2.0"}')
    assert invoke.delegate(request, "probe", "ADD").ips == (Address(ip_interface("10.1.0.5/24")),)


def test_an_answer_of_another_version_is_converted(plugin: Plugin, tmp_path: Path) -> None:
    plugin("""echo '{"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/24"}}'""")
    assert invoke.delegate(asked(tmp_path), "probe", "ADD").ips == (Address(ip_interface("10.1.0.5/24")),)


def test_null_is_an_empty_answer(plugin: Plugin, tmp_path: Path) -> None:
    plugin("echo null")
    assert invoke.delegate(asked(tmp_path), "probe", "ADD") == Result()


@pytest.mark.parametrize("verb", ["DEL", "CHECK", "GC", "STATUS"])
@pytest.mark.parametrize("answer", ["", "not read"])
def test_other_verbs_have_no_answer(plugin: Plugin, tmp_path: Path, verb: str, answer: str) -> None:
    plugin(f"echo '{answer}'")
    assert invoke.delegate(asked(tmp_path), "probe", verb) == Result()


def test_stdin_is_handed_on_byte_for_byte(plugin: Plugin, tmp_path: Path) -> None:
    plugin(f"cat > {tmp_path}/stdin; echo '{RESULT}'")
    invoke.delegate(asked(tmp_path), "probe", "ADD")
    assert (tmp_path / "stdin").read_bytes() == STDIN


def test_only_the_command_differs_in_the_environment(plugin: Plugin, tmp_path: Path) -> None:
    plugin(f"exec /usr/bin/env -0 > {tmp_path}/environ")
    invoke.delegate(asked(tmp_path), "probe", "DEL")
    seen = dict(line.split(b"=", 1) for line in (tmp_path / "environ").read_bytes().split(b"\0") if line)
    expected = {**ENVIRON, "CNI_PATH": str(tmp_path), "CNI_COMMAND": "DEL"}
    assert {key: seen[key] for key in seen if key not in (b"PWD", b"_", b"OLDPWD", b"SHLVL")} == {
        os.fsencode(key): os.fsencode(value) for key, value in expected.items()
    }


def test_stderr_is_forwarded_on_success(plugin: Plugin, tmp_path: Path) -> None:
    plugin("echo busy >&2; echo still >&2")
    lines: list[str] = []
    invoke.delegate(asked(tmp_path, lines.append), "probe", "DEL")
    assert lines == ["busy\nstill"]


def test_stderr_is_forwarded_on_failure(plugin: Plugin, tmp_path: Path) -> None:
    plugin("echo broken >&2; exit 1")
    lines: list[str] = []
    with pytest.raises(CniError):
        invoke.delegate(asked(tmp_path, lines.append), "probe", "DEL")
    assert lines == ["broken"]


@pytest.mark.parametrize(
    "document",
    [
        {"code": 11, "msg": "try again", "details": "the pool is locked"},
        {"code": 11, "msg": "try again", "remedy": "wait"},
        {"cniVersion": "0.4.0", "code": 4711, "msg": 'odd "one"'},
        {"code": 999, "msg": "CNI version 0.2.0 does not support more than 1 address per family"},
        {"Code": 7, "MSG": "x"},
        {"code": 7, "msg": ""},
        {"msg": "without code"},
    ],
)
@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "STATUS", "GC"])
def test_a_refusal_passes_through_untouched(
    plugin: Plugin, tmp_path: Path, document: dict[str, Any], verb: str
) -> None:
    (tmp_path / "error").write_text(json.dumps(document))
    plugin(f"cat {tmp_path}/error; exit 1")
    error = refused(tmp_path, verb)
    told = {key.lower(): value for key, value in document.items()}
    assert (error.code, error.msg) == (told.get("code", 999), told["msg"])
    assert (error.details, error.remedy) == (told.get("details", ""), told.get("remedy", ""))


def test_a_foreign_member_of_our_name_is_no_reason_to_lose_the_error(plugin: Plugin, tmp_path: Path) -> None:
    plugin("""echo '{"code": 11, "msg": "busy", "remedy": {"wait": 5}}'; exit 1""")
    assert (refused(tmp_path).msg, refused(tmp_path).remedy) == ("busy", "")


@pytest.mark.parametrize(
    ("script", "code", "msg", "details"),
    [
        ("exit 3", 5, 'plugin "probe" failed at ADD with exit status 3 and printed no error message', ""),
        ("echo no space >&2; exit 1", 5, "exit status 1 and printed no error message", r'its stderr was "no space\n"'),
        ("kill -9 $$", 5, "with signal 9 and printed no error message", ""),
        ("echo 'panic: nil'; exit 2", 6, "exit status 2 and its error message cannot be understood", r'"panic: nil\n"'),
        ("echo '{}'; exit 1", 6, "its error message cannot be understood", r'"{}\n"'),
        ("echo '[]'; exit 1", 6, "its error message cannot be understood", r'"[]\n"'),
        (
            """echo '{"code": "x", "msg": "y"}'; exit 1""",
            6,
            "cannot be understood",
            r'"{\"code\": \"x\", \"msg\": \"y\"}\n"',
        ),
        (r"printf '\377'; exit 1", 6, "cannot be understood", r'"\\xff"'),
        ("exit 0", 6, 'plugin "probe" answered ADD with something that is no result', 'its stdout was ""'),
        ("echo hello", 6, "something that is no result: error decoding JSON", r'its stdout was "hello\n"'),
        ("echo '[]'", 6, "no result: invalid result: expected a JSON object, got list", r'its stdout was "[]\n"'),
        ("""echo '{"ips": [{}]}'""", 6, 'no result: missing "ips[0].address"', r'its stdout was "{\"ips\": [{}]}\n"'),
        ("""echo '{"cniVersion": "9.0.0"}'""", 6, "unknown CNI version '9.0.0'", r"its stdout was "),
    ],
)
def test_an_answer_nobody_understands_is_shown(
    plugin: Plugin, tmp_path: Path, script: str, code: int, msg: str, details: str
) -> None:
    plugin(script)
    error = refused(tmp_path)
    assert error.code == code
    assert msg in error.msg
    assert error.details.startswith(details)


def test_a_long_answer_is_cut(plugin: Plugin, tmp_path: Path) -> None:
    plugin("head -c 100000 /dev/zero | tr '\\0' x; exit 1")
    assert len(refused(tmp_path).details) < 2 * invoke.QUOTED


def test_a_large_input_and_output_cannot_block_each_other(plugin: Plugin, tmp_path: Path) -> None:
    plugin(
        "head -c 3000000 /dev/zero | tr '\\0' ' '; head -c 3000000 /dev/zero | tr '\\0' e >&2; echo null; cat > /dev/null"
    )
    stdin = STDIN.ljust(3_000_000)
    assert invoke.delegate(asked(tmp_path, stdin=stdin), "probe", "ADD") == Result()


def test_a_grandchild_that_keeps_the_streams_is_not_waited_for(plugin: Plugin, tmp_path: Path) -> None:
    plugin(f"sleep 60 & echo $! > {tmp_path}/pid; echo null")
    assert invoke.delegate(asked(tmp_path), "probe", "ADD") == Result()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_the_delegate_gets_the_default_action_of_broken_pipes(plugin: Plugin, tmp_path: Path) -> None:
    plugin(f"grep SigIgn /proc/self/status > {tmp_path}/ignored")
    invoke.delegate(asked(tmp_path), "probe", "DEL")
    ignored = int((tmp_path / "ignored").read_text().split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


def test_the_delegate_gets_three_streams_and_we_keep_none(plugin: Plugin, tmp_path: Path) -> None:
    plugin(f"ls -l /proc/$$/fd > {tmp_path}/open")
    invoke.delegate(asked(tmp_path), "probe", "DEL")
    assert (tmp_path / "open").read_text().count("/memfd:cni-") == 3
    assert not [link for link in Path("/proc/self/fd").iterdir() if "memfd:cni" in os.path.realpath(link)]


def test_a_name_is_looked_up_in_the_order_of_the_path(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "two/probe").touch()
    (tmp_path / "three/probe").touch()
    path = ":".join(str(tmp_path / name) for name in ("absent", "one", "two", "three"))
    assert invoke.find("probe", path) == f"{tmp_path}/two/probe"


def test_a_directory_of_that_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "one/probe").mkdir(parents=True)
    (tmp_path / "probe").touch()
    assert invoke.find("probe", f"{tmp_path}/one:{tmp_path}") == f"{tmp_path}/probe"


def test_links_are_followed_to_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "multi-call").touch()
    (tmp_path / "probe").symlink_to("multi-call")
    (tmp_path / "dangling").symlink_to("absent")
    assert invoke.find("probe", str(tmp_path)) == f"{tmp_path}/probe"
    with pytest.raises(CniError, match="failed to find plugin"):
        invoke.find("dangling", str(tmp_path))


def test_an_empty_element_of_the_path_is_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "probe").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CniError, match="failed to find plugin"):
        invoke.find("probe", ":/absent:")


def test_the_search_path_of_shells_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    with pytest.raises(CniError, match="failed to find plugin"):
        invoke.find("sh", "/absent")


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("", "/absent", "no plugin name provided"),
        ("../sh", "/bin", 'invalid plugin name: "../sh"'),
        ("/bin/sh", "/bin", 'invalid plugin name: "/bin/sh"'),
        ("a\0b", "/bin", r'invalid plugin name: "a\x00b"'),
        ("..", "/bin", 'failed to find plugin ".." in path [/bin]'),
        (".", "/bin", 'failed to find plugin "." in path [/bin]'),
        ("probe", "", "no paths provided"),
        ("probe", "::", "no paths provided"),
        ("probe", "/absent:/etc/passwd", 'failed to find plugin "probe" in path [/absent /etc/passwd]'),
        ("x" * 300, "/bin", f'failed to find plugin "{"x" * 300}" in path [/bin]'),
    ],
)
def test_what_cannot_be_found_is_told_with_a_remedy(name: str, path: str, message: str) -> None:
    with pytest.raises(CniError) as caught:
        invoke.find(name, path)
    assert (caught.value.code, caught.value.msg) == (7, message)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "mode", "msg", "remedy"),
    [
        ("#!/bin/sh\n", 0o644, "Permission denied", "make it executable"),
        (
            "#!/absent/interpreter\n",
            0o755,
            "No such file or directory",
            "the interpreter named in its first line is missing",
        ),
        ("no program\n", 0o755, "Exec format error", "it is no program for this machine"),
    ],
)
def test_a_program_that_does_not_start_is_told_with_a_remedy(
    tmp_path: Path, content: str, mode: int, msg: str, remedy: str
) -> None:
    (tmp_path / "probe").write_text(content)
    (tmp_path / "probe").chmod(mode)
    error = refused(tmp_path)
    assert (error.code, error.msg) == (5, f"cannot run {tmp_path}/probe: {msg}")
    assert error.remedy.startswith(remedy)


def test_a_program_still_being_written_is_tried_again_and_then_refused(plugin: Plugin) -> None:
    program = plugin("echo null")
    with program.open("a"), pytest.raises(CniError) as caught:
        invoke._run(str(program), {}, b"", waits=(0, 0, 0))
    assert caught.value.msg == f"cannot run {program}: {os.strerror(errno.ETXTBSY)}"
    assert "try again" in caught.value.remedy


def test_a_program_is_started_once_its_writer_is_done(plugin: Plugin) -> None:
    program = plugin("echo null")
    writer = program.open("a")

    def waits() -> Iterator[float]:
        yield 0
        writer.close()
        yield 0

    assert invoke._run(str(program), {}, b"", waits()) == invoke.Outcome(0, b"null\n", "")


def test_a_document_of_its_own_replaces_stdin(plugin: Plugin, tmp_path: Path) -> None:
    plugin(f"cat > {tmp_path}/stdin")
    invoke.delegate(asked(tmp_path), "probe", "DEL", stdin=b"")
    assert (tmp_path / "stdin").read_bytes() == b""


def relation(told: Callable[[Request], Result | None], directory: Path) -> InProcessPrograms:
    """The program `probe` as one of our own build, its file in `directory`."""
    (directory / "probe").write_text("#!/bin/sh\nexit 3\n")
    program = Program("probe", lambda: dict.fromkeys(("ADD", "DEL", "GC", "STATUS"), told))
    return InProcessPrograms({"probe": lambda: program}, [str(directory / "probe")])


def related(told: Callable[[Request], Result | None], directory: Path, said: list[str] | None = None) -> Request:
    log = (said if said is not None else []).append
    return replace(
        asked(directory, log), in_process=relation(told, directory), own_netns="/proc/self/ns/net", program="outer"
    )


def test_a_program_of_ours_is_served_here_and_sees_what_a_child_would(tmp_path: Path) -> None:
    seen: list[Request] = []
    request = related(seen.append, tmp_path)
    assert invoke.delegate(request, "probe", "DEL") == Result()
    (own,) = seen
    assert own.environ == {**request.environ, "CNI_COMMAND": "DEL"}
    assert (own.command, own.stdin, own.own_netns, own.in_process) == (
        *("DEL", STDIN, "/proc/self/ns/net"),
        request.in_process,
    )


def test_a_program_in_process_gets_the_document_its_caller_wrote(tmp_path: Path) -> None:
    seen: list[bytes] = []
    request = related(lambda own: seen.append(own.stdin), tmp_path)
    invoke.delegate(request, "probe", "DEL", stdin=b'{"name": "other"}')
    assert seen == [b'{"name": "other"}']


def test_what_a_program_in_process_answers_is_told_in_the_version_of_its_document(tmp_path: Path) -> None:
    answer = Result(ips=(Address(ip_interface("10.1.0.5/24"), interface=2),))
    document = b'{"name": "net", "cniVersion": "0.2.0"}'
    request = related(lambda _: answer, tmp_path)
    assert invoke.delegate(request, "probe", "ADD") == answer
    assert invoke.delegate(request, "probe", "ADD", stdin=document).ips == (Address(ip_interface("10.1.0.5/24")),)


def relay(own: Request) -> None:
    """Delegate to the program that this is the verb of, as a configuration may have it."""
    invoke.delegate(own, "probe", own.command)


@pytest.mark.parametrize("verb", ["ADD", "STATUS"])
def test_a_program_that_is_its_own_delegate_is_refused_at_once(tmp_path: Path, verb: str) -> None:
    with pytest.raises(RelayedError, match="probe is its own delegate: outer calls probe calls probe") as caught:
        invoke.delegate(related(relay, tmp_path), "probe", verb, stdin=NEWEST)
    assert caught.value.code == 7


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_taking_back_what_a_loop_made_finishes(tmp_path: Path, verb: str) -> None:
    assert invoke.delegate(related(relay, tmp_path), "probe", verb, stdin=NEWEST) == Result()


def test_the_refusal_of_a_program_in_process_is_relayed_with_its_advice(tmp_path: Path) -> None:
    def refuse(_: Request) -> None:
        raise CniError(7, "bad", "correct it")

    with pytest.raises(RelayedError, match="bad") as caught:
        invoke.delegate(related(refuse, tmp_path), "probe", "DEL")
    assert (caught.value.code, caught.value.remedy) == (7, f"correct it; {ADVICE}")


def test_the_bug_of_a_program_in_process_is_999_as_a_childs_would_be(tmp_path: Path) -> None:
    def stumble(_: Request) -> None:
        raise KeyError("lost")

    with pytest.raises(RelayedError, match="'lost'") as caught:
        invoke.delegate(related(stumble, tmp_path), "probe", "DEL")
    assert caught.value.code == 999


def test_what_a_program_in_process_says_is_forwarded_at_its_end(tmp_path: Path) -> None:
    said: list[str] = []

    def talk(own: Request) -> None:
        own.log("busy")
        own.log("still")

    invoke.delegate(related(talk, tmp_path, said), "probe", "DEL")
    assert said == ["busy\nstill"]


def test_a_replaced_file_is_executed(tmp_path: Path, plugin: Plugin) -> None:
    request = related(lambda _: Result(), tmp_path)
    (tmp_path / "probe").unlink()
    plugin(f"echo '{RESULT}'")
    assert invoke.delegate(request, "probe", "ADD").ips
