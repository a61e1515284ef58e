"""Claims: VERSION costs nothing and reads nothing; one document goes to stdout; an ADD that cannot be told is undone; a process starts, answers and ends alone.

The way of a request through the gates is tested in test_dispatch, bad input in bulk in test_malformed.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cni.errors import CniError
from cni.program import Program
from cni.release import version
from cni.request import Request
from cni.skel import run
from cni.types import Interface, Result
from cni.versions import SUPPORTED

ROOT = Path(__file__).parents[3]

SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from cni.program import Program
from cni.skel import main
def verbs():
    from cni.types import Interface, Result
    return {{"ADD": lambda request: Result((Interface(request.ifname),)), "DEL": lambda request: request.log("gone")}}
main(Program("probe", verbs, about="probe: answers"))
"""

ADD = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "a", "CNI_NETNS": "/absent", "CNI_IFNAME": "eth0", "CNI_PATH": "/p"}
CONFIG = b'{"name": "net", "cniVersion": "1.0.0"}'


class Unreadable(io.RawIOBase):
    """A stdin that must not be touched."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise OSError("stdin was read")


class Gone(io.StringIO):
    """A stream whose reader went away."""

    def write(self, _: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def verbs_must_not_load() -> Mapping[str, object]:
    raise AssertionError("the verbs were loaded")


def started(
    environ: Mapping[str, str], stdin: bytes = CONFIG, script: str = SCRIPT
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-I", "-c", script]
    return subprocess.run(command, env=environ, input=stdin, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("supported", [SUPPORTED, ("0.4.0", "1.0.0")])
def test_version_lists_what_the_program_speaks(supported: tuple[str, ...]) -> None:
    stdout = io.StringIO()
    program = Program("probe", verbs_must_not_load, versions=supported)  # type: ignore[arg-type]
    status = run(program, environ={"CNI_COMMAND": "VERSION"}, stdin=Unreadable(), stdout=stdout, stderr=io.StringIO())
    assert status == 0
    assert json.loads(stdout.getvalue()) == {"cniVersion": "1.1.0", "supportedVersions": list(supported)}
    assert stdout.getvalue().endswith("\n")


def test_version_works_with_the_dummy_values_of_a_probing_runtime() -> None:
    environ = {"CNI_COMMAND": "VERSION", "CNI_NETNS": "dummy", "CNI_IFNAME": "dummy", "CNI_PATH": "dummy"}
    assert started(environ, b'{"cniVersion": "0.3.0"}').returncode == 0


def test_version_imports_neither_json_nor_dataclasses_nor_enum() -> None:
    script = SCRIPT.replace(
        "main(P", "import os, sys; os._exit = lambda _: print(*sys.modules, file=sys.stderr); main(P"
    )
    loaded = set(started({"CNI_COMMAND": "VERSION"}, script=script).stderr.decode().split())
    assert "cni.skel" in loaded
    assert loaded.isdisjoint(
        {"json", "dataclasses", "enum", "typing", "re", "ipaddress", "subprocess", "cni.dispatch", "cni.types"}
    )


@pytest.mark.parametrize("variable", [{}, {"CNI_COMMAND": ""}])
def test_without_a_command_the_program_tells_about_itself(variable: dict[str, str]) -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    program = Program("probe", verbs_must_not_load, versions=("0.4.0", "1.0.0"), about="probe: answers")  # type: ignore[arg-type]
    status = run(program, environ=variable, stdin=Unreadable(), stdout=stdout, stderr=stderr)
    assert (status, stdout.getvalue()) == (0, "")
    assert (
        stderr.getvalue()
        == f"CNI probe plugin v{version()}\nCNI protocol versions supported: 0.4.0, 1.0.0\nprobe: answers\n"
    )


def test_without_a_command_and_anything_to_tell_it_is_missing() -> None:
    stdout = io.StringIO()
    program = Program("probe", verbs_must_not_load)  # type: ignore[arg-type]
    assert run(program, environ={}, stdin=Unreadable(), stdout=stdout, stderr=io.StringIO()) == 1
    assert json.loads(stdout.getvalue())["msg"] == "required env variables [CNI_COMMAND] missing"


@pytest.mark.parametrize("command", ["VERSION", "ADD", "FROB"])
def test_a_vanished_reader_is_a_failure_without_a_traceback(command: str) -> None:
    stderr = io.StringIO()
    program = Program("probe", lambda: {"ADD": lambda _: Result()})
    status = run(
        program, environ={**ADD, "CNI_COMMAND": command}, stdin=io.BytesIO(CONFIG), stdout=Gone(), stderr=stderr
    )
    assert status == 1
    assert 'cannot deliver the answer: [Errno 32] Broken pipe: {"cniVersion": "1.' in stderr.getvalue()
    assert "Traceback" not in stderr.getvalue()


@pytest.mark.parametrize(
    ("verb", "refuses", "served"),
    [
        ("ADD", "", ["ADD", "DEL"]),
        ("ADD", "ADD", ["ADD"]),
        ("ADD", "DEL", ["ADD", "DEL"]),
        ("CHECK", "CHECK", ["CHECK"]),
        ("DEL", "DEL", ["DEL"]),
    ],
)
def test_an_add_that_cannot_be_told_is_undone(verb: str, refuses: str, served: list[str]) -> None:
    seen: list[str] = []
    configurations: set[bytes] = set()

    def act(request: Request) -> Result:
        seen.append(request.command)
        configurations.add(request.stdin)
        if request.command == refuses:
            raise CniError(11, "busy")
        return Result((Interface("eth0"),))

    stderr = io.StringIO()
    program = Program("probe", lambda: dict.fromkeys(("ADD", "CHECK", "DEL"), act))
    status = run(program, environ={**ADD, "CNI_COMMAND": verb}, stdin=io.BytesIO(CONFIG), stdout=Gone(), stderr=stderr)

    assert (status, seen, configurations) == (1, served, {CONFIG})
    told = {"": "the ADD was undone", "DEL": '"msg": "busy"'}.get(refuses if len(served) > 1 else "-", "")
    assert told in stderr.getvalue()


def test_a_full_stdout_is_told_with_the_answer_and_leaves_nothing(tmp_path: Path) -> None:
    script = SCRIPT.replace('request.log("gone")', f'open("{tmp_path}/undone", "w")')
    with Path("/dev/full").open("w") as stdout:
        process = subprocess.run(
            [sys.executable, "-I", "-c", script],
            env=ADD,
            input=CONFIG,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert process.returncode == 1
    assert b"No space left on device: {" in process.stderr
    assert (tmp_path / "undone").exists()


def test_nobody_reading_the_log_is_no_reason_to_stop() -> None:
    def talkative(request: Request) -> Result:
        request.log("busy")
        return Result((Interface("eth0"),))

    stdout = io.StringIO()
    status = run(
        Program("probe", lambda: {"ADD": talkative}),
        environ=ADD,
        stdin=io.BytesIO(CONFIG),
        stdout=stdout,
        stderr=Gone(),
    )
    assert status == 0
    assert json.loads(stdout.getvalue())["interfaces"] == [{"name": "eth0"}]


def test_running_touches_nothing_global() -> None:
    before = (dict(os.environ), Path.cwd(), sys.stdout, sys.getrecursionlimit())
    run(Program("probe", dict), environ=ADD, stdin=io.BytesIO(CONFIG), stdout=io.StringIO(), stderr=io.StringIO())
    assert (dict(os.environ), Path.cwd(), sys.stdout, sys.getrecursionlimit()) == before


def test_a_process_with_nothing_but_cni_variables_answers() -> None:
    process = started(ADD)
    assert (process.returncode, process.stderr) == (0, b"")
    assert json.loads(process.stdout) == {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}]}


def test_a_process_with_an_empty_environment_tells_about_itself() -> None:
    process = started({})
    assert (process.returncode, process.stdout) == (0, b"")
    first, second, third = process.stderr.decode().splitlines()
    assert (first, third) == (f"CNI probe plugin v{version()}", "probe: answers")
    assert second.startswith("CNI protocol versions supported: 0.1.0, ")


def test_a_process_refuses_bytes_that_are_no_text() -> None:
    process = started(ADD, b'\xff\xfe{"name": "net"}')
    assert process.returncode == 1
    assert json.loads(process.stdout)["code"] == 6


def test_a_process_prints_ascii_whatever_the_locale() -> None:
    process = started({**ADD, "CNI_IFNAME": "é", "LC_ALL": "C", "PYTHONIOENCODING": "utf-16"})
    assert process.returncode == 0
    assert json.loads(process.stdout.decode("ascii"))["interfaces"] == [{"name": "é"}]


def test_a_variable_that_is_no_text_is_printed_as_ascii_too() -> None:
    command = [sys.executable, "-I", "-c", SCRIPT]
    environ = {**{key.encode(): value.encode() for key, value in ADD.items()}, b"CNI_CONTAINERID": b"a\xff"}
    process = subprocess.run(command, env=environ, input=CONFIG, capture_output=True, check=False, timeout=60)
    assert json.loads(process.stdout.decode("ascii"))["msg"] == "invalid characters in containerID"


def test_what_a_verb_logs_goes_to_stderr() -> None:
    process = started({**ADD, "CNI_COMMAND": "DEL"})
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"gone\n")


def test_a_process_whose_reader_is_gone_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        command = [sys.executable, "-I", "-c", SCRIPT]
        process = subprocess.run(
            command, env={"CNI_COMMAND": "VERSION"}, stdout=stdout, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert process.returncode == 1
    assert process.stderr.startswith(b"cannot deliver the answer: [Errno 32] Broken pipe: {")
    assert process.stderr.count(b"\n") == 1


def with_closed(closed: tuple[int, ...], script: str) -> str:
    """Return a script that runs `script` with the descriptors `closed` closed."""
    return f"import os, sys; [os.close(n) for n in {closed}]; os.execv(sys.executable, [sys.executable, '-I', '-c', {script!r}])"


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2)])
def test_no_file_a_verb_opens_becomes_stdout(closed: tuple[int, ...], tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    opening = f"(open({str(lock)!r}, 'w').write('locked'), Result())[1]"
    process = started(ADD, script=with_closed(closed, SCRIPT.replace("Result((Interface(request.ifname),))", opening)))
    assert (process.returncode, process.stderr) == (0, b"")
    assert lock.read_text() == "locked"


@pytest.mark.parametrize("closed", [(0,), (0, 1), (0, 1, 2)])
def test_a_closed_stdin_is_an_empty_one(closed: tuple[int, ...]) -> None:
    process = started(ADD, script=with_closed(closed, SCRIPT))
    assert (process.returncode, process.stderr) == (1, b"")
    assert 1 in closed or json.loads(process.stdout)["code"] == 6
