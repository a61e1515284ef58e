"""What is timed: each scenario does one round on one side, and returns what its steps took.

The two sides have their own containers, networks and address books, and the same configurations.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.calls import Asked, Document, Side, at_once, call

CROWD = 50
"""Containers that are attached, or detached, at once."""
RESERVATIONS = 5000

Steps = Mapping[str, float]
"""Name of a step -> ms."""

PLAIN: Document = {}
DUAL: Document = {"ranges": [[{"subnet": "10.99.0.0/16"}], [{"subnet": "fd00:99::/64"}]]}
FORWARDED = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


@dataclass(frozen=True, slots=True)
class Bench:
    """What a round gets."""

    containers: Iterator[Path]  # new containers
    folder: Path  # for address books


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to time."""

    name: str
    run: Callable[[Bench, Side, int], Steps]
    needs: tuple[str, ...] = ("bridge", "host-local")  # programs that a side must have
    key: str = ""  # that the side's bridge must know: the reference ignores unknown keys
    warm: bool = True  # all `calls` of our round must be served warm
    calls: int = 3
    share: int = 1  # it runs in one of `share` rounds


def scenarios() -> tuple[Scenario, ...]:
    """Return all of them, in the order of the table."""
    attach = "bridge + host-local"
    return (
        Scenario("VERSION", _version, calls=0),
        Scenario(attach, partial(_attachment, keys={}, ipam=PLAIN)),
        Scenario(f"{attach}, dual stack", partial(_attachment, keys={}, ipam=DUAL)),
        Scenario(f"{attach}, ipMasq by iptables", partial(_attachment, keys=_masquerade("iptables"), ipam=PLAIN)),
        Scenario(
            f"{attach}, ipMasq by nftables",
            partial(_attachment, keys=_masquerade("nftables"), ipam=PLAIN),
            key="ipMasqBackend",
        ),
        Scenario("bridge + portmap + firewall", _chain, needs=("bridge", "host-local", "portmap", "firewall"), calls=6),
        Scenario(f"{CROWD} containers at once", _crowd, calls=2 * CROWD, share=4),
        Scenario(f"host-local, {RESERVATIONS} reservations", _crowded_book, needs=("host-local",), calls=2),
        Scenario(f"{attach}, cold", partial(_attachment, keys={}, ipam=PLAIN), warm=False),
    )


def network(bench: Bench, side: Side, keys: Document, ipam: Document) -> Document:
    """Return a network for `side` alone. The other side's differs only in names."""
    name = f"bench-{side.name}"
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "type": "bridge",
        "bridge": name[:15],
        "isDefaultGateway": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(bench.folder / "books"),
            "ranges": [[{"subnet": "10.99.0.0/16"}]],
            **ipam,
        },
        **keys,
    }


def attach(side: Side, config: Document, container: Path) -> tuple[float, Document]:
    """Add one attachment, and return the time and the result."""
    told = call(side, Asked("bridge", "ADD", container, config))
    return told.wall, told.document


def _masquerade(backend: str) -> Document:
    return {"ipMasq": True, "ipMasqBackend": backend}


def _version(bench: Bench, side: Side, _: int) -> Steps:
    config = {"cniVersion": "1.0.0"}
    return {"": call(side, Asked("bridge", "VERSION", bench.folder / "none", config)).wall}


def _attachment(bench: Bench, side: Side, _: int, *, keys: Document, ipam: Document) -> Steps:
    config, container = network(bench, side, keys, ipam), next(bench.containers)
    added, result = attach(side, config, container)
    later = {**config, "prevResult": result}
    checked = call(side, Asked("bridge", "CHECK", container, later)).wall
    deleted = call(side, Asked("bridge", "DEL", container, later)).wall
    return {"ADD": added, "CHECK": checked, "DEL": deleted}


def _chain(bench: Bench, side: Side, _: int) -> Steps:
    """Time the chain as a runtime runs it: forwards for ADD, backwards for DEL, each with the result."""
    config, container = network(bench, side, {}, PLAIN), next(bench.containers)
    shared = {"cniVersion": "1.0.0", "name": config["name"]}
    members = [config]
    members.append({**shared, "type": "portmap", "capabilities": {"portMappings": True}, "runtimeConfig": FORWARDED})
    members.append({**shared, "type": "firewall", "backend": "iptables"})
    added, result = 0.0, None
    for member in members:
        given = {**member, "prevResult": result} if result else member
        told = call(side, Asked(member["type"], "ADD", container, given))
        added, result = added + told.wall, told.document
    backwards = [Asked(each["type"], "DEL", container, {**each, "prevResult": result}) for each in reversed(members)]
    return {"ADD": added, "DEL": sum(call(side, asked).wall for asked in backwards)}


def _crowd(bench: Bench, side: Side, _: int) -> Steps:
    config = network(bench, side, {}, PLAIN)
    crowd = [next(bench.containers) for _ in range(CROWD)]
    came, told = at_once(side, [Asked("bridge", "ADD", each, config) for each in crowd])
    results = [each.document for each in told]
    leaving = [
        Asked("bridge", "DEL", each, {**config, "prevResult": result})
        for each, result in zip(crowd, results, strict=True)
    ]
    went, _ended = at_once(side, leaving)
    return {"ADD": came, "DEL": went}


def _crowded_book(bench: Bench, side: Side, number: int) -> Steps:
    config = network(bench, side, {}, {"dataDir": str(bench.folder / "crowded")})
    _reserve(bench.folder / "crowded" / config["name"])
    container = bench.folder / f"n{number}"
    added = call(side, Asked("host-local", "ADD", container, config)).wall
    deleted = call(side, Asked("host-local", "DEL", container, config)).wall
    return {"ADD": added, "DEL": deleted}


def _reserve(book: Path) -> None:
    """Write RESERVATIONS reservations of others once, as the reference writes them."""
    if book.exists():
        return
    book.mkdir(parents=True)
    for other in range(2, RESERVATIONS + 2):
        (book / f"10.99.{other >> 8}.{other & 255}").write_text(f"other{other}\r\neth0", newline="")
    (book / "last_reserved_ip.0").write_text(f"10.99.{(RESERVATIONS + 1) >> 8}.{(RESERVATIONS + 1) & 255}")
