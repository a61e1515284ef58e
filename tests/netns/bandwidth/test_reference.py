"""Claims, beside the reference program: the same configuration makes the same qdiscs, ifb and redirection in the kernel; each program
removes and checks what the other made, also where the reference's numbers wrapped around.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kernel import netns
from tests.netns.bandwidth.conftest import BOTH, Container, Runtime

REFERENCE = Path("/usr/lib/cni/bandwidth")


@pytest.fixture(autouse=True)
def reference() -> None:
    if not REFERENCE.is_file():
        reason = f"{REFERENCE} is absent: install containernetworking-plugins"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def theirs(runtime: Runtime, verb: str, container: Container, **keys: Any) -> dict[str, Any]:
    environ = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": container.name,
        "CNI_IFNAME": container.ifname,
        "CNI_NETNS": container.space.path,
        "CNI_PATH": str(REFERENCE.parent),
    }
    stdin = json.dumps({**runtime.config, **keys, "prevResult": container.result})
    with netns.inside(runtime.host.namespace):
        child = subprocess.Popen([REFERENCE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
    out, _ = child.communicate(stdin, timeout=30)
    document: dict[str, Any] = json.loads(out or "{}")
    return document


def dump(runtime: Runtime) -> list[str]:
    """What the kernel has, without numbers it gave and the second action that the reference's library adds by mistake."""
    (ifb,) = runtime.ifbs()
    shown = runtime.host.run("ip", "-d", "link", "show", "type", "ifb")
    for link in ("veth1", ifb):
        shown += runtime.host.run("tc", "qdisc", "show", "dev", link)
    filters = runtime.host.run("tc", "filter", "show", "dev", "veth1", "parent", "ffff:")
    shown += filters.partition("action order 2")[0]
    shown = re.sub(r"link/ether \S+|alias \S+|^\d+: |index \d+ |\*?flowid.*|terminal", "", shown, flags=re.MULTILINE)
    return [line.strip() for line in shown.splitlines() if line.strip()]


def test_the_kernel_has_the_same(runtime: Runtime) -> None:
    container = runtime.container()
    answer = theirs(runtime, "ADD", container, **BOTH)
    expected = dump(runtime)
    assert runtime.call("CHECK", container, **BOTH) == {}
    assert runtime.call("DEL", container) == {}
    assert runtime.ifbs() == {}
    runtime.host.run("tc", "qdisc", "del", "dev", "veth1", "root")
    runtime.host.run("tc", "qdisc", "del", "dev", "veth1", "ingress")
    ours = runtime.add(container, **BOTH)
    assert dump(runtime) == expected
    assert [each["name"] for each in ours["interfaces"]] == [each["name"] for each in answer["interfaces"]]
    assert theirs(runtime, "CHECK", container, **BOTH) == {}
    assert theirs(runtime, "DEL", container) == {}
    assert runtime.ifbs() == {}


@pytest.mark.parametrize("rate", [1000, 1_000_000, 10**9])
@pytest.mark.parametrize("burst", [2**32 - 1, (2**32 - 1) * 8 - 1])
def test_wrapped_numbers_of_the_reference_are_whole(runtime: Runtime, rate: int, burst: int) -> None:
    wished = {
        f"{way}{what}": value for way in ("ingress", "egress") for what, value in (("Rate", rate), ("Burst", burst))
    }
    container, asked = runtime.container(), {"runtimeConfig": {"bandwidth": wished}}
    answer = theirs(runtime, "ADD", container, **asked)
    assert "code" not in answer, answer
    assert runtime.call("CHECK", container, **asked) == {}
    assert runtime.call("DEL", container) == {}
    assert runtime.ifbs() == {}
