"""Claims about cnitool, the specification's own runtime (libcni 1.3), with our programs and conflist on two pretend hosts.

- a container fetches a page from one on the other host, which sees its own address, and through the port that is published there
- CHECK passes; DEL leaves no link, claim or rule, and a second DEL is no error
- at version 1.1.0 STATUS passes, and GC removes what an attachment left whose namespace went without a DEL

Skipped only where cnitool is absent, and never in CI.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.daemon import DIST
from tests.lab.hosts import PORT, PORTS, Host, Lab, serve
from tests.lab.reference import program
from tests.lab.traces import attachments
from tests.lab.visits import fetch, published
from tests.lab.world import PATH, Place

PUBLISHED = 8090


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq")
        first, second = lab.hosts.values()
        yield first, second


def configs(host: Host, version: str = "1.0.0") -> Path:
    """Return a directory with our conflist in a version of the specification."""
    folder = host.workdir / f"net.d-{version}"
    folder.mkdir(exist_ok=True)
    (folder / PORTS.name).write_text(json.dumps({**json.loads(PORTS.read_text()), "cniVersion": version}))
    return folder


def cnitool(host: Host, verb: str, name: str, *, port: int = 0, version: str = "1.0.0") -> str:
    """Run `cnitool VERB tulle` for the namespace of a name; `port` is the host's that leads to the container's server."""
    mapping = [{"hostPort": port, "containerPort": PORT, "protocol": "tcp"}] if port else []
    environment = {
        "PATH": PATH,
        "CNI_PATH": str(DIST / "cni"),
        "NETCONFPATH": str(configs(host, version)),
        "CAP_ARGS": json.dumps({"portMappings": mapping}),
    }
    return host.place.run(program("cnitool"), verb, "tulle", f"/run/netns/{name}", env=environment)


def attach(host: Host, name: str, *, port: int = 0, version: str = "1.0.0") -> str:
    """Make a namespace, attach it, serve in it and return its address."""
    host.make_namespace(name)
    result = json.loads(cnitool(host, "add", name, port=port, version=version))
    return str(result["ips"][0]["address"]).partition("/")[0]


def page(place: Place, address: str) -> str:
    """Return the page an address serves: the source address its server saw."""
    return place.run("busybox", *fetch(address))


def test_cnitool_attaches_checks_and_detaches_without_a_trace(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    attach(first, "warm", port=PUBLISHED + 1)
    cnitool(first, "del", "warm", port=PUBLISHED + 1)
    before = attachments(first.place)

    address = attach(first, "web", port=PUBLISHED)
    cnitool(first, "check", "web", port=PUBLISHED)
    visitor = attach(second, "visitor")
    serve(first.place.inside("web"))

    assert page(second.place.inside("visitor"), f"{address}:{PORT}") == visitor
    assert page(second.place.inside("visitor"), published(first, PUBLISHED)) == str(second.standing.address.ip)
    assert page(second.place, published(first, PUBLISHED)) == str(second.standing.address.ip)
    for _ in range(2):
        cnitool(first, "del", "web", port=PUBLISHED)
    assert attachments(first.place) == before


def test_status_passes_and_gc_removes_what_was_forgotten(hosts: tuple[Host, Host]) -> None:
    first, _ = hosts
    attach(first, "early", version="1.1.0")
    cnitool(first, "del", "early", version="1.1.0")
    before = attachments(first.place)
    attach(first, "forgotten", version="1.1.0")
    first.place.ip("netns delete forgotten")

    cnitool(first, "status", "none", version="1.1.0")
    cnitool(first, "gc", "none", version="1.1.0")

    assert attachments(first.place) == before
