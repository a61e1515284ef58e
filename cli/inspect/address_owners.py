"""Finds the files of this machine by which a runtime gives out addresses of this host's subnet.

These are conflists with the lease file, networks of Podman's netavark inside the lease, and Docker's bridge with it.
Networks of netavark and Docker are recognised only where the lease exists. cli.setup.address_books judges them.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from cli.inspect import foreign_files
from system.ip import IPNetwork

CNI, NETAVARK, DOCKER = "cni", "netavark", "docker"
SUFFIXES = (".conf", ".conflist", ".json")
"""What containerd takes for a configuration. The first file name wins."""
BRIDGE, DRIVER = "tulle0", "tulle"


@dataclass(frozen=True, slots=True)
class Claim:
    """A file by which addresses of the subnet are given out."""

    path: str
    book: str  # whose address book they come from
    network: str = ""  # name of its network


@dataclass(frozen=True, slots=True)
class Subnet:
    """What is searched for."""

    lease_file: str
    networks: tuple[IPNetwork, ...] = ()  # the lease's, where it can be read


def find(root: Path, configs: Collection[str], networks: str, wanted: Subnet) -> Iterator[Claim]:
    """Yield the claims of CNI configurations in the directories `configs`, then of Podman's networks."""
    for folder in dict.fromkeys(configs):
        for path, document in _documents(root, folder, SUFFIXES):
            if wanted.lease_file in lease_files(document):
                yield Claim(path, CNI, str(document.get("name", "")))
    for path, document in _documents(root, networks, (".json",)):
        if document.get("driver") != DRIVER and _inside(document, wanted.networks):
            yield Claim(path, NETAVARK, str(document.get("name", "")))


def of_docker(settings: Mapping[str, Any], drop_in: str, path: str, wanted: Subnet) -> Iterator[Claim]:
    """Yield the claim of Docker's bridge.

    By our drop-in at `drop_in` ("" for none), or by `bip` in the settings at `path`.
    """
    if drop_in:
        yield Claim(drop_in, DOCKER)
    try:
        bridge = ip_interface(str(settings.get("bip", ""))).network
    except ValueError:
        return
    if any(bridge.version == one.version and bridge.overlaps(one) for one in wanted.networks):
        yield Claim(path, DOCKER)


def lease_files(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the lease files that a configuration, of one program or a list, uses."""
    listed = document.get("plugins", [document])
    plugins = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    inner = [one["ipam"] for one in plugins if isinstance(one.get("ipam"), dict)]
    return frozenset(str(each["subnetFile"]) for each in (*plugins, *inner) if each.get("subnetFile"))


def _inside(document: Mapping[str, Any], wanted: Collection[IPNetwork]) -> bool:
    """Return whether a network of netavark has addresses of the subnets, or our bridge if no subnets are known."""
    subnets = document.get("subnets")
    found = [one.get("subnet") for one in subnets if isinstance(one, dict)] if isinstance(subnets, list) else []
    try:
        networks = [ip_network(str(one), strict=False) for one in found]
    except ValueError:
        return False
    if not wanted:
        return document.get("network_interface") == BRIDGE
    return any(one.version == other.version and one.overlaps(other) for one in networks for other in wanted)


def _documents(root: Path, folder: str, suffixes: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON objects in a directory by path, in the order in which containerd reads them.

    Others are skipped.
    """
    place = root / folder.lstrip("/")
    names = [one.name for one in place.iterdir() if one.suffix in suffixes] if place.is_dir() else []
    for name in sorted(names, key=os.fsencode):
        try:
            document = foreign_files.document(place / name)
        except (OSError, foreign_files.Unfit):
            continue
        if isinstance(document, dict):
            yield f"{folder}/{name}", document
