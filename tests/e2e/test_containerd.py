"""Claims about containerd 1.6 with our programs and the lists of conf/ that publish ports, one of them fenced, through each of its clients:

- `ctr --cni`: a container fetches a page across the overlay, and the server's log shows its own address; `--rm` leaves no trace of it
- the CRI: the network is ready; pods fetch across the overlay; a published port serves another host; a pod that is stopped twice and
  removed, each of which may run DEL, leaves no trace
- `nerdctl run --network tulle -p`: the same with the newest nerdctl; `rm -f` leaves no trace

`ctr` hands over no port mappings (it knows none), so nothing is published through it. A trace is a claimed address, a link or a rule that
names the container. Skipped only where containerd or nerdctl is absent, and never in CI.
"""

import os
import shutil
from collections.abc import Iterator
from itertools import count

import pytest

from tests.lab import cgroups, containerd
from tests.lab.containerd import Containerd
from tests.lab.hosts import FENCED, PORTS, Lab
from tests.lab.image import PAGE
from tests.lab.traces import attachments
from tests.lab.visits import LOOK, SERVE, fetch, own_address, published
from tests.lab.waiting import until
from tests.lab.world import PATH

pytestmark = pytest.mark.skipif(
    shutil.which("containerd", path=PATH) is None and "CI" not in os.environ,
    reason="containerd is not installed: make setup FOR=test",
)

Pair = tuple[Containerd, Containerd]
NUMBERS = count(8081)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq")
        first, second = map(containerd.start, lab.hosts.values(), (FENCED, PORTS))
        yield first, second
        for one in (first, second):
            one.pods.close()
    for one in (first, second):
        cgroups.remove(one.group[1:])


def test_ctr_fetches_across_the_overlay_from_the_containers_own_address(pair: Pair) -> None:
    first, second = pair
    log = first.host.workdir / "web.log"
    first.ctr_run("web", ("--detach", "--log-uri", f"file://{log}"), *SERVE)
    address = own_address(first.ctr("task", "exec", "--exec-id", "look", "web", *LOOK))

    said = second.ctr_run("visitor", ("--rm",), "sh", "-c", f"{' '.join(LOOK)}; {' '.join(fetch(address))}")

    assert said.endswith(PAGE)
    until(
        lambda: f"{own_address(said)}]" in log.read_text() or f"{own_address(said)}:" in log.read_text(),
        "a logged visit",
    )


def test_ctr_rm_leaves_no_trace_though_its_del_has_no_namespace(pair: Pair) -> None:
    _, second = pair
    second.ctr_run(
        "first", ("--rm",), *LOOK
    )  # what the first container of a host brings stays: the bridge, base chains
    before = attachments(second.host.place)

    second.ctr_run("brief", ("--rm",), *LOOK)

    assert attachments(second.host.place) == before


def test_the_cri_calls_the_network_ready(pair: Pair) -> None:
    assert pair[0].pods.ready()


def test_pods_fetch_across_the_overlay_and_leave_no_trace(pair: Pair) -> None:
    first, second = pair
    port = next(NUMBERS)
    warm = first.pods.run("warm", "sleep", "100", published=next(NUMBERS))
    first.pods.stop(warm)
    first.pods.remove(warm)
    before = attachments(first.host.place)

    server = first.pods.run("web", *SERVE, published=port)
    visitor = second.pods.run("visitor", "sleep", "1000")

    assert second.pods.execute(visitor, *fetch(server.address)) == PAGE
    assert second.pods.execute(visitor, *fetch(published(first.host, port))) == PAGE
    assert second.host.place.run("busybox", *fetch(published(first.host, port))) == PAGE
    for _ in range(2):
        first.pods.stop(server)
    first.pods.remove(server)
    assert attachments(first.host.place) == before


def test_nerdctl_publishes_a_port_and_leaves_no_trace(pair: Pair) -> None:
    first, second = pair
    port = next(NUMBERS)
    first.nerdctl_run("warm", ("--rm", "-p", f"{next(NUMBERS)}:80"), *LOOK)
    before = attachments(first.host.place)

    first.nerdctl_run("page", ("--detach", "-p", f"{port}:80"), *SERVE)
    address = first.nerdctl("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "page")

    assert second.nerdctl_run("visitor", ("--rm",), *fetch(address)) == PAGE
    assert second.host.place.run("busybox", *fetch(published(first.host, port))) == PAGE
    first.nerdctl("rm", "--force", "page")
    assert attachments(first.host.place) == before
