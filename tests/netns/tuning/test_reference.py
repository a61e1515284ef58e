"""Claims, beside the reference program: the same configuration makes the same state and result; each program checks what the other
made, and puts back what the other remembers.
"""

import os
from typing import Any

import pytest

from tests.netns.tuning.conftest import LINK, REFERENCE, Runtime

KEYS: dict[str, Any] = {
    **LINK,
    "sysctl": {"net.ipv4.ip_local_reserved_ports": "80", "net.ipv4.conf.eth0.log_martians": "1"},
}
"""Nothing the older reference of Debian lacks: it has no txQLen and no IFNAME, and compares parameters letter by letter."""


@pytest.fixture(autouse=True)
def reference() -> None:
    if not REFERENCE.is_file():
        reason = f"{REFERENCE} is absent: install containernetworking-plugins"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def spoken(runtime: Runtime) -> Runtime:
    """Configurations of a version both programs speak."""
    runtime.config["cniVersion"] = runtime.config["prevResult"]["cniVersion"] = "1.0.0"
    del runtime.config["prevResult"]["interfaces"][1]["mtu"]
    return runtime


@pytest.mark.parametrize("theirs", [True, False], ids=["theirs", "ours"])
def test_each_program_takes_over_from_the_other(spoken: Runtime, *, theirs: bool) -> None:
    before = spoken.state
    spoken.add(theirs=theirs, **KEYS)
    assert [spoken.call("CHECK", theirs=who, **KEYS) for who in (theirs, not theirs)] == [{}, {}]
    assert spoken.call("DEL", theirs=not theirs, **KEYS) == {}
    assert (spoken.state[:5], spoken.files) == (before[:5], [])


def test_the_state_and_the_result_are_the_same(spoken: Runtime) -> None:
    answer, expected = spoken.add(theirs=True, **KEYS), spoken.state
    spoken.call("DEL", theirs=True, **KEYS)
    ours = spoken.add(**KEYS)
    assert spoken.state == expected
    assert ours["interfaces"] == answer["interfaces"]


def test_a_key_outside_net_is_refused_in_the_same_words(spoken: Runtime) -> None:
    keys: dict[str, Any] = {"sysctl": {"kernel.x": "1"}}
    assert spoken.call("ADD", **keys)["msg"] == spoken.call("ADD", theirs=True, **keys)["msg"]
