"""Claims about serving a request in process:

- the program reads the caller's stdin; what it writes to stderr is told at once, stdout comes back
- it runs in the caller's working directory and with its umask, and the process is home again, also after a failure
- the answer is given before the process goes home: its caller waits
- a stderr that nobody reads, or that nothing is written to, is no trouble
- what nobody waits for any more is not begun
- a document is sealed against everybody
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from fcntl import F_GET_SEALS, fcntl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import serving
from agent.pristine import UMASK
from agent.serving import Wanted
from cni.dispatch import ADVICE
from cni.errors import CniError
from cni.in_process import InProcessPrograms
from cni.program import Program
from cni.request import Request

if TYPE_CHECKING:
    from cni.program import Verbs

NOBODY = InProcessPrograms({}, ())
ENVIRON = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/x", "CNI_IFNAME": "eth0", "CNI_PATH": "/x"}


def witness(request: Request) -> None:
    umask = os.umask(0)
    os.umask(umask)
    request.log(f"{Path.cwd()} {umask:o} {request.name}")
    raise CniError(7, "refused")


def _verbs() -> "Verbs":
    return {"ADD": witness}


@pytest.fixture
def wanted(tmp_path: Path) -> Iterator[Wanted]:
    cwd = os.open(tmp_path, os.O_PATH)

    def tell(lines: bytes) -> None:
        with (tmp_path / "stderr").open("ab") as file:
            file.write(lines)

    before, umask = Path.cwd(), os.umask(UMASK)
    stdin = b'{"cniVersion": "1.0.0", "name": "net"}'
    yield Wanted(Program("witness", _verbs), ENVIRON, stdin, None, cwd, tell, 0o077)
    os.umask(umask)
    os.chdir(before)
    os.close(cwd)


def served(wanted: Wanted, *, is_wanted: bool = True) -> tuple[int, bytes]:
    answers: list[tuple[int, bytes]] = []
    serving.serve(wanted, NOBODY, lambda: is_wanted, lambda *answer: answers.append(answer))
    [answer] = answers
    return answer


def test_what_nobody_waits_for_is_not_begun(wanted: Wanted, tmp_path: Path) -> None:
    status, printed = served(wanted, is_wanted=False)

    assert (status, b"the caller is gone" in printed) == (1, True)
    assert not (tmp_path / "stderr").exists()


def test_a_request_is_served_where_the_caller_stands(wanted: Wanted, tmp_path: Path) -> None:
    status, printed = served(wanted)

    assert (status, printed) == (1, b'{"cniVersion": "1.0.0", "code": 7, "msg": "refused", "remedy": "' + _ADVICE)
    said = f"witness: refused: {ADVICE}"
    assert (tmp_path / "stderr").read_text() == f"{tmp_path} 77 net\n{said}\n"


def test_a_stderr_that_cannot_be_written_is_no_trouble(wanted: Wanted) -> None:
    def refuse(_: bytes) -> None:
        raise BrokenPipeError

    assert served(replace(wanted, tell=refuse))[1].endswith(_ADVICE)


_ADVICE = f'{ADVICE}"'.encode() + b"}"


def test_the_process_is_home_again(wanted: Wanted) -> None:
    served(wanted)

    assert Path.cwd() == Path("/")
    assert os.umask(UMASK) == UMASK


def test_the_answer_comes_before_going_home(wanted: Wanted, tmp_path: Path) -> None:
    seen: list[Path] = []
    serving.serve(wanted, NOBODY, lambda: True, lambda *_: seen.append(Path.cwd()))

    assert seen == [tmp_path]


def test_the_process_is_home_again_when_the_answer_cannot_be_given(wanted: Wanted) -> None:
    def broken(*_: object) -> None:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        serving.serve(wanted, NOBODY, lambda: True, broken)

    assert Path.cwd() == Path("/")


def test_a_document_is_sealed() -> None:
    file = serving.sealed("document", b"words")
    try:
        assert fcntl(file, F_GET_SEALS) == serving.SEALS
        assert os.read(file, 10) == b"words"
        with pytest.raises(PermissionError):
            os.write(file, b"more")
    finally:
        os.close(file)
