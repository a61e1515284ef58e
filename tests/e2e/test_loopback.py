"""The built loopback, as the reference's own suite runs it (docs/reference/cni.md 5).

Claims: with five CNI_ variables of "none" and no PATH it finishes ADD and DEL well within the suite's second in every version.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cni.versions import SUPPORTED
from tests.netns.spaces import Space

SECOND = 1.0
"""The default patience of the reference's suite, for the output and for the exit."""


@pytest.fixture
def container() -> Iterator[Space]:
    with closing(Space("container")) as space:
        yield space


@pytest.mark.parametrize("version", SUPPORTED)
def test_add_and_del_take_less_than_a_second(container: Space, program: Callable[[str], Path], version: str) -> None:
    config = {"name": "loopback-test", "cniVersion": version, "type": "loopback"}
    environ = {"CNI_CONTAINERID": "dummy", "CNI_NETNS": container.path, "CNI_IFNAME": "lo", "CNI_ARGS": "none"}
    for verb, up in (("DEL", False), ("ADD", True), ("DEL", False)):
        began = time.perf_counter()
        done = subprocess.run(
            [program("loopback")],
            input=json.dumps(config).encode(),
            env={**environ, "CNI_PATH": "none", "CNI_COMMAND": verb},
            capture_output=True,
            check=False,
        )
        took = time.perf_counter() - began
        link = container.network.link("lo")
        assert (done.returncode, done.stderr) == (0, b""), done.stdout
        assert bool(done.stdout) == (verb == "ADD")
        assert link is not None
        assert link.up == up
        assert took < SECOND
