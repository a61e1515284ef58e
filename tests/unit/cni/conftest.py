"""What the tests of this package share: one call of a program over streams in memory."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from cni import skel
from cni.program import Program

BASE: Mapping[str, str] = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c0ffee",
    "CNI_NETNS": "/var/run/netns/absent",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
}


@dataclass(frozen=True)
class Served:
    """What one call left behind."""

    status: int
    stdout: str
    stderr: str


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Serve:
    """Return a function that calls `program` once; keywords replace variables of a complete ADD environment, None removes one."""

    def call(program: Program, stdin: bytes = b"", own_netns: str = skel.OWN_NETNS, **changes: str | None) -> Served:
        environ = {name: value for name, value in {**BASE, **changes}.items() if value is not None}
        stdout, stderr = io.StringIO(), io.StringIO()
        status = skel.run(
            program, environ=environ, stdin=io.BytesIO(stdin), stdout=stdout, stderr=stderr, own_netns=own_netns
        )
        return Served(status, stdout.getvalue(), stderr.getvalue())

    return call
