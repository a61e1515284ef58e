"""The protocol of a store.

Claims: the disk fulfils it (mypy holds the type, this its behaviour at a glance); a program never loads the module.
"""

import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

from ipam import disk
from ipam.claims import Claim, Reservation
from ipam.store import Store


def test_the_disk_is_a_store(tmp_path: Path) -> None:
    with disk.locked(str(tmp_path / "blue"), print, create=True) as directory:
        assert _filled(directory) == (Reservation("10.0.0.2", IPv4Address("10.0.0.2"), "abc\r\neth0"),)


def _filled(store: Store) -> tuple[Reservation, ...]:
    store.reserve(IPv4Address("10.0.0.2"), Claim("abc", "eth0"))
    return store.reservations()


def test_a_program_never_loads_it() -> None:
    code = "import sys; sys.path.insert(0, '.'); import ipam.plugin; print('ipam.store' in sys.modules)"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
