"""Claims about default isolation, beside Debian's Docker and Podman, each on a pretend host of its own with another host on its wire:

- the table in docs/security.md says of tulle, Docker and Podman what is measured here: each attempt that it lists, with real packets
- each of its attempts gets through somewhere, or its row would say nothing

Docker's and Podman's columns are skipped only where they are absent, and never in CI.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.attack.isolation import PUBLISHED, ROWS, SERVED, Stage
from tests.attack.seats import seat
from tests.lab import docker, podman
from tests.lab.daemon import ROOT
from tests.lab.hosts import PORTS, Host, Lab
from tests.lab.image import IMAGE
from tests.lab.visits import WAIT
from tests.lab.world import PATH

PAGE = ROOT / "docs" / "security.md"
HEAD = "| a container with NET_RAW may |"
WORDS = {"yes": True, "no": False}
OTHER = Path("/run/flannel/other.env")


def column(name: str) -> dict[str, bool]:
    """Return what the page says of an engine: attempt -> whether it gets through."""
    lines = iter(PAGE.read_text().splitlines())
    head = next(line for line in lines if line.startswith(HEAD))
    place = [cell.strip() for cell in head.split("|")].index(name)
    next(lines)
    said = {}
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) <= place:
            break
        said[cells[1]] = WORDS[cells[place].partition(" ")[0]]
    return said


def need(program: str) -> None:
    if shutil.which(program, path=PATH) is None and "CI" not in os.environ:
        pytest.skip(f"{program} is not installed: make setup FOR=test")


@contextmanager
def with_tulle(lab: Lab, host: Host) -> Iterator[tuple[str, ...]]:
    """Attach two containers to the overlay network by the shipped conflist, and one to another overlay network in the same way."""
    lab.start_daemons("--ip-masq")
    other, shipped = json.loads(PORTS.read_text()), host.daemon
    network = lab.workdir / "other.json"
    network.write_text(json.dumps({"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan", "VNI": 2}}))
    store = ("--store", f"sqlite:{lab.workdir / 'other.db'}", "--net-config", str(network))
    place = ("--subnet-file", str(OTHER), "--bridge", "other0", "--healthz-port", "0")
    host.start_daemon("--network", "", *store, *place, "--ip-masq").wait_ready()
    other["name"] = "other"
    other["plugins"][0] |= {"bridge": "other0", "subnetFile": str(OTHER)}
    runtime = host.conflist(other)
    runtime.capabilities["portMappings"] = [{"hostPort": PUBLISHED, "containerPort": SERVED, "protocol": "tcp"}]
    host.add("sender")
    host.add("neighbour")
    host.add("other", runtime)
    yield "sender", "neighbour", "other"
    assert shipped is not None
    shipped.close()


@contextmanager
def with_docker(_: Lab, host: Host) -> Iterator[tuple[str, ...]]:
    need("dockerd")
    made = docker.make(host)
    made.start()
    try:
        made.run("load", "--input", str(made.home / "image.tar"))
        made.run("network", "create", "other")
        yield tuple(_started(host, made.run, "--stop-signal=KILL", pid="{{.State.Pid}}"))
    finally:
        made.close()


@contextmanager
def with_podman(_: Lab, host: Host) -> Iterator[tuple[str, ...]]:
    need("podman")
    own = host.workdir / f"containers-{host.name}"
    host.place.run("sh", "-ec", f"cp -a /etc/containers {own}; mount --bind {own} /etc/containers")  # networks' files
    made = podman.make(host, 'network_backend = "netavark"')
    try:
        made.run("network", "create", "other")
        yield tuple(_started(host, made.run, "--cgroup-parent", f"/{made.cgroup}", pid="{{.State.Pid}}"))
    finally:
        made.remove_containers()


def _started(host: Host, run: Callable[..., str], *options: str, pid: str) -> Iterator[str]:
    """Start the three containers with an engine's own networks, and yield the names of their namespaces."""
    published = ("--network", "other", "--publish", f"{PUBLISHED}:{SERVED}")
    for name in ("sender", "neighbour", "other"):
        run("run", "--detach", "--name", name, *options, *(published if name == "other" else ()), IMAGE, *WAIT)
        host.place.ip(f"netns attach {name} {run('inspect', '--format', pid, name)}")
        yield name


ENGINES = {"tulle": with_tulle, "Docker": with_docker, "Podman": with_podman}


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, bool]]:
    return {}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_says_what_is_measured(engine: str, measured: dict[str, dict[str, bool]]) -> None:
    with Lab({"host-a": 1, "host-b": 1}) as lab, ExitStack() as opened:
        host, far = lab.hosts.values()
        names = opened.enter_context(ENGINES[engine](lab, host))
        places = [*(host.place.inside(name) for name in names), host.place, far.place]
        stage = Stage(*(opened.enter_context(_closing(place)) for place in places))
        measured[engine] = {attempt: gets_through(stage) for attempt, gets_through in ROWS.items()}

    assert measured[engine] == column(engine)


@contextmanager
def _closing(place: Any) -> Iterator[Any]:
    space = seat(place)
    yield space
    space.close()


def test_each_attempt_gets_through_somewhere(measured: dict[str, dict[str, bool]]) -> None:
    if len(measured) < len(ENGINES):
        pytest.skip("an engine is absent")
    assert [attempt for attempt in ROWS if not any(said[attempt] for said in measured.values())] == []
