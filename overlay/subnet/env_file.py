"""The daemon's keeper of the lease file: one daemon a file, written last and only when it says something new.

The file's form is lease.file's. Withdrawing is deleting: the CNI programs then answer "try again later" instead of
handing out addresses that another host may have.
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
"""The lock file of all lease files (system.locks)."""

_SECRET = re.compile(rb"(-etcd-password[=\0])[^\0]*")
"""A password on another daemon's command line, which no message may repeat."""


class LeaseFile:
    """The lease file at `path`, ours while its lock is held.

    The lock is a byte of a file in `folder`, because who may open a file may lock it.
    """

    def __init__(self, path: str, *, folder: str = locks.FOLDER) -> None:
        self.path = path
        self._folder = folder
        self._lock: locks.Lock | None = None

    def acquire(self) -> None:
        """Become the only daemon of this file; raises Unavailable naming the process that is."""
        try:
            folders.make(str(Path(self.path).parent))
        except OSError as problem:
            raise Unavailable(f"{self.path}: its folder cannot be made: {problem.strerror}") from problem
        try:
            lock = locks.Lock(FILE, _place(self.path), patience=0, folder=self._folder)
            lock.__enter__()
            self._lock = lock
        except TimeoutError:
            holder = _holder(locks.holder_pid(f"{self._folder}/{FILE}", _place(self.path)))
            remedy = "stop it, or give this one its own --subnet-file"
            raise Unavailable(f"{self.path} is kept by another tulled ({holder}); {remedy}") from None
        except OSError as problem:
            raise Unavailable(f"no lock can be had in {self._folder}: {problem.strerror}") from problem

    def release(self) -> None:
        """Let another daemon have it; the file stays."""
        if self._lock is not None:
            self._lock.__exit__()
            self._lock = None

    def previous(self) -> Subnet | None:
        """Return the subnet the file speaks of; None when it is absent or unreadable (docs/reference/flannel.md 2.5)."""
        try:
            lease = file.read(self.path)
        except (file.Unavailable, OSError):
            return None
        if lease.subnet is None:
            return None
        return Subnet(lease.subnet.network, lease.ipv6_subnet.network if lease.ipv6_subnet else None)

    def publish(self, lease: file.Lease) -> bool:
        """Write the file unless it says just that; return whether it was written. Raises OSError."""
        try:
            if file.read(self.path) == lease:
                return False
        except file.Unavailable:
            pass
        file.write(self.path, lease)
        return True

    def withdraw(self) -> None:
        """Take the file away; raises OSError, not for its absence."""
        Path(self.path).unlink(missing_ok=True)


def content(config: NetworkConfig, subnet: Subnet, *, mtu: int, ipmasq: bool) -> file.Lease:
    """Return what the file says: networks, the gateway (base + 1) with the subnet's length, MTU and masquerade."""
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
    """Return whether a daemon keeps the lease file at `path` now."""
    try:
        return locks.is_held(FILE, _place(path), folder=folder)
    except OSError:
        return False


def _place(path: str) -> int:
    """Return the byte that stands for a lease file, by whatever path it is reached; its folder has to be there."""
    folder = Path(path).parent.stat()
    return locks.place(str(folder.st_dev), str(folder.st_ino), Path(path).name)


def _holder(pid: str) -> str:
    return f"pid {pid}: {_command(pid)}" if pid else "in another PID namespace"


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "?"
    said = _SECRET.sub(rb"\1***", words)
    return said[:400].replace(b"\0", b" ").decode(errors="replace").strip() or "?"
