"""Decides which directories hold the reservations of a network: the reference's own, or the address books of leases.

With a lease all networks of the host share one book per subnet, so that no address is given twice, and a reservation
names its network. A book stays after its lease has ended, so a search looks into every book.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH112, PTH208

from __future__ import annotations

import os

from cni import addresses
from cni.errors import CniError, Code
from ipam.claims import Claim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipam.config import Settings
    from lease.file import Lease

NETWORKS = "/var/lib/cni/networks"
"""The reference's default; below it, each network has a directory of its name (docs/reference/cni.md 3.1)."""
BOOKS = "/run/tulle/books"
"""Under /run: a reboot ends every container and frees every address."""


def home(settings: Settings, lease: Lease | None) -> str:
    """Return the directory in which ADD makes reservations. A lease's book is named after its subnet."""
    return _below(_root(settings), lease.key if lease else settings.name)


def places(settings: Settings) -> tuple[str, ...]:
    """Return the existing directories that may hold reservations of the network, without knowing the lease.

    Raises CniError 5 when the books cannot be listed.
    """
    root = _root(settings)
    if not settings.subnet_file:
        directory = _below(root, settings.name)
        return (directory,) if os.path.isdir(directory) else ()
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE, f"address books {root}: {error.strerror}", "it must be a directory that root can read"
        ) from error
    books = (_below(root, name) for name in names if _names_book(name))
    return tuple(each for each in books if os.path.isdir(each))


def claim(settings: Settings, container_id: str, ifname: str) -> Claim:
    """Return the claim of an attachment. It names the network only in a book, which networks share."""
    return Claim(container_id.strip(), ifname, owner(settings))


def owner(settings: Settings) -> str:
    """Return the network's name if reservations contain it, else empty."""
    return settings.name if settings.subnet_file else ""


def _root(settings: Settings) -> str:
    return settings.data_dir or (BOOKS if settings.subnet_file else NETWORKS)


def _below(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}"


def _names_book(name: str) -> bool:
    """Return whether `name` is ADDRESS-LENGTH, as Lease.key is.

    Beside books there may be directories of the reference.
    """
    address, _, length = name.rpartition("-")
    try:
        addresses.parse_interface(f"{address}/{length}")
    except ValueError:
        return False
    return True
