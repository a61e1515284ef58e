"""Claims about `tulle repair --podman` beside the real Podman: a container of Podman's driver that no rule names is given to Podman to
reload, and what Podman says of it is told; one that a rule names is left alone; without --podman nobody is asked.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from kernel.netlink.requests import AddVeth, SetLink
from tests.lab.world import PATH
from tests.netns.spaces import Space

ROOT = Path(__file__).resolve().parents[3]
ALIAS = "podman-web/0123456789abcdef/eth0"
ALONE = 'for each in /run /var/lib/containers /etc/containers; do mkdir -p $each; mount -t tmpfs none $each || exit 9; done; exec "$@"'

pytestmark = pytest.mark.skipif(
    shutil.which("podman", path=PATH) is None, reason="podman is not installed: make setup FOR=test"
)


def repair(host: Space, place: Path, *words: str) -> list[dict[str, Any]]:
    """Run the command where Podman has storage of its own, empty; return what it says of containers of Podman's driver."""
    tulle = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cli.main import main; main(sys.argv[1:]); sys.exit(0)"
    alone = ("unshare", "--mount", "sh", "-c", ALONE, "-", sys.executable, "-c", tulle)
    said = host.run(*alone, "repair", "--json", "--cache", str(place), *words)
    driven: list[dict[str, Any]] = json.loads(said)["driven"]
    return driven


@pytest.fixture
def driven(host: Space, container: Space) -> Space:
    host.network.apply(AddVeth("veth0", "eth0", container.namespace))
    host.network.apply(SetLink("veth0", alias=ALIAS, up=True))
    return host


def test_podman_is_asked_only_when_told_to(driven: Space, tmp_path: Path) -> None:
    (one,) = repair(driven, tmp_path)
    assert (one["containerId"], one["reload"]) == ("0123456789abcdef", "")


def test_what_podman_says_is_told(driven: Space, tmp_path: Path) -> None:
    (one,) = repair(driven, tmp_path, "--podman")
    assert one["reload"].startswith("podman network reload failed: ")
    assert "no such container" in one["reload"]


def test_a_container_that_a_rule_names_is_left_alone(driven: Space, tmp_path: Path) -> None:
    comment = 'dnat name: "podman-web" id: "0123456789abcdef"'
    driven.run("iptables", "-t", "nat", "-A", "PREROUTING", "-m", "comment", "--comment", comment, "-j", "RETURN")
    (one,) = repair(driven, tmp_path, "--podman")
    assert one["reload"] == ""
