"""The keys of a network in etcd, and the addresses of etcd's members.

Keys are flannel's, byte for byte (docs/reference/flannel.md 2.1): prefix and names are joined as Go's path.Join does.
There is no I/O, and nothing heavy is imported, because the settings are checked with it.
"""

import posixpath
import re
from dataclasses import dataclass
from typing import Self

from overlay.subnet.allocation import Subnet

DEFAULT_PREFIX = "/coreos.com/network"
DEFAULT_ENDPOINTS = "http://127.0.0.1:4001,http://127.0.0.1:2379"
DEFAULT_PORT = 2379

_ENDPOINT = re.compile(r"(?:(https?)://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?/?\Z")


def join(*parts: str) -> str:
    """Return the parts joined as by Go's path.Join: no empty parts, single slashes, dots resolved, no slash at the end."""
    text = "/".join(part for part in parts if part)
    if not text:
        return ""
    clean = posixpath.normpath(text)
    return clean[1:] if clean.startswith("//") else clean


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one network."""

    config: bytes
    """The key of the network config."""
    subnets: bytes
    """The prefix of the leases, without a slash at its end: flannel lists and watches all keys that begin with it."""

    @classmethod
    def below(cls, prefix: str) -> Self:
        """Return the keys below a prefix, which is written as in flannel's flag."""
        return cls(_bytes(join(prefix, "config")), _bytes(join(prefix, "subnets")))

    @property
    def subnets_end(self) -> bytes:
        """The end of the leases' range, as etcd wants it: `.../subnett` (docs/reference/flannel.md 12)."""
        return behind(self.subnets)

    def lease(self, subnet: Subnet) -> bytes:
        """Return the key of a lease."""
        return self.subnets + b"/" + subnet.key.encode()

    def base(self, subnet: Subnet) -> bytes:
        """Return the prefix of all keys with this IPv4 base address, whatever their length and their IPv6 subnet."""
        return self.subnets + b"/" + f"{subnet.ipv4.network_address}-".encode()

    def name(self, key: bytes) -> str | None:
        """Return the part of a lease's key after the last slash, None for another key; bytes that are no text are escaped."""
        folder = self.subnets + b"/"
        return key[len(folder) :].decode(errors="backslashreplace") if key.startswith(folder) else None


def behind(prefix: bytes) -> bytes:
    """Return the first key after all that begin with `prefix`: its last byte plus one (our prefixes end in ASCII)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One member of the cluster."""

    host: str
    """A name or address, without brackets."""
    port: int
    """The TCP port."""
    tls: bool
    """Whether it is https."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def endpoints(text: str) -> tuple[Endpoint, ...]:
    """Read a comma-separated list of URLs; raises ValueError saying what to write."""
    return tuple(_endpoint(word.strip()) for word in text.split(","))


def _endpoint(text: str) -> Endpoint:
    found = _ENDPOINT.match(text)
    if not found or not 0 < int(found[3] or DEFAULT_PORT) < 65536:
        raise ValueError(
            "write URLs like http://192.0.2.1:2379 or https://..., with commas between, no user and no path"
        )
    return Endpoint(found[2].strip("[]"), int(found[3] or DEFAULT_PORT), found[1] == "https")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
