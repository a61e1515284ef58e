"""Claims about serving a request in process:

- the program reads the caller's stdin and writes to the caller's stderr; stdout comes back
- it runs in the caller's working directory and with its umask, and the process is home again, also after a failure
- what nobody waits for any more is not begun
- a document is sealed against everybody
"""

import os
from collections.abc import Iterator
from fcntl import F_GET_SEALS, fcntl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import serving
from agent.home import UMASK
from agent.protocol import Descriptors
from agent.serving import Wanted
from cni.errors import CniError
from cni.program import Program
from cni.request import Request
from cni.siblings import Siblings

if TYPE_CHECKING:
    from cni.program import Verbs

NOBODY = Siblings({}, ())
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
    files = [
        os.open(tmp_path / "stderr", os.O_RDWR | os.O_CREAT),
        os.open("/proc/self/ns/net", os.O_RDONLY),
        os.open(tmp_path, os.O_PATH),
    ]
    stderr, net, cwd = files
    sent = Descriptors(-1, -1, -1, stderr, net, -1, -1, -1, -1, cwd)
    before, umask = Path.cwd(), os.umask(UMASK)
    stdin = b'{"cniVersion": "1.0.0", "name": "net"}'
    yield Wanted(Program("witness", _verbs), ENVIRON, stdin, sent, 0o077)
    os.umask(umask)
    os.chdir(before)
    for file in files:
        os.close(file)


def test_what_nobody_waits_for_is_not_begun(wanted: Wanted, tmp_path: Path) -> None:
    status, printed = serving.serve(wanted, NOBODY, lambda: False)

    assert (status, b"the caller is gone" in printed) == (1, True)
    assert (tmp_path / "stderr").read_text() == ""


def test_a_request_is_served_over_the_callers_descriptors(wanted: Wanted, tmp_path: Path) -> None:
    status, printed = serving.serve(wanted, NOBODY, lambda: True)

    assert (status, printed) == (1, b'{"cniVersion": "1.0.0", "code": 7, "msg": "refused", "details": "' + _ADVICE)
    assert (tmp_path / "stderr").read_text() == f"{tmp_path} 77 net\n"


_ADVICE = b'`tulle lint FILE` lists every mistake of a configuration"}'


def test_the_process_is_home_again(wanted: Wanted) -> None:
    serving.serve(wanted, NOBODY, lambda: True)

    assert Path.cwd() == Path("/")
    assert os.umask(UMASK) == UMASK


def test_a_document_is_sealed() -> None:
    file = serving.sealed("document", b"words")
    try:
        assert fcntl(file, F_GET_SEALS) == serving.SEALS
        assert os.read(file, 10) == b"words"
        with pytest.raises(PermissionError):
            os.write(file, b"more")
    finally:
        os.close(file)
