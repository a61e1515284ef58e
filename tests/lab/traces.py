"""Compares the machine before and after a world, so that "nothing is left" is a finding and not a hope.

A trace counts when it is new since before and a name the world itself used: what other programs do meanwhile is theirs.
Reads only. Blind spot: an ordinary user cannot list the machine's nft tables, and could not have made one either.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.world import Place, members, tool

STATE = ("/run/flannel", "/run/tulle", "/var/lib/tulle", "/var/lib/cni", "/etc/cni", "/opt/cni/bin")
HERE = Place("this machine", ())


@dataclass(frozen=True, slots=True)
class Traces:
    """What can outlive a world: names of links, network namespaces and nft tables, mounts, and files in the usual places."""

    links: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    mounts: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()

    def __or__(self, other: "Traces") -> "Traces":
        """Return both together."""
        return Traces(*(mine | theirs for mine, theirs in zip(self.all(), other.all(), strict=True)))

    def all(self) -> tuple[frozenset[str], ...]:
        """Return the five sets in the order of the fields."""
        return (self.links, self.namespaces, self.tables, self.mounts, self.files)


def look(place: Place = HERE) -> Traces:
    """Return the traces a place shows now; the machine itself by default."""
    return Traces(
        links=frozenset(link["ifname"] for link in json.loads(place.run(tool("ip"), "-json", "link", "show"))),
        namespaces=frozenset(place.attempt(tool("ls"), "/run/netns").stdout.split()),
        tables=_tables(place),
        mounts=frozenset(line.split()[1] for line in place.run(tool("cat"), "/proc/self/mounts").splitlines()),
        files=frozenset(place.attempt(tool("find"), *STATE, "!", "-type", "d").stdout.splitlines()),
    )


def _tables(place: Place) -> frozenset[str]:
    if place is HERE and os.geteuid() != 0:
        return frozenset()
    return frozenset(place.run(tool("nft"), "list", "tables").splitlines())


def left(before: Traces, ours: Traces, after: Traces) -> list[str]:
    """Return a line for everything that is new since `before` and bears a name of `ours`."""
    kinds = ("link", "network namespace", "nft", "mount on", "file")
    found = zip(kinds, before.all(), ours.all(), after.all(), strict=True)
    return [f"{kind} {name}" for kind, old, own, new in found for name in sorted((new - old) & own)]


def remains(identity: str, paths: Iterable[Path]) -> list[str]:
    """Return a line for every process still in (or waiting for) the world, and for every path that still exists."""
    processes = [f"process {pid}" for pid in members(identity)]
    return processes + [f"directory {path}" for path in paths if path.exists()]


def attachments(place: Place) -> set[str]:
    """Return what attachments leave on a host: claims, links (name, address, whether up), rules, line by line and without counters."""
    claims = place.run("find", "/run", "-path", "*/tulle/*", "-type", "f", "!", "-name", "*lock*")
    links = json.loads(place.run(tool("ip"), "-json", "link", "show"))  # not their carrier: it comes and goes late
    rules = place.run("nft", "--stateless", "list", "ruleset")
    return {
        *(f"{link['ifname']} {link['address']} {'up' if 'UP' in link['flags'] else 'down'}" for link in links),
        *(line for text in (claims, rules) for line in text.splitlines()),
    }
