"""Claims: whatever a caller sends, the answer is one JSON error document with exit 1, or one result with exit 0.

Every stdin below meets every environment below (more than 200 pairs), and hypothesis damages a good configuration at
random. The program reads its configuration the way real ones do: arguments, typed keys, prevResult, routes. Not covered:
resource exhaustion, and input that is good for the protocol but bad for one program.
"""

from __future__ import annotations

import io
import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import args, results
from cni.program import Program
from cni.skel import run
from cni.types import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.request import Request
    from tests.unit.cni.conftest import Serve, Served

GOOD = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "probe",
    "mtu": 1450,
    "ipam": {"ranges": [[{"subnet": "10.1.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
    "prevResult": {"ips": [{"address": "10.1.0.5/24"}]},
}


def read_everything(request: Request) -> Result:
    """Stand for a program's own reading of its configuration."""
    args.parse(request.args, {"IP"})
    request.config.number("mtu", lowest=0, highest=65535)
    ipam = request.config.section("ipam")
    routes = results.parse_routes(ipam) if ipam else ()
    for ranges in (ipam.section_lists("ranges") if ipam else None) or ():
        for each in ranges:
            each.required_interface("subnet")
    return request.prev_result or Result(routes=routes)


PROGRAM = Program("probe", lambda: dict.fromkeys(("ADD", "CHECK", "DEL", "GC", "STATUS"), read_everything))


def changed(**keys: Any) -> bytes:
    return json.dumps({**GOOD, **keys}).encode()


STDIN: dict[str, bytes] = {
    "good": changed(),
    "nothing": b"",
    "blank": b" \n\t",
    "no json": b"name: net",
    "cut short": changed()[:-2],
    "two documents": changed() * 2,
    "array": b"[]",
    "number": b"1e999",
    "null": b"null",
    "latin-1": b'{"name": "n\xe9t"}',
    "utf-16": changed().decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + changed(),
    "zeros": bytes(1000),
    "deep": b'{"name": "net", "a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "deep objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "huge number": b'{"name": "net", "mtu": ' + b"9" * 5000 + b"}",
    "nan": b'{"name": "net", "mtu": NaN}',
    "half surrogate": rb'{"name": "net", "cniVersion": "1.0.0", "prevResult": {"vendor": "\ud800"}}',
    "no name": changed(name=None),
    "name of a wrong type": changed(name=["net"]),
    "name with a slash": changed(name="../net"),
    "name with a newline": changed(name="net\n"),
    "version of a wrong type": changed(cniVersion=1.0),
    "version nobody knows": changed(cniVersion="7.0.0"),
    "version with blanks": changed(cniVersion=" 1.0.0"),
    "mtu as text": changed(mtu="1450"),
    "mtu with a fraction": changed(mtu=1450.5),
    "mtu beyond 64 bits": changed(mtu=2**70),
    "ipam of a wrong type": changed(ipam="host-local"),
    "ranges of a wrong depth": changed(ipam={"ranges": [{"subnet": "10.1.0.0/24"}]}),
    "range without subnet": changed(ipam={"ranges": [[{}]]}),
    "route to a name": changed(ipam={"routes": [{"dst": "default"}]}),
    "previous result of a wrong type": changed(prevResult="x"),
    "previous result of another family": changed(prevResult={"cniVersion": "0.2.0"}),
    "previous result without an address": changed(prevResult={"ips": [{}]}),
    "result that 0.2.0 cannot tell": changed(cniVersion="0.2.0", prevResult=None),
}

ENVIRONMENT: dict[str, dict[str, str | None]] = {
    "good": {},
    "bad arguments": {"CNI_ARGS": "none"},
    "unknown arguments": {"CNI_ARGS": "MAC=1"},
    "verb of later": {"CNI_COMMAND": "UPDATE"},
    "verb of 0.4.0": {"CNI_COMMAND": "CHECK"},
    "verb of 1.1.0": {"CNI_COMMAND": "GC"},
    "no container": {"CNI_CONTAINERID": None},
    "container with a slash": {"CNI_CONTAINERID": "a/b"},
    "container that is no text": {"CNI_CONTAINERID": "a\udcff"},
    "no interface": {"CNI_IFNAME": ""},
    "long interface": {"CNI_IFNAME": "x" * 16},
    "interface with a newline": {"CNI_IFNAME": "eth0\n"},
    "netns with a nul": {"CNI_NETNS": "a\0b"},
    "no path": {"CNI_PATH": None},
    "no command": {"CNI_COMMAND": ""},
}

PAIRS = [
    pytest.param(STDIN[data], ENVIRONMENT[environ], id=f"{data}, {environ}")
    for data, environ in product(STDIN, ENVIRONMENT)
    if (data, environ) != ("good", "good")
]


def answered_properly(served: Served, *, prints: bool) -> bool:
    """Tell whether `served` is one error document with exit 1, or a success with one result where the verb prints one."""
    if served.status == 0 and not prints:
        return served.stdout == ""
    document = json.loads(served.stdout)
    if served.status == 0:
        return "code" not in document and document["cniVersion"] in PROGRAM.versions
    wordy = isinstance(document["code"], int) and bool(document["msg"]) and document["cniVersion"] in PROGRAM.versions
    return served.status == 1 and wordy and document["code"] != 999


def test_there_are_at_least_two_hundred_pairs() -> None:
    assert len(PAIRS) >= 200


@pytest.mark.parametrize(("data", "environ"), PAIRS)
def test_every_malformed_input_gets_one_document(serve: Serve, data: bytes, environ: Mapping[str, str | None]) -> None:
    served = serve(PROGRAM, data, **environ)
    assert answered_properly(served, prints=environ.get("CNI_COMMAND", "ADD") == "ADD")
    assert "Traceback" not in served.stderr


@pytest.mark.parametrize("data", [name for name in STDIN if name not in ("good", "half surrogate")])
def test_every_malformed_configuration_is_refused(serve: Serve, data: str) -> None:
    assert serve(PROGRAM, STDIN[data]).status == 1


@pytest.mark.parametrize(
    "environ", [name for name in ENVIRONMENT if name not in ("good", "netns with a nul", "verb of 0.4.0")]
)
def test_every_malformed_environment_is_refused(serve: Serve, environ: str) -> None:
    assert serve(PROGRAM, STDIN["good"], **ENVIRONMENT[environ]).status == 1


def test_the_good_pair_is_answered_with_its_result(serve: Serve) -> None:
    served = serve(PROGRAM, STDIN["good"])
    assert json.loads(served.stdout) == {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}]}


DAMAGE = st.lists(st.tuples(st.integers(0, len(changed()) - 1), st.integers(0, 255)), min_size=1, max_size=4)


@given(DAMAGE)
def test_random_damage_gets_one_document(damage: list[tuple[int, int]]) -> None:
    data = bytearray(changed())
    for place, byte in damage:
        data[place] = byte
    stdout = io.StringIO()
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "a",
        "CNI_NETNS": "/absent",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/p",
    }
    status = run(PROGRAM, environ=environ, stdin=io.BytesIO(bytes(data)), stdout=stdout, stderr=io.StringIO())
    assert ("code" in json.loads(stdout.getvalue())) is (status == 1)


@given(
    st.dictionaries(
        st.sampled_from(sorted(GOOD)),
        st.recursive(st.none() | st.integers() | st.text(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)),
    )
)
def test_random_values_get_one_document(members: dict[str, Any]) -> None:
    stdout = io.StringIO()
    environ = {"CNI_COMMAND": "STATUS", "CNI_PATH": "/p"}
    data = json.dumps({**GOOD, "cniVersion": "1.1.0", **members}).encode()
    status = run(PROGRAM, environ=environ, stdin=io.BytesIO(data), stdout=stdout, stderr=io.StringIO())
    assert status == (1 if stdout.getvalue() else 0)
    assert not stdout.getvalue() or json.loads(stdout.getvalue())["code"] != 999
