"""The daemon's side of the lease file: one daemon per file, which writes it last and only when its content changes.

The format is that of lease.file. To withdraw a lease is to delete the file: the CNI programs then answer "try again
later" and hand out no address that another host may have by now.
"""

import re
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path

from lease import file
from overlay.config.network import NetworkConfig
from overlay.errors import Unavailable
from overlay.subnet.allocation import Subnet
from system import folders, locks

FILE = "leases"
"""The lock file of all lease files (see system.locks)."""

_SECRET = re.compile(rb"(-etcd-password[=\0])[^\0]*")
"""A password on another daemon's command line, which must not get into a message or the log."""


class LeaseFile:
    """The lease file at `path`, which this daemon alone writes while it has its lock.

    The lock is on a byte of a file in `folder`, which only root can open: anybody may lock a file that he may open.
    """

    def __init__(self, path: str, *, folder: str = locks.FOLDER) -> None:
        self.path = path
        self._folder = folder
        self._lock: locks.Lock | None = None

    def acquire(self) -> None:
        """Become the only daemon that writes this file; raises Unavailable, naming the process that already is."""
        try:
            folders.make(str(Path(self.path).parent))
        except OSError as problem:
            raise Unavailable(f"{self.path}: its folder cannot be made: {problem.strerror}") from problem
        try:
            lock = locks.Lock(FILE, _place(self.path), patience=0, folder=self._folder)
            lock.__enter__()
            self._lock = lock
        except TimeoutError:
            owner = _owner_text(locks.owner_pid(f"{self._folder}/{FILE}", _place(self.path)))
            remedy = "stop it, or give this one its own --subnet-file"
            raise Unavailable(f"{self.path} is kept by another tulled ({owner}); {remedy}") from None
        except OSError as problem:
            raise Unavailable(f"no lock can be had in {self._folder}: {problem.strerror}") from problem

    def release(self) -> None:
        """Release the lock; the file stays."""
        if self._lock is not None:
            self._lock.__exit__()
            self._lock = None

    def previous(self) -> Subnet | None:
        """Return the subnet in the file; None when it is absent or unreadable (docs/reference/flannel.md 2.5)."""
        try:
            lease = file.read(self.path)
        except (file.Unavailable, OSError):
            return None
        if lease.subnet is None:
            return None
        return Subnet(lease.subnet.network, lease.ipv6_subnet.network if lease.ipv6_subnet else None)

    def publish(self, lease: file.Lease) -> bool:
        """Write the file unless it has this content already; return whether it was written. Raises OSError."""
        try:
            if file.read(self.path) == lease:
                return False
        except file.Unavailable:
            pass  # absent or unreadable: write it
        file.write(self.path, lease)
        return True

    def withdraw(self) -> None:
        """Delete the file; raises OSError, but not when it is absent."""
        Path(self.path).unlink(missing_ok=True)


def content(config: NetworkConfig, subnet: Subnet, *, mtu: int, ipmasq: bool) -> file.Lease:
    """Return the file's content: networks, the gateway (base + 1) with the subnet's length, MTU and masquerade."""
    v6_network = config.ipv6.network if config.ipv6 else None
    return file.Lease(
        networks=(config.ipv4.network,) if isinstance(config.ipv4.network, IPv4Network) else (),
        subnet=IPv4Interface((subnet.ipv4.network_address + 1, subnet.ipv4.prefixlen)),
        ipv6_networks=(v6_network,) if isinstance(v6_network, IPv6Network) else (),
        ipv6_subnet=IPv6Interface((subnet.ipv6.network_address + 1, subnet.ipv6.prefixlen)) if subnet.ipv6 else None,
        mtu=mtu,
        ipmasq=ipmasq,
    )


def is_kept(path: str, *, folder: str = locks.FOLDER) -> bool:
    """Return whether a daemon has the lock of the lease file at `path` now."""
    try:
        return locks.is_held(FILE, _place(path), folder=folder)
    except OSError:
        return False


def _place(path: str) -> int:
    """Return the byte that stands for a lease file, by whatever path it is reached; its folder has to be there."""
    folder = Path(path).parent.stat()
    return locks.place(str(folder.st_dev), str(folder.st_ino), Path(path).name)


def _owner_text(pid: str) -> str:
    return f"pid {pid}: {_command(pid)}" if pid else "in another PID namespace"


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "?"
    said = _SECRET.sub(rb"\1***", words)
    return said[:400].replace(b"\0", b" ").decode(errors="replace").strip() or "?"
