"""Finds the files of this machine by which some address book gives out addresses of this host's subnet.

A conflist that goes by the lease file, a network of Podman's netavark inside the lease, Docker's bridge on it: whoever wrote them.
Only looks. Must not judge (cli.setup.address_books does). Blind spot: netavark's and Docker's networks are known only where the lease is.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from cli.inspect import foreign_files
from cni.types import IPNetwork

CNI, NETAVARK, DOCKER = "cni", "netavark", "docker"
SUFFIXES = (".conf", ".conflist", ".json")
"""What containerd takes for a configuration; the first by name wins."""
BRIDGE, DRIVER = "tulle0", "tulle"


@dataclass(frozen=True, slots=True)
class Claim:
    """A file that gives addresses of the subnet to a book: where it is, whose book, and what its network is called."""

    path: str
    book: str
    network: str = ""


@dataclass(frozen=True, slots=True)
class Subnet:
    """What is looked for: the lease file, and the subnets in it where it can be read."""

    lease_file: str
    networks: tuple[IPNetwork, ...] = ()


def find(root: Path, configs: Collection[str], networks: str, wanted: Subnet) -> Iterator[Claim]:
    """Yield the claims of CNI configurations in the folders `configs`, then of Podman's networks."""
    for folder in dict.fromkeys(configs):
        for path, document in _documents(root, folder, SUFFIXES):
            if wanted.lease_file in lease_files(document):
                yield Claim(path, CNI, str(document.get("name", "")))
    for path, document in _documents(root, networks, (".json",)):
        if document.get("driver") != DRIVER and _inside(document, wanted.networks):
            yield Claim(path, NETAVARK, str(document.get("name", "")))


def of_docker(settings: Mapping[str, Any], drop_in: str, path: str, wanted: Subnet) -> Iterator[Claim]:
    """Yield the claim of Docker's bridge: by the drop-in of ours at `drop_in` ("" for none), or by `bip` in the settings at `path`."""
    if drop_in:
        yield Claim(drop_in, DOCKER)
    try:
        bridge = ip_interface(str(settings.get("bip", ""))).network
    except ValueError:
        return
    if any(bridge.version == one.version and bridge.overlaps(one) for one in wanted.networks):
        yield Claim(path, DOCKER)


def lease_files(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the lease files that a configuration, of one program or of several, goes by."""
    listed = document.get("plugins", [document])
    plugins = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    inner = [one["ipam"] for one in plugins if isinstance(one.get("ipam"), dict)]
    return frozenset(str(each["subnetFile"]) for each in (*plugins, *inner) if each.get("subnetFile"))


def _inside(document: Mapping[str, Any], wanted: Collection[IPNetwork]) -> bool:
    """Tell whether a network of netavark has addresses of the wanted subnets, or our bridge where these are not known."""
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
    """Yield the JSON objects of a folder by their path on the machine, in the order containerd reads; what is none is nobody's claim."""
    place = root / folder.lstrip("/")
    names = [one.name for one in place.iterdir() if one.suffix in suffixes] if place.is_dir() else []
    for name in sorted(names, key=os.fsencode):
        try:
            document = foreign_files.document(place / name)
        except (OSError, foreign_files.Unfit):
            continue
        if isinstance(document, dict):
            yield f"{folder}/{name}", document
