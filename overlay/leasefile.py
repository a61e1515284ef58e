"""The daemon's keeper of the lease file: one daemon a file, written last and only when it says something new.

The file's form is lease.file's. Withdrawing is deleting: the CNI programs then answer "try again later" instead of handing
out addresses that another host may have. Must not decide when.
"""

import re
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path

from filelock import FileLock, Timeout

from lease import file
from overlay.errors import Unavailable
from overlay.network import NetworkConfig
from overlay.subnets import Subnet

_SECRET = re.compile(rb"(-etcd-password[=\0])[^\0]*")
"""A password on another daemon's command line, which no message may repeat."""


class LeaseFile:
    """The lease file at `path`, ours while the lock beside it is held."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = FileLock(f"{path}.lock")

    def acquire(self) -> None:
        """Become the only daemon of this file; raises Unavailable naming the process that is."""
        try:
            Path(self.path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            holder = holder_of(self._lock.lock_file)
            remedy = "stop it, or give this one its own --subnet-file"
            raise Unavailable(f"{self.path} is kept by another tulled ({holder}); {remedy}") from None
        except OSError as problem:
            raise Unavailable(f"{self.path}.lock cannot be made: {problem.strerror}") from problem

    def release(self) -> None:
        """Let another daemon have it; the file stays."""
        self._lock.release()

    def previous(self) -> Subnet | None:
        """Give the subnet the file speaks of; None when it is absent or unreadable (contract 2.5)."""
        try:
            lease = file.read(self.path)
        except (file.Unavailable, OSError):
            return None
        if lease.subnet is None:
            return None
        return Subnet(lease.subnet.network, lease.ipv6_subnet.network if lease.ipv6_subnet else None)

    def publish(self, lease: file.Lease) -> bool:
        """Write the file unless it says just that; tell whether it was written. Raises OSError."""
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
    """Give what the file says: networks, the gateway (base + 1) with the subnet's length, MTU and masquerade."""
    v6_network = config.ipv6.network if config.ipv6 else None
    return file.Lease(
        networks=(config.ipv4.network,) if isinstance(config.ipv4.network, IPv4Network) else (),
        subnet=IPv4Interface((subnet.ipv4.network_address + 1, subnet.ipv4.prefixlen)),
        ipv6_networks=(v6_network,) if isinstance(v6_network, IPv6Network) else (),
        ipv6_subnet=IPv6Interface((subnet.ipv6.network_address + 1, subnet.ipv6.prefixlen)) if subnet.ipv6 else None,
        mtu=mtu,
        ipmasq=ipmasq,
    )


def holder_of(path: str, table: str = "/proc/locks") -> str:
    """Say who holds a lock on `path`, from the kernel's own table: `pid 1234: tulled --store ...`."""
    try:
        inode = str(Path(path).stat().st_ino)
        lines = Path(table).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return "unknown"
    pid = next((words[4] for words in map(str.split, lines) if _locks(words, inode)), "")
    return f"pid {pid}: {_command(pid)}" if pid not in ("", "0") else "in another PID namespace"


def _locks(words: list[str], inode: str) -> bool:
    return len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "?"
    said = _SECRET.sub(rb"\1***", words)
    return said[:400].replace(b"\0", b" ").decode(errors="replace").strip() or "?"
