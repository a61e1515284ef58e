"""Claims about `tulle gc` as it is built, on a pretend host with a real daemon: what is dead goes whole, the rest is kept and listed.

- a container whose link is gone loses address and rules; one that runs keeps all of it, and goes on
- an address with nobody's name on it, an interrupted write, is freed
- what has no configuration here is kept and listed; --dry-run removes nothing
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.daemon import DIST
from tests.lab.hosts import CONFLIST, Host, Lab

BOOK = "/run/tulle/books"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab({"host-a": 1}) as made:
        made.start_daemons("--ip-masq=false")
        (made.workdir / "net.d").mkdir()
        document = json.loads(CONFLIST.read_text())
        document["plugins"][0]["ipMasq"] = True
        document["plugins"][0]["ipMasqBackend"] = "nftables"
        (made.workdir / "net.d" / "10-tulle.conflist").write_text(json.dumps(document))
        host = made.hosts["host-a"]
        made.hosts["host-a"].runtime = host.conflist(document)
        yield made


def gc(lab: Lab, *words: str) -> dict[str, str]:
    """Run it and return what became of each thing, by what it is and whose."""
    store = ("--", "--store", f"sqlite:{lab.workdir / 'net.db'}", "--iface", "eth0")
    directories = ("--conf-dir", str(lab.workdir / "net.d"), "--bin-dir", str(DIST / "cni"))
    said = lab.hosts["host-a"].place.run(DIST / "bin" / "tulle", "gc", "--json", *words, *directories, *store)
    (found,) = json.loads(said).values()
    return {f"{one['what'].split()[0]} {one['attachment']}": one["outcome"] for one in found}


def cut(host: Host, name: str) -> str:
    """Make a container and take its link away; return its address."""
    container = host.add(name)
    link = next(one["name"] for one in container.result["interfaces"] if one["name"].startswith("veth"))
    host.place.ip(f"link delete {link}")
    return container.address


def booked(host: Host) -> set[str]:
    return set(host.place.run("sh", "-c", f"cd {BOOK}/*-24 && ls").split()) - {"lock", "last_reserved_ip.0"}


def rules(host: Host) -> Any:
    return host.place.run("nft", "list", "ruleset")


def test_what_is_dead_goes_whole_and_what_runs_stays(lab: Lab) -> None:
    host = lab.hosts["host-a"]
    alive, lost = host.add("alive"), cut(host, "lost")
    everything = {"address tulle/lost/eth0": "would be removed", "rule tulle/lost/eth0": "would be removed"}
    assert gc(lab, "--dry-run") == everything
    assert (booked(host), "id: lost" in rules(host)) == ({alive.address, lost}, True)
    assert gc(lab) == dict.fromkeys(everything, "removed")
    assert (booked(host), "id: lost" in rules(host), "id: alive" in rules(host)) == ({alive.address}, False, True)
    host.place.run("ping", "-c1", "-W2", alive.address)
    assert gc(lab) == {}


def test_an_address_with_nobody_s_name_on_it_is_freed(lab: Lab) -> None:
    host = lab.hosts["host-a"]
    address = host.add("old").address
    host.place.run("sh", "-ec", f": > $(echo {BOOK}/*-24)/{address}")
    assert gc(lab)["address "] == "removed"
    assert booked(host) == set()


def test_what_is_not_known_to_be_dead_is_kept_and_listed(lab: Lab) -> None:
    host = lab.hosts["host-a"]
    address = cut(host, "strange")
    (lab.workdir / "net.d" / "10-tulle.conflist").unlink()
    assert set(gc(lab).values()) == {"kept"}
    assert booked(host) == {address}
