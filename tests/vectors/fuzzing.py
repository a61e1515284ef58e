"""Makes damaged requests for the programs, and judges the answers: what every program owes every caller.

Whatever stdin and environment hold, the answer is exit 1 with one JSON error, never of code 999, or exit 0 with one result
(nothing, for verbs without one), and a refused ADD leaves nothing that names an attachment. Keep the places where programs
put things inside the directory (`confined`). Must not know where a request is served.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from cni import skel
from cni.program import Program
from tests.vectors.reading import Answer

IPAM: dict[str, dict[str, Any]] = {
    "host-local": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.5"}], [{"subnet": "fd00::/64"}]],
        "exclude": ["10.1.0.9"],
        "routes": [{"dst": "0.0.0.0/0"}],
        "resolvConf": "",
        "dataDir": "$DIR/book",
    },
    "static": {"type": "static", "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}], "dns": {}},
    "bridge": {"type": "absent", "subnet": "10.1.0.0/24"},
    "loopback": {},
}
KEYS = [
    "cniVersion", "name", "NAME", "type", "ipam", "Ipam", "ranges", "subnet", "rangeStart", "gateway", "routes", "dst", "dataDir",
    "resolvConf", "exclude", "reclaim", "addresses", "address", "dns", "args", "cni", "ips", "mac", "runtimeConfig", "ipRanges",
    "prevResult", "interfaces", "bridge", "mtu", "subnetFile", "cni.dev/valid-attachments", "cni.dev/attachments", "containerID",
    "ifname", "disableCheck",
]  # fmt: skip
WORDS = [
    "", "x", "net", "0.1.0", "0.4.0", "1.0.0", "1.1.0", "9", "10.1.0.0/24", "10.1.0.7", "fd00::/64", "::ffff:1.2.3.4", "0.0.0.0/0",
    "a\0b", "../x", "\ud800", "\u2028", "eth0", "c0ffee", "$DIR/book", "$DIR/absent", "$DIR", "/dev/null", "/proc/self/mem",
    "host-local", "02:00:00:00:00:01", "10.1.0.0/0", "::/0",
]  # fmt: skip
SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 2**31, 2**64, 1.5, *WORDS]) | st.text(max_size=8).filter(
    lambda text: not text.startswith("/")
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
ENVIRON = {
    "CNI_COMMAND": st.sampled_from(["ADD", "ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "add", "", "\udcff"]),
    "CNI_CONTAINERID": st.sampled_from(["c0ffee", "other", "", "a/b", "a\n", "x" * 5000, "\udcff"]),
    "CNI_NETNS": st.sampled_from(["$DIR/absent", "$DIR", "", "\0", "/dev/null", "x" * 5000]),
    "CNI_IFNAME": st.sampled_from(["eth0", "eth1", "", "..", "x" * 16, "a:b", "\udcff"]),
    "CNI_PATH": st.sampled_from(["$DIR", "", ":", "/dev/null:/", "\0"]),
    "CNI_ARGS": st.sampled_from(
        ["", "IP=10.1.0.7", "IgnoreUnknown=1;K=v", "IP=;", ";", "=", "IP=\udcff", "MAC=x", "GATEWAY=x"]
    ),
    "CNI_NETNS_OVERRIDE": st.sampled_from(["", "1", "TRUE", "x"]),
}


@st.composite
def documents(draw: st.DrawFn, program: Program) -> Any:
    """Draw a good configuration of `program` with some values changed, or something else altogether."""
    document: dict[str, Any] = {
        "cniVersion": draw(st.sampled_from(["1.1.0", "1.1.0", "1.0.0", "0.4.0", "0.1.0"])),
        "name": "net",
        "type": program.name,
        "ipam": dict(IPAM[program.name]),
    }
    for target in (document, document["ipam"]):
        target.update(draw(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2)))
    return draw(st.sampled_from([document] * 9 + [None])) or draw(VALUES)


@st.composite
def requests(draw: st.DrawFn, program: Program) -> tuple[dict[str, str], bytes]:
    """Draw an environment and the bytes of stdin, sometimes cut or with bytes changed."""
    environ = {name: draw(values) for name, values in ENVIRON.items()} if draw(st.booleans()) else _good_environ(draw)
    text = json.dumps(draw(documents(program))).encode()
    if draw(st.integers(0, 9)) == 0:
        at, junk = draw(st.integers(0, len(text))), draw(st.binary(max_size=4))
        text = text[:at] + junk + text[at + draw(st.integers(0, 9)) :]
    return environ, text


def _good_environ(draw: st.DrawFn) -> dict[str, str]:
    good = {"CNI_CONTAINERID": "c0ffee", "CNI_NETNS": "$DIR/absent", "CNI_IFNAME": "eth0", "CNI_PATH": "$DIR"}
    return {"CNI_COMMAND": draw(st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS"])), **good}


def serve(program: Program, environ: dict[str, str], stdin: bytes, directory: Path) -> Answer:
    placed = {name: value.replace("$DIR", str(directory)) for name, value in environ.items()}
    stdout, stderr = io.StringIO(), io.StringIO()
    data = stdin.replace(b"$DIR", str(directory).encode())
    status = skel.run(program, environ=placed, stdin=io.BytesIO(data), stdout=stdout, stderr=stderr)
    return Answer(status, stdout.getvalue(), stderr.getvalue())


def judge(told: Answer, environ: dict[str, str], directory: Path) -> None:
    verb = environ["CNI_COMMAND"]
    if told.status:
        document = json.loads(told.stdout)
        assert {"cniVersion", "code", "msg"} <= set(document)
        assert document["code"] != 999
        assert verb != "ADD" or not reservations(directory)
    elif verb in ("ADD", "VERSION"):
        assert isinstance(json.loads(told.stdout), dict)
    else:
        assert told.stdout == ""


def reservations(directory: Path) -> list[str]:
    """Return what names an attachment: not the lock, nor the cursors, which name none."""
    found = [path.name for path in directory.rglob("*") if path.is_file()]
    return [name for name in found if name != "lock" and not name.startswith("last_reserved_ip.")]


def confined(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Keep reservations that name no directory of their own out of the host's."""
    monkeypatch.setattr("ipam.location.NETWORKS", str(directory / "networks"))
    monkeypatch.setattr("ipam.location.BOOKS", str(directory / "books"))
